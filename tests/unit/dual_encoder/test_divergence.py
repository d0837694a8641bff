import json
from pathlib import Path

import numpy as np
import pytest

from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.divergence import check_finite, warn_of_collapse
from labse.errors import LabseError


def some_pairs() -> TokenizedPairs:
    return TokenizedPairs(
        input_ids=np.zeros(0, np.int32),
        offsets=np.zeros(1, np.int64),
        pairs=np.arange(6, dtype=np.int32).reshape(-1, 2),
        pair_langs=np.zeros(3, dtype=np.int16),
        lang_pairs=("eng-deu",),
        pair_corpora=np.array([0, 0, 1], dtype=np.int16),
        corpora=("a.tsv", "b.tsv"),
        num_truncated=0,
        pair_rows=np.array([4, 9, 2], dtype=np.int32),
    )


@pytest.mark.parametrize("numbers", [(float("nan"), 1.0), (1.0, float("inf"))])
def test_the_rows_of_the_batch_are_saved_and_the_line_names_them(
    tmp_path: Path, numbers: tuple[float, float]
) -> None:
    (tmp_path / "checkpoints" / "step-000000005").mkdir(parents=True)
    sides = np.array([[5, 4], [2, 3]])
    with pytest.raises(LabseError) as raised:
        check_finite(tmp_path, 7, *numbers, some_pairs(), sides)
    path = tmp_path / "batch-of-step-7.jsonl"
    assert str(raised.value).startswith("step 7: the loss is ")
    assert str(path) in str(raised.value)
    assert str(tmp_path / "checkpoints" / "step-000000005") in str(raised.value)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    first = {"file": "b.tsv", "row": 2, "lang_pair": "eng-deu"}
    assert rows[0] == {"source": first | {"side": "target"}, "target": first | {"side": "source"}}
    assert [row["source"]["row"] for row in rows] == [2, 9]


def test_finite_numbers_write_nothing(tmp_path: Path) -> None:
    check_finite(tmp_path, 7, 1.0, 2.0, some_pairs(), np.array([[0, 1]]))
    assert not list(tmp_path.iterdir())


def test_vectors_that_are_alike_give_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert not warn_of_collapse({"step": 3, "mean_cosine": 0.95})
    assert not warn_of_collapse({"step": 3, "tatoeba_p_at_1": 0.5})
    assert not caplog.text
    assert warn_of_collapse({"step": 3, "mean_cosine": 0.99996})
    assert "step 3: the vectors of the batch are alike (mean cosine 1.0000)" in caplog.text
