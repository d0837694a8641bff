import json

import numpy as np
import pytest

from labse.errors import LabseError
from labse.mining.logistic import LogisticModel, fit_logistic, fit_logistic_model


def test_the_fit_agrees_with_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(300, 4))
    is_good = rng.random(300) < 1 / (1 + np.exp(-inputs @ [1.0, -2.0, 0.0, 0.5] - 0.3))
    weights, offset = fit_logistic(inputs, is_good, penalty=2.0)
    expected = linear.LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(inputs, is_good)
    np.testing.assert_allclose(weights, expected.coef_[0], atol=1e-5)
    assert offset == pytest.approx(expected.intercept_[0], abs=1e-5)


def test_a_model_learns_a_product_and_is_the_same_after_json() -> None:
    rng = np.random.default_rng(2)
    columns = {name: rng.normal(size=2000) for name in ("a", "b", "constant")}
    columns["constant"][:] = 3.0
    is_good = columns["a"] * columns["b"] > 0
    model = fit_logistic_model(columns, [is_good], penalty=1.0)
    scores = model.score(columns)
    assert ((scores > 0.5) == is_good).mean() > 0.95
    assert scores.mean() == pytest.approx(is_good.mean(), abs=0.02)  # It is a probability.
    again = LogisticModel.from_json(json.loads(json.dumps(model.to_json())))
    np.testing.assert_array_equal(again.score(columns), scores)


def test_one_class_and_damage_are_told() -> None:
    with pytest.raises(LabseError, match="all rows are good"):
        fit_logistic_model({"a": np.ones(3)}, [np.ones(3, bool)])
    whole = fit_logistic_model({"a": np.arange(4.0)}, [np.arange(4) > 1]).to_json()
    for damage in ({"weights": [1.0]}, {"offset": "x"}, {"means": [float("nan")]}):
        with pytest.raises(LabseError):
            LogisticModel.from_json(whole | damage)
