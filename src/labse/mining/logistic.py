"""A probability from a few named numbers, their squares and products: logistic regression.

Takes: columns of numbers, a row a pair. Gives: a probability for each row; a model of a few
hundred weights, as JSON.
Source: Hastie et al., "The Elements of Statistical Learning", 4.4.1, Newton's method; Platt 1999,
the scale and offset that make a probability.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError

__all__ = ["Columns", "LogisticModel", "fit_logistic", "fit_logistic_model"]

Columns: TypeAlias = Mapping[str, NDArray[np.floating]]

# Farther from the mean than this many standard deviations, a number says no more.
_MAX_DEVIATION = 4.0
_MAX_STEPS = 50
_DIGITS = 5  # Of a weight in JSON; float32 has seven.


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """p = 1 / (1 + exp(-(offset + w . z))), where z are standardised numbers and their products.

    Attributes:
        names: of the F numbers.
        means: (F,) of the rows that it was learnt from.
        deviations: (F,) their standard deviations.
        weights: (F,) of the numbers, then of their products i <= j in the order of `triu_indices`.
        offset: of the sum.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...]
    offset: float

    def score(self, columns: Columns) -> NDArray[np.float32]:
        """Returns (N,) probabilities.

        Raises:
            KeyError: a number is missing.
        """
        sums = self._expand(columns) @ np.array(self.weights) + self.offset
        return _sigmoid(sums).astype(np.float32)

    def _expand(self, columns: Columns) -> NDArray[np.float64]:
        return _expand(columns, self.names, np.array(self.means), np.array(self.deviations))

    def to_json(self) -> dict[str, object]:
        """Returns a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "LogisticModel":
        """Reads back what `to_json` returned.

        Raises:
            LabseError: something else.
        """
        try:
            names = tuple(map(str, value["names"]))  # type: ignore[call-overload]
            arrays = [
                tuple(map(float, value[key]))  # type: ignore[call-overload]
                for key in ("means", "deviations", "weights")
            ]
            offset = float(value["offset"])  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError):
            raise LabseError("no logistic model of labse") from None
        num_weights = len(names) * (len(names) + 3) // 2
        sizes = tuple(map(len, arrays))
        is_finite = all(math.isfinite(number) for array in arrays for number in array)
        if sizes != (len(names), len(names), num_weights) or not is_finite or 0 in arrays[1]:
            raise LabseError("a damaged logistic model")
        return cls(names, arrays[0], arrays[1], arrays[2], offset)


def fit_logistic_model(
    columns: Columns,
    labels: Sequence[NDArray[np.bool_]],
    *,
    calibrate: int = 0,
    penalty: float = 300.0,
) -> LogisticModel:
    """Learns a model; of several definitions of good, one order that serves them all.

    Args:
        columns: (N,) numbers by name.
        labels: (N,) each; weights are fitted to each and their mean is taken.
        calibrate: which of the labels the probability is of.
        penalty: of the squared weights, of standardised inputs. Of 22,000 ratings 100 to 10,000
            give the same AUC on other rounds within .005 (docs/experiments.md).

    Raises:
        LabseError: one class only.
    """
    for label in labels:
        if label.all() or not label.any():
            raise LabseError("all rows are good, or all are bad; nothing can be learnt from them")
    names = tuple(columns)
    values = np.stack([columns[name] for name in names], axis=1).astype(np.float64)
    means, deviations = values.mean(axis=0), _deviations(values)
    expanded = _expand(columns, names, means, deviations)

    # Standardise the products too, so that the penalty treats all alike; then undo it.
    centres, scales = expanded.mean(axis=0), _deviations(expanded)
    standardised = (expanded - centres) / scales
    fitted = [fit_logistic(standardised, label, penalty)[0] for label in labels]
    weights = np.mean(fitted, axis=0)
    sums = standardised @ weights
    (slope,), offset = fit_logistic(sums[:, None], labels[calibrate], 1.0)
    weights = slope * weights / scales
    offset -= float(centres @ weights)
    return LogisticModel(
        names, _round(means), _round(deviations), _round(weights), _round([offset])[0]
    )


def fit_logistic(
    inputs: NDArray[np.float64], is_good: NDArray[np.bool_], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Returns weights and offset of the most probable model, by Newton's method.

    Args:
        inputs: (N, F).
        is_good: (N,).
        penalty: half of it times the squared weights is added to the negative log-likelihood; the
            offset is free.
    """
    num_rows, num_inputs = inputs.shape
    design = np.column_stack([inputs, np.ones(num_rows)])
    ridge = np.full(num_inputs + 1, penalty)
    ridge[-1] = 0.0
    weights = np.zeros(num_inputs + 1)
    targets = is_good.astype(np.float64)
    for _ in range(_MAX_STEPS):
        probs = _sigmoid(design @ weights)
        gradient = design.T @ (targets - probs) - ridge * weights
        # A floor keeps the curvature positive where classes can be parted.
        curvature = np.maximum(probs * (1 - probs), 1e-6)
        hessian = design.T @ (design * curvature[:, None])
        hessian[np.diag_indices_from(hessian)] += ridge + 1e-9
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    return weights[:-1], float(weights[-1])


def _expand(
    columns: Columns,
    names: Sequence[str],
    means: NDArray[np.float64],
    deviations: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns (N, F + F (F + 1) / 2) standardised numbers and their products."""
    values = np.stack([columns[name] for name in names], axis=1).astype(np.float64)
    values = np.clip((values - means) / deviations, -_MAX_DEVIATION, _MAX_DEVIATION)
    first, second = np.triu_indices(len(names))
    return np.concatenate([values, values[:, first] * values[:, second]], axis=1)


def _deviations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    deviations = values.std(axis=0)
    return np.where(deviations > 0, deviations, 1.0)  # A constant says nothing.


def _sigmoid(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(sums, -500, 500)))


def _round(numbers: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{number:.{_DIGITS}g}") for number in numbers)
