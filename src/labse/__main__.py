"""Where the script `labse` and `python -m labse` begin.

Takes: the arguments of the process. Gives: its exit code.
Source: docs/design.md, exit codes.
"""

import sys

__all__ = ["main"]


def main() -> int:
    """Loads the command line and runs it; Ctrl-C while it is loaded is one line, as later."""
    try:
        from labse.cli import main as run_command_line
    except KeyboardInterrupt:
        sys.stderr.write("labse: error: interrupted\n")
        return 130  # 128 + SIGINT, as shells count.
    return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
