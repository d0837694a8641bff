import numpy as np
import pytest

from labse.errors import LabseError
from labse.evaluation.significance import (
    Sample,
    build_sample,
    digest_texts,
    paired_bootstrap,
    sample_from_dict,
    score_samples,
    spearman,
)


def hits(name: str, values: list[int]) -> Sample:
    return build_sample(name, [values], map(str, range(len(values))))


def compare(first: Sample, second: Sample, resamples: int = 4000) -> tuple[float, float]:
    found = paired_bootstrap(
        [first], [second], num_resamples=resamples, level=0.95, generator=np.random.default_rng(1)
    )
    return found.low, found.high


def test_equal_systems_differ_by_nothing() -> None:
    system = hits("deu", [1, 0, 1, 1])
    assert compare(system, system) == (0.0, 0.0)


def test_the_interval_is_that_of_drawing_items_one_by_one() -> None:
    # The plain bootstrap: draw item numbers, score both systems on them.
    generator = np.random.default_rng(5)
    first = hits("deu", generator.integers(0, 2, 200).tolist())
    better = np.maximum(first.values[:, 0], generator.random(200) < 0.2)
    second = hits("deu", better.astype(int).tolist())
    drawn = generator.integers(0, 200, (20_000, 200))
    plain = (second.values[drawn, 0] - first.values[drawn, 0]).mean(axis=1)
    expected = np.quantile(plain, (0.025, 0.975))
    assert compare(first, second, 20_000) == pytest.approx(expected, abs=0.005)
    assert compare(first, second)[0] > 0


def test_a_mean_over_languages_counts_each_the_same() -> None:
    samples = [hits("deu", [1] * 90 + [0] * 10), hits("fra", [0, 1])]
    assert score_samples(samples) == pytest.approx((0.9 + 0.5) / 2)


def test_both_columns_of_an_item_are_drawn_together() -> None:
    # One direction gains what the other loses on the same items: nothing ever changes.
    first = build_sample("deu", [[1, 1, 0, 0], [0, 0, 1, 1]], "abcd")
    second = build_sample("deu", [[0, 0, 1, 1], [1, 1, 0, 0]], "abcd")
    assert compare(first, second) == (0.0, 0.0)


def test_f1_counts_right_found_and_gold() -> None:
    # 2 right of 3 found, 4 to find: 2 * 2 / (3 + 4).
    sample = build_sample("fr-en", [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], "abcd", "f1")
    assert score_samples([sample]) == pytest.approx(4 / 7)
    none = build_sample("fr-en", [[0, 0], [0, 0], [0, 0]], "ab", "f1")
    assert score_samples([none]) == 0.0


def test_spearman_shares_ranks_and_knows_a_constant() -> None:
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
    found = spearman(np.array([1.0, 7.0, 7.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert spearman(np.ones(3), np.arange(3.0)) == 0.0


def test_spearman_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is the oracle")
    generator = np.random.default_rng(0)
    left, right = generator.integers(0, 9, 300), generator.standard_normal(300)
    expected = stats.spearmanr(left, right).statistic
    assert spearman(left.astype(np.float64), right) == pytest.approx(expected)


def test_a_better_order_is_significant() -> None:
    judgements = np.arange(60.0)
    noise = np.random.default_rng(0).standard_normal(60)
    texts = [str(n) for n in range(60)]
    first = build_sample("sts", [noise, judgements], texts, "spearman")
    second = build_sample("sts", [judgements + noise, judgements], texts, "spearman")
    assert compare(first, second, 300)[0] > 0.3


@pytest.mark.parametrize(("resamples", "level"), [(0, 0.95), (10, 1.0)])
def test_wrong_options_are_refused(resamples: int, level: float) -> None:
    system = hits("deu", [1])
    with pytest.raises(ValueError, match="num_resamples"):
        paired_bootstrap(
            [system],
            [system],
            num_resamples=resamples,
            level=level,
            generator=np.random.default_rng(0),
        )


def test_systems_on_other_items_do_not_pair() -> None:
    with pytest.raises(ValueError, match="same items"):
        compare(hits("deu", [1, 0]), hits("deu", [1, 0, 1]))


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
