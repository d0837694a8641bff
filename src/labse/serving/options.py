"""How much a server takes, and for how long it waits.

Takes: what an operator sets. Gives: checked limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from labse.errors import UsageError
from labse.files.text import read_lines

__all__ = ["ServingOptions", "read_api_keys"]

_LEAST_KEY = 16


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """The limits of a server; each of them is told to the client that meets it.

    Attributes:
        batch_tokens: tokens of a batch; None takes 2,048, or less where the runtime wants less.
        max_queued_tokens: tokens that may wait before 429 is answered, of each request those of
            its next turn, a quarter of a batch at most; None takes 16 batches.
        max_wait_seconds: a request whose turn would come later is answered 429 at once.
        max_requests: that are worked on at a time; one too many is answered 429 before it is read.
        max_inputs: texts of a request for vectors.
        max_lines: lines of one side of a request that mines, aligns or scores.
        max_body_bytes: of a request.
        request_seconds: after which a request that still waits is answered 503.
        job_seconds: the same for a request that mines, aligns or scores.
        body_seconds: in which the body of a request must have come, else 408.
        drain_seconds: for which a server that is stopped waits for the requests in flight.
        stores: the folder of the indexes that may be searched; None: there is no search.
        servers: addresses of indexes on servers, by name; see `labse index`.
        api_keys: of which a request must bring one; empty asks for none.
        hosts: names under which the server may be called; empty takes any.
    """

    batch_tokens: int | None = None
    max_queued_tokens: int | None = None
    max_wait_seconds: float = 5.0
    max_requests: int = 100
    max_inputs: int = 2048
    max_lines: int = 20_000
    max_body_bytes: int = 16 << 20
    request_seconds: float = 30.0
    job_seconds: float = 600.0
    body_seconds: float = 20.0
    drain_seconds: float = 30.0
    stores: Path | None = None
    servers: Mapping[str, str] = field(default_factory=dict)
    api_keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks what can be told before a model is loaded.

        Raises:
            UsageError: a limit that lets nothing in, or a folder of stores that is none.
        """
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            if isinstance(value, int | float) and value <= 0:
                raise UsageError(f"{name} is {value}; give more than 0")
        if self.stores is not None and not self.stores.is_dir():
            raise UsageError(f"--stores {self.stores}: no such folder; labse index makes stores")


def read_api_keys(path: Path) -> tuple[str, ...]:
    """Returns the keys of a file, one a line; blank lines and those that begin with # are left out.

    Raises:
        UsageError: there is none, or one is shorter than 16 characters, so that it can be guessed.
    """
    lines = (line.strip() for line in read_lines(path))
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise UsageError(f"{path}: no key in it; write one into each line")
    if min(map(len, keys)) < _LEAST_KEY:
        raise UsageError(
            f"{path}: a key is shorter than {_LEAST_KEY} characters; take a longer one"
        )
    return keys
