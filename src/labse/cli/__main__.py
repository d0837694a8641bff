"""Runs the command line as `python -m labse.cli`, where the script `labse` is not on the path."""

import sys

from labse.cli import main

sys.exit(main())
