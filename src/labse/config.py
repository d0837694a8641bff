"""Configuration: frozen, validated, one TOML file a run.

Takes: a TOML file and `a.b=c` overrides.
Gives: one frozen pydantic model; an unknown key names the nearest valid one.
Source: docs/design.md.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from labse.errors import UsageError
from labse.files.text import read_lines

__all__ = ["Config", "load_config", "override_config", "parse_config"]

ConfigT = TypeVar("ConfigT", bound="Config")

# What pydantic says of these names Python's types, which a TOML file does not have.
_EXPECTED = {
    "tuple_type": 'expected a list such as ["a", "b"]',
    "model_type": "expected a section",
}


class Config(BaseModel):
    """Base of every configuration: immutable, finite, unknown keys refused, defaults checked."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


def load_config(
    config_type: type[ConfigT], path: str | Path | None, overrides: Sequence[str] = ()
) -> ConfigT:
    """Reads a TOML file and applies overrides of the form `section.key=value` (a TOML value).

    Args:
        config_type: what the values must fit.
        path: of the file; None has the defaults alone.
        overrides: over the file.

    Raises:
        UsageError: a broken file, an unknown key (the nearest valid one is named), a bad value.
    """
    try:
        lines = () if path is None else read_lines(path)
        values: dict[str, object] = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None
    for override in overrides:
        _apply_override(values, override)
    return parse_config(config_type, values, where="--set" if path is None else str(path))


def override_config(config: ConfigT, overrides: Sequence[str]) -> ConfigT:
    """Returns the configuration with values of the form `section.key=value` in place of its own.

    Raises:
        UsageError: see `load_config`.
    """
    values = config.model_dump(exclude_unset=True)
    for override in overrides:
        _apply_override(values, override)
    return parse_config(type(config), values, where="--set")


def parse_config(
    config_type: type[ConfigT], values: Mapping[str, object], *, where: str
) -> ConfigT:
    """Validates `values`; `where` names their origin in the message.

    Raises:
        UsageError: see `load_config`.
    """
    try:
        return config_type.model_validate(values)
    except ValidationError as error:
        # A misspelt key that has no default is both unknown and missing: tell the misspelling.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        keys = [str(part) for part in first["loc"]]
        key = ".".join(keys)
        if first["type"] == "extra_forbidden":
            message = f"unknown key {key!r}{_nearest(config_type, keys)}"
        elif first["type"] == "missing":
            message = f"missing key {key!r}"
        else:
            problem = _EXPECTED.get(first["type"], first["msg"]).replace("Value error, ", "", 1)
            message = f"{key}: {problem}".removeprefix(": ")
            if not isinstance(first["input"], dict):  # A rule between keys has a whole section.
                message += f" (found {first['input']!r})"
        raise UsageError(f"{where}: {message}") from None


def _apply_override(values: dict[str, object], override: str) -> None:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise UsageError(f"--set {override}: expected section.key=value")
    value: object
    try:
        (value,) = tomllib.loads(f"value = {text}").values()
    except ValueError:  # Not one TOML value: a bare word, as in --set model.pooling=cls.
        value = text.strip()
    table = values
    for key in keys[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {override}: {key!r} is a value, not a section")
        table = inner
    table[keys[-1]] = value


def _nearest(config_type: type[BaseModel], keys: Sequence[str]) -> str:
    section: type[BaseModel] = config_type
    for key in keys[:-1]:
        field = section.model_fields.get(key)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        section = annotation
    names = list(section.model_fields)
    close = difflib.get_close_matches(keys[-1], names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(names)}"
