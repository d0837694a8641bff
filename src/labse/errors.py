"""Errors that the command line prints as one line.

Takes: nothing. Gives: exceptions that know their exit code. Source: docs/design.md, exit codes.
"""

__all__ = ["InterruptedRunError", "LabseError", "ResourceError", "UsageError", "is_panic"]


class LabseError(Exception):
    """Input data, a model folder or a run that cannot be used; the message says what to do."""

    exit_code = 3


class UsageError(LabseError):
    """A wrong option, configuration key or combination of them."""

    exit_code = 2


class ResourceError(LabseError):
    """The machine lacks something: disk, memory, a device, an optional package."""

    exit_code = 4


class InterruptedRunError(LabseError):
    """The run was stopped and left a state from which the same command goes on."""

    exit_code = 5


def is_panic(error: BaseException) -> bool:
    """Says whether a library written in Rust has failed inside, which is no `Exception`."""
    return type(error).__name__ == "PanicException"
