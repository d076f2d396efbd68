"""`python -m kvorum.cli.kvorum`."""

from kvorum.cli.kvorum.program import main

if __name__ == "__main__":
    main()
