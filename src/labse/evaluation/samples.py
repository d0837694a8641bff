"""What a score was computed from, item by item, so that two systems can be compared.

Takes: the outcome of each test item. Gives: the score of any selection or weighting of them, and a
form that fits in a JSON file: one bit for an outcome of 0 or 1.
Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 6: items are the units.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labse.errors import LabseError

__all__ = ["Sample", "Statistic", "build_sample", "digest_texts", "sample_from_dict"]

Statistic: TypeAlias = Literal["mean", "f1", "spearman"]
_FORMS = {"bits": "u1", "bytes": "u1", "float32": "<f4"}
_COLUMNS: Mapping[Statistic, int | None] = {"mean": None, "f1": 3, "spearman": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The outcomes of one test set, in the order of its items.

    Attributes:
        name: of the set, such as `deu`.
        statistic: how `values` become a score. "mean" averages all columns; "f1" has the columns
            right, found and gold, counts of each item; "spearman" has a similarity and a judgement.
        values: (N, C) float32, C outcomes of each of N items.
        digest: of the text of the items; only samples with the same one can be compared.
    """

    name: str
    statistic: Statistic
    values: NDArray[np.float32]
    digest: str

    def __post_init__(self) -> None:
        """Refuses a shape that the statistic does not have."""
        columns = _COLUMNS[self.statistic]
        if self.values.ndim != 2 or columns not in (None, self.values.shape[1]):
            raise ValueError(f"{self.name}: {self.statistic} of values {self.values.shape}")

    def to_dict(self) -> dict[str, object]:
        """Returns a JSON object; `sample_from_dict` reads it back."""
        if np.isin(self.values, (0, 1)).all():
            form, encoded = "bits", np.packbits(self.values.astype(np.bool_)).tobytes()
        elif np.isin(self.values, range(256)).all():
            form, encoded = "bytes", self.values.astype(np.uint8).tobytes()
        else:
            form, encoded = "float32", self.values.astype("<f4").tobytes()
        return {
            "name": self.name,
            "statistic": self.statistic,
            "shape": list(self.values.shape),
            "digest": self.digest,
            "form": form,
            "values": base64.b64encode(encoded).decode(),
        }


def build_sample(
    name: str, columns: Sequence[ArrayLike], texts: Iterable[str], statistic: Statistic = "mean"
) -> Sample:
    """Joins columns of N outcomes each; `texts` are what the items consist of, in their order."""
    values = np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
    return Sample(name, statistic, values, digest_texts(texts))


def sample_from_dict(value: object, where: str) -> Sample:
    """Reads what `Sample.to_dict` made; `where` names the file in messages.

    Raises:
        LabseError: something else stands there.
    """
    try:
        if not isinstance(value, dict):
            raise TypeError
        rows, columns = (int(number) for number in value["shape"])
        encoded = base64.b64decode(value["values"], validate=True)
        values = np.frombuffer(encoded, _FORMS[value["form"]])
        if value["form"] == "bits":
            values = np.unpackbits(values, count=rows * columns)
        name, statistic, digest = (value[key] for key in ("name", "statistic", "digest"))
        outcomes = values.astype(np.float32).reshape(rows, columns)
        return Sample(str(name), statistic, outcomes, str(digest))
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise LabseError(
            f"{where}: its samples are damaged; run the evaluation again with --out"
        ) from None


def digest_texts(texts: Iterable[str]) -> str:
    """Returns 16 hexadecimal digits that stand for these texts in this order."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
