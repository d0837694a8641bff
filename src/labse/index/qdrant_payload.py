"""Rows and conditions as Qdrant keeps them, embedded and on a server alike.

Takes: rows, conditions. Gives: payloads, and filters by the constructors of either package.
Source: Qdrant's documentation, "Filtering"; a name in quotes is one part of a path.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from labse.index.rows import OWN_COLUMNS, Hit, IndexRow, Value
from labse.index.where import And, Compare, Equals, IsMissing, Not, Or, Where

__all__ = [
    "FilterParts",
    "field_path",
    "to_filter",
    "to_hit",
    "to_payload",
    "to_row",
    "truth_path",
]


class FilterParts(Protocol):
    """Makes filters of one package."""

    def combine(self, **parts: list[object]) -> object:
        """Returns a filter: all of `must`, one of `should`, none of `must_not`."""
        ...

    def text(self, path: str, value: str) -> object:
        """Returns the condition that a field is this text."""
        ...

    def numbers(self, path: str, bounds: Mapping[str, float]) -> object:
        """Returns the condition that a field is a number within `gt`, `gte`, `lt` and `lte`."""
        ...

    def is_empty(self, path: str) -> object:
        """Returns the condition that there is no such field."""
        ...


def to_filter(where: Where, make: FilterParts) -> object:
    """Returns the filter for a condition."""
    match where:
        case And(parts):
            return make.combine(must=[to_filter(part, make) for part in parts])
        case Or(parts):
            return make.combine(should=[to_filter(part, make) for part in parts])
        case Not(part):
            return make.combine(must_not=[to_filter(part, make)])
        case IsMissing(name):
            return make.combine(
                must=[make.is_empty(field_path(name)), make.is_empty(truth_path(name))]
            )
        case Compare(name, order, bound):
            side = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[order]
            return make.combine(must=[make.numbers(field_path(name), {side: bound})])
        case Equals(name, values):
            return make.combine(should=[_equals(name, value, make) for value in values])


def _equals(name: str, value: Value, make: FilterParts) -> object:
    if isinstance(value, bool):
        return make.text(truth_path(name), str(value))
    if isinstance(value, str):
        return make.text(field_path(name), value)
    return make.numbers(field_path(name), {"gte": float(value), "lte": float(value)})


def field_path(name: str) -> str:
    """Returns where the payload has a column."""
    return name if name in OWN_COLUMNS else f'metadata."{name}"'


def truth_path(name: str) -> str:
    """Returns where the payload has a truth value.

    They stand apart, as text: a filter of qdrant-edge-py 0.9 takes True for the number 1.
    """
    return f'truths."{name}"'


def to_payload(row: IndexRow) -> dict[str, Any]:
    """Returns a row as a payload."""
    metadata: dict[str, object] = {}
    truths: dict[str, object] = {}
    for name, value in row.metadata.items():
        if isinstance(value, bool):
            truths[name] = str(value)
        else:
            metadata[name] = value
    payload: dict[str, Any] = {"id": row.id, "text": row.text, "lang": row.lang}
    # The engine takes 6 µs for each value, an empty one too.
    if metadata:
        payload["metadata"] = metadata
    if truths:
        payload["truths"] = truths
    return payload


def to_row(payload: Mapping[str, Any]) -> IndexRow:
    """Returns the row of a payload."""
    return IndexRow(payload["id"], payload["text"], payload["lang"], _metadata_of(payload))


def to_hit(score: float, payload: Mapping[str, Any]) -> Hit:
    """Returns the hit of a payload."""
    metadata = _metadata_of(payload)
    return Hit(float(score), payload["id"], payload["lang"], payload["text"], metadata)


def _metadata_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    metadata, truths = payload.get("metadata", {}), payload.get("truths", {})
    return {**metadata, **{name: value == "True" for name, value in truths.items()}}
