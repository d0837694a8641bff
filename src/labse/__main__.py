"""Runs the command line as `python -m labse`, where the script `labse` is not on the path."""

from labse.cli import main

if __name__ == "__main__":
    main()
