from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError
from labse.files.stage import Stage, open_stage
from labse.mining.bitext import find_neighbours
from labse.mining.pair_scores import (
    aligned_cosines,
    aligned_margins,
    check_aligned,
    score_pairs,
)
from labse.mining.sides import EmbeddedSide, EmbeddedSides, embed_side


@pytest.fixture
def stage() -> Iterator[Stage]:
    with open_stage(None, {}) as opened:
        yield opened


def side(name: str, lines: list[str], rows: list[list[float]], stage: Stage) -> EmbeddedSide:
    return embed_side(name, lines, np.array(rows, np.float32), stage)


def test_scores_are_those_computed_by_hand_line_by_line(stage: Stage) -> None:
    source = side("source", ["a", "b", "", "a"], [[1, 0], [0, 2], [1, 1], [1, 0]], stage)
    target = side("target", ["A", "B", "C", ""], [[3, 0], [3, 4], [0, 1], [1, 1]], stage)
    cosines = aligned_cosines(source, target)
    assert cosines == pytest.approx([1.0, 0.8, 0.0, 0.0])
    found = find_neighbours(EmbeddedSides(source, target, stage), 1)
    margins = aligned_margins(cosines, source, target, found, "ratio")
    # With k = 1 the nearest of b is C (cosine 1), of B it is b (0.8): 0.8 / 0.9.
    assert margins == pytest.approx([1.0, 0.8 / 0.9, 0.0, 0.0])


def test_a_repeated_line_scores_as_if_it_stood_once(stage: Stage) -> None:
    source = side("source", ["a", "a", "b"], [[1, 0], [1, 0], [1, 1]], stage)
    target = side("target", ["A", "A", "B"], [[1, 0], [1, 0], [1, 2]], stage)
    found = find_neighbours(EmbeddedSides(source, target, stage), 2)
    cosines = aligned_cosines(source, target)
    margins = aligned_margins(cosines, source, target, found, "distance")
    assert margins[0] == margins[1] > 0.1


def test_unequal_numbers_of_lines_are_told(stage: Stage) -> None:
    source = side("source", ["a"], [[1, 0]], stage)
    target = side("target", ["a", "b"], [[1, 0], [0, 1]], stage)
    with pytest.raises(LabseError, match="source has 1 lines and the target 2"):
        check_aligned(source, target)


def test_unequal_widths_are_told(stage: Stage) -> None:
    source = side("source", ["a"], [[1, 0]], stage)
    target = side("target", ["a"], [[1, 0, 0]], stage)
    with pytest.raises(LabseError, match="2 dimensions and the target 3"):
        check_aligned(source, target)


def test_two_files_with_vectors_are_scored_as_one_call(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 0], [0, 2]], np.float32))
    np.save(tmp_path / "b.npy", np.array([[3, 0], [3, 4]], np.float32))
    scores = score_pairs(tmp_path / "a.npy", tmp_path / "b.npy", k=1)
    assert scores.cosines == pytest.approx([1.0, 0.8])
    assert scores.margins == pytest.approx([1.0, 1.0])
    assert score_pairs(tmp_path / "a.npy", tmp_path / "b.npy", margin=None).margins is None


def test_unequal_files_are_told_before_anything_is_embedded(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\nb\n")
    (tmp_path / "b.txt").write_text("a\n")
    encoder = SentenceEncoder()
    encoder.encode = None  # type: ignore[assignment, method-assign]
    with pytest.raises(LabseError, match="source has 2 lines and the target 1"):
        score_pairs(tmp_path / "a.txt", tmp_path / "b.txt", encoder=encoder)
