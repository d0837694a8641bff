import numpy as np
import pytest

from labse.errors import LabseError
from labse.evaluation.samples import Sample, build_sample, digest_texts, sample_from_dict


@pytest.mark.parametrize(
    ("columns", "form"),
    [
        ([[1, 0, 1], [0, 0, 1]], "bits"),
        ([[1, 0, 2], [0, 0, 1], [3, 1, 0]], "bytes"),
        ([[0.25, -1.5, 2], [1, 2, 3]], "float32"),
    ],
)
def test_outcomes_come_back_from_json_in_the_smallest_form(
    columns: list[list[float]], form: str
) -> None:
    sample = build_sample("deu", columns, ["a", "b", "c"])
    value = sample.to_dict()
    assert value["form"] == form
    back = sample_from_dict(value, "report.json")
    assert (back.name, back.statistic, back.digest) == ("deu", "mean", sample.digest)
    assert back.values.tolist() == np.array(columns, np.float32).T.tolist()


def test_the_digest_tells_apart_where_texts_end() -> None:
    assert digest_texts(["ab", "c"]) != digest_texts(["a", "bc"])
    assert digest_texts(["ab", "c"]) == digest_texts(iter(["ab", "c"]))


def test_a_statistic_has_its_columns() -> None:
    with pytest.raises(ValueError, match="f1 of values"):
        Sample("x", "f1", np.zeros((4, 2), np.float32), "")


@pytest.mark.parametrize(
    "change",
    [
        {"values": "no base64!"},
        {"shape": [9, 9]},
        {"shape": "x"},
        {"form": "pickle"},
        {"statistic": "mode"},
    ],
)
def test_a_damaged_sample_is_bad_data(change: dict[str, object]) -> None:
    value = {**build_sample("deu", [[0.5, 1.0]], ["a", "b"]).to_dict(), **change}
    with pytest.raises(LabseError, match=r"report\.json: its samples are damaged"):
        sample_from_dict(value, "report.json")


def test_what_is_no_sample_at_all_is_bad_data() -> None:
    with pytest.raises(LabseError, match="damaged"):
        sample_from_dict(["deu"], "report.json")
