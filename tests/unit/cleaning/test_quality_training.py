from pathlib import Path

import numpy as np
import pytest

from labse.cleaning.quality import load_quality_model
from labse.cleaning.quality_training import train_quality
from labse.errors import LabseError

pytest.importorskip("sklearn")
NOUNS = ["dog", "cat", "child", "teacher", "river", "house", "garden", "letter", "book", "road"]
VERBS = ["sees", "likes", "finds", "remembers", "leaves", "describes", "crosses", "keeps"]


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(5)

    def pick(words: list[str]) -> str:
        return str(rng.choice(words))

    good = [
        f"The {pick(NOUNS)} {pick(VERBS)} the {pick(NOUNS)} and the {pick(NOUNS)}."
        for _ in range(600)
    ]
    bad = [" | ".join(pick(NOUNS).title() for _ in range(5)) for _ in range(600)]
    return write_lines(tmp_path / "good.txt", good), write_lines(tmp_path / "bad.txt", bad)


def test_prose_and_menus_are_told_apart(tmp_path: Path, files: tuple[Path, Path]) -> None:
    good, bad = files
    report = train_quality([good], [bad], tmp_path / "model", lang="eng")
    assert [one.lang for one in report.languages] == ["all", "eng"]
    everything = report.languages[0]
    assert everything.precision is not None
    assert everything.precision > 0.95
    assert everything.recall is not None
    assert everything.recall > 0.95
    assert report.roc_auc > 0.99
    prose, menu = load_quality_model(tmp_path / "model").score(
        ["The dog crosses the road and the garden.", "Home | Book | Road"]
    )
    assert prose > 0.5 > menu


def test_the_order_of_rows_and_files_does_not_matter(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    good, bad = files
    lines = good.read_text("utf-8").splitlines()
    half = [
        write_lines(tmp_path / "second.txt", lines[300:][::-1]),
        write_lines(tmp_path / "first.txt", lines[:300]),
    ]
    train_quality([good], [bad], tmp_path / "one", max_rows=450)
    train_quality(half, [bad], tmp_path / "two", max_rows=450)
    name = "quality.safetensors"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_rows_are_counted_and_repeats_and_contradictions_left_out(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    good, bad = files
    extra = write_lines(tmp_path / "extra.txt", ["", "Both say this.", "Twice.", "Twice."])
    both = write_lines(tmp_path / "both.txt", ["Both say this."])
    counts = train_quality([good, extra], [bad, both], tmp_path / "model").num_rows
    assert counts["good read"] == 604
    assert counts["good empty"] == 1
    assert counts["both good and bad"] == 1
    assert counts["good repeated"] >= 1


def test_too_few_rows_are_an_error(tmp_path: Path) -> None:
    few = write_lines(tmp_path / "few.txt", ["one", "two"])
    with pytest.raises(LabseError, match=r"good and .* bad rows to train with"):
        train_quality([few], [few], tmp_path / "model")
