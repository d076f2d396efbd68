"""`python -m kvorum.cli.etcd`."""

from kvorum.cli.etcd.main import main

main()
