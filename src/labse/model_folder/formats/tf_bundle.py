"""A checkpoint of TensorFlow as NumPy arrays, without TensorFlow.

Takes: the prefix of `PREFIX.index` and `PREFIX.data-00000-of-00001`, as TensorFlow 1 and 2 and
SavedModel (`variables/variables`) write them. Gives: the variables by name.
Source: tensorflow/core/util/tensor_bundle and tensorflow/core/protobuf/tensor_bundle.proto; the
index is a table of leveldb (doc/table_format.md), which TensorFlow does not compress.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.files.text import unreadable

__all__ = ["read_tf_bundle"]

_TABLE_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# DT_FLOAT and DT_HALF of types.proto.
_FLOATS: dict[int, np.dtype[np.floating]] = {1: np.dtype("<f4"), 19: np.dtype("<f2")}
Fields = dict[int, list[int | bytes]]
Shards = dict[int, NDArray[np.uint8]]


def read_tf_bundle(prefix: Path) -> dict[str, NDArray[np.float32]]:
    """Returns every float variable as float32.

    A variable goes by its full name where the checkpoint tells it (object-based ones do), else by
    its key. Variables of other types, such as counters, are left out.

    Raises:
        LabseError: a file is missing, cut, or not of this format.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        entries = {key.decode(): _parse(value) for key, value in _read_table(index.read_bytes())}
        num_shards = _number(entries.pop("", {}), 1) or 1
        shards: Shards = {
            number: np.memmap(f"{prefix}.data-{number:05d}-of-{num_shards:05d}", np.uint8, "r")
            for number in {_number(entry, 3) for entry in entries.values()}
        }
        names = _read_full_names(entries, shards)
        return {
            names.get(key, key): _read_array(entry, shards)
            for key, entry in entries.items()
            if _number(entry, 1) in _FLOATS
        }
    except OSError as error:
        raise unreadable(error.filename or index, error) from None
    except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise LabseError(
            f"{index}: not a whole checkpoint of TensorFlow ({error}); copy it again"
        ) from None


def _read_table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields keys and values of a leveldb table."""
    footer = content[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != _TABLE_MAGIC:
        raise ValueError("no table")
    place = 0
    for _ in range(2):  # Offset and size of the block of metadata, of which there is none.
        _, place = _read_varint(footer, place)
    for _, handle in _read_block(content, footer, place):
        yield from _read_block(content, handle, 0)


def _read_block(content: bytes, handle: bytes, place: int) -> Iterator[tuple[bytes, bytes]]:
    """Yields the entries of the block that a handle (offset, size) points to."""
    offset, place = _read_varint(handle, place)
    size, _ = _read_varint(handle, place)
    if content[offset + size] != 0:
        raise ValueError("compressed blocks are not supported")
    block = content[offset : offset + size]
    (num_restarts,) = struct.unpack("<I", block[-4:])
    end, place, key = len(block) - 4 * (num_restarts + 1), 0, b""
    while place < end:
        shared, place = _read_varint(block, place)
        unshared, place = _read_varint(block, place)
        length, place = _read_varint(block, place)
        key = key[:shared] + block[place : place + unshared]
        place += unshared
        yield key, block[place : place + length]
        place += length


def _parse(message: bytes) -> Fields:
    """Returns the fields of a protocol buffer by number, none of them interpreted."""
    fields: Fields = {}
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, place = _read_varint(message, place)
        elif kind in (1, 2, 5):
            size, place = (
                _read_varint(message, place) if kind == 2 else (8 if kind == 1 else 4, place)
            )
            value = message[place : place + size]
            place += size
        else:
            raise ValueError(f"a field of wire type {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    """Returns the number and the place behind it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _read_array(entry: Fields, shards: Shards) -> NDArray[np.float32]:
    dtype = _FLOATS[_number(entry, 1)]
    shape = [_number(_parse(dim), 1) for dim in _messages(_parse(_message(entry, 2)), 2)]
    raw = _read_bytes(entry, shards)
    if len(raw) != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"{len(raw)} bytes for a variable of shape {shape}")
    return np.frombuffer(raw, dtype).reshape(shape).astype(np.float32)


def _read_bytes(entry: Fields, shards: Shards) -> bytes:
    offset, size = _number(entry, 4), _number(entry, 5)
    shard = shards[_number(entry, 3)]
    if offset + size > len(shard):
        raise ValueError("the file of data is cut short")
    return shard[offset : offset + size].tobytes()


def _read_full_names(entries: dict[str, Fields], shards: Shards) -> dict[str, str]:
    """Returns the full name of each key, out of the object graph (a TrackableObjectGraph)."""
    entry = entries.get(_OBJECT_GRAPH)
    if entry is None:
        return {}
    raw = _read_bytes(entry, shards)
    length, place = _read_varint(raw, 0)  # Then four bytes of a check sum, then the string.
    graph = _parse(raw[place + 4 : place + 4 + length])
    names = {}
    for node in _messages(graph, 1):
        for attribute in map(_parse, _messages(_parse(node), 2)):
            if 2 in attribute and 3 in attribute:
                names[_message(attribute, 3).decode()] = _message(attribute, 2).decode()
    # Keras 3 calls every kernel "kernel"; the keys, which are paths of objects, then say more.
    return names if len(set(names.values())) == len(names) else {}


def _number(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no number")
    return value


def _message(fields: Fields, number: int) -> bytes:
    messages = _messages(fields, number)
    return messages[-1] if messages else b""


def _messages(fields: Fields, number: int) -> list[bytes]:
    return [value for value in fields.get(number, []) if isinstance(value, bytes)]
