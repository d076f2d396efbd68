"""`python -m kvorum.cli.etcdctl`."""

from kvorum.cli.etcdctl.program import main

if __name__ == "__main__":
    main()
