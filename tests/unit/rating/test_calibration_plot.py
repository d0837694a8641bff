from pathlib import Path

import numpy as np
import pytest

from labse.rating.calibration import Ratings, fit_precision
from labse.rating.calibration_plot import plot_precision


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scores = np.random.default_rng(0).random(200)
    fit = fit_precision(Ratings(scores, scores > 0.3), 0.8)
    out = tmp_path / "precision.png"
    plot_precision(fit, 0.8, out)
    assert out.read_bytes().startswith(b"\x89PNG")
