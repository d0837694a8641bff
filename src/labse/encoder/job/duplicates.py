"""Where a sentence was seen before: a table of fixed size from text to the place of its vector.

Takes: the distinct sentences of each shard in turn. Gives: for each the place of an earlier copy.
The answers depend on the sentences and their order alone, so a run that is resumed, or spread over
processes, copies the same rows.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["SeenSentences"]

_NUM_SLOTS = 1 << 22  # 24 bytes each: 96 MiB once four million sentences were seen.


class SeenSentences:
    """A table of one slot a hash: a later sentence takes the slot of an earlier one.

    A place is a shard and a row in it. Each slot holds the newest, which is likeliest to be in the
    memory of the system.
    """

    def __init__(self, num_slots: int = _NUM_SLOTS) -> None:
        """Makes an empty table.

        Args:
            num_slots: a power of two.
        """
        self._mask = np.uint64(num_slots - 1)
        self._keys = np.zeros((num_slots, 2), np.uint64)
        self._shards = np.full(num_slots, -1, np.int32)
        self._rows = np.zeros(num_slots, np.int32)

    def add(self, keys: NDArray[np.uint64], shard: int, rows: NDArray[np.int64]) -> None:
        """Remembers that sentence n of a shard stands in its row rows[n]."""
        slots = keys[:, 0] & self._mask
        self._keys[slots] = keys
        self._shards[slots] = shard
        self._rows[slots] = rows

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Returns (N, 2), shard and row of each sentence; -1 where it is not known."""
        slots = keys[:, 0] & self._mask
        is_known = (self._keys[slots] == keys).all(axis=1) & (self._shards[slots] >= 0)
        places = np.full((len(keys), 2), -1, np.int64)
        places[is_known, 0] = self._shards[slots[is_known]]
        places[is_known, 1] = self._rows[slots[is_known]]
        return places
