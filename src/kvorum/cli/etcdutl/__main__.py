"""`python -m kvorum.cli.etcdutl`."""

from kvorum.cli.etcdutl.program import main

if __name__ == "__main__":
    main()
