r"""Lines on disk, each distinct one once, read again by number.

Takes: a stream of lines of any length. Gives: the distinct lines that are not blank, their first
line numbers, and for each line which of them it is; 50 bytes of memory a line.
Source: docs/design.md, promises. Lines are one by their 128-bit BLAKE2 digest.
"""

import mmap
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.corpus.equal_texts import find_firsts, hash_texts
from labse.files.atomic import write_atomic

__all__ = ["LineStore", "open_line_store", "write_line_store"]

_TEXT, _INDEX = "lines.txt", "lines.npz"


@dataclass(frozen=True, slots=True)
class LineStore:
    """U distinct lines out of N."""

    path: Path
    offsets: NDArray[np.int64]
    """(U,) bytes before each distinct line."""
    lengths: NDArray[np.int64]
    """(U,) bytes of each."""
    first_lines: NDArray[np.int64]
    """(U,) line number, from 0, where it stands first."""
    distinct: NDArray[np.int64]
    """(N,) number of the distinct line, -1 for a blank one."""

    def __len__(self) -> int:
        """Returns U."""
        return len(self.offsets)

    @property
    def num_blank(self) -> int:
        """Lines of white space only."""
        return int(np.count_nonzero(self.distinct < 0))

    @property
    def num_repeated(self) -> int:
        """Lines that stand before."""
        return len(self.distinct) - self.num_blank - len(self)

    def read(self, numbers: Iterable[int]) -> Iterator[str]:
        """Yields distinct lines by number, in any order."""
        if not len(self):
            return
        with self.path.open("rb") as stream, _map(stream.fileno()) as content:
            for position, number in enumerate(numbers, start=1):
                start = int(self.offsets[number])
                yield content[start : start + int(self.lengths[number])].decode()
                if position % 65_536 == 0 and hasattr(mmap, "MADV_DONTNEED"):
                    content.madvise(mmap.MADV_DONTNEED)


def _map(descriptor: int) -> mmap.mmap:
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)


def write_line_store(lines: Iterable[str], folder: Path) -> LineStore:
    """Copies lines, which may hold line ends, into `folder` and finds the distinct ones.

    Raises:
        ResourceError: they cannot be written.
    """
    digests = bytearray()
    offsets, lengths, is_blank = array("q"), array("q"), array("b")
    position = 0
    with write_atomic(folder / _TEXT) as stream:
        for line in lines:
            content = line.encode()
            lengths.append(len(content))
            offsets.append(position)
            is_blank.append(not line.strip())
            digests += hash_texts([line]).tobytes()
            position += stream.write(content) + stream.write(b"\n")

    first_lines, distinct = _unify(
        np.frombuffer(digests, np.uint64).reshape(-1, 2), np.array(is_blank, np.bool_)
    )
    with write_atomic(folder / _INDEX) as stream:
        np.savez(
            stream,
            offsets=np.array(offsets, np.int64)[first_lines],
            lengths=np.array(lengths, np.int64)[first_lines],
            first_lines=first_lines,
            distinct=distinct,
        )
    return open_line_store(folder)


def open_line_store(folder: Path) -> LineStore:
    """Opens what `write_line_store` left."""
    with np.load(folder / _INDEX, allow_pickle=False) as index:
        return LineStore(folder / _TEXT, *(index[name] for name in LineStore.__slots__[1:]))


def _unify(
    digests: NDArray[np.uint64], is_blank: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the first lines of the distinct ones, ascending, and the number of each line's."""
    first_line = find_firsts(digests)
    first_lines = np.flatnonzero(~is_blank & (first_line == np.arange(len(digests))))
    distinct = np.searchsorted(first_lines, first_line)
    distinct[is_blank] = -1
    return first_lines, distinct
