from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.errors import LabseError, ResourceError, UsageError
from labse.mining.bitext import SearchOptions, choose_index, find_neighbours
from labse.mining.sides import EmbeddedSides
from labse.mining.workplace import embed_side, open_workplace


class LetterEncoder:
    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        return np.array([[ord(s[0]) - 90, len(s)] for s in sentences], np.float32)


def test_without_a_folder_the_place_is_gone_at_the_end() -> None:
    with open_workplace(None, {}) as folder:
        (folder / "x").touch()
    assert not folder.exists()


def test_a_folder_of_another_key_is_refused_and_named(tmp_path: Path) -> None:
    with open_workplace(tmp_path / "work", {"--k": 4, "source": ["a", "123"]}):
        pass
    with open_workplace(tmp_path / "work", {"--k": 4, "source": ["a", "123"]}) as folder:
        assert folder == tmp_path / "work"
    with (
        pytest.raises(UsageError, match="begun with another --k"),
        open_workplace(tmp_path / "work", {"--k": 5, "source": ["a", "123"]}),
    ):
        pass


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UsageError, match="holds other files"), open_workplace(tmp_path, {}):
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ResourceError, match="cannot be made"),
        open_workplace(tmp_path / "file" / "work", {}),
    ):
        pass


def test_sides_are_embedded_once_and_searched(tmp_path: Path) -> None:
    source = embed_side("source", ["ab", "c", "ab", ""], LetterEncoder(), tmp_path)
    again = embed_side("source", iter(()), LetterEncoder(), tmp_path)
    assert again.vectors.tolist() == source.vectors.tolist() == [[7, 2], [9, 1]]
    target = embed_side("target", ["zz"], np.array([[1, 0.1]], np.float32), tmp_path)
    found = find_neighbours(EmbeddedSides(source, target, tmp_path), 4)
    assert found.forward.neighbours.tolist() == [[0], [0]]
    assert found.backward.neighbours.tolist() == [[1, 0]]


def test_lines_and_vectors_must_be_as_many(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="source: 2 lines and 3 vectors"):
        embed_side("source", ["a", "b"], np.ones((3, 2), np.float32), tmp_path)


def test_unequal_widths_are_named(tmp_path: Path) -> None:
    source = embed_side("source", ["a"], np.ones((1, 2), np.float32), tmp_path)
    target = embed_side("target", ["a"], np.ones((1, 3), np.float32), tmp_path)
    with pytest.raises(LabseError, match="source has 2 dimensions and the target 3"):
        find_neighbours(EmbeddedSides(source, target, tmp_path), 1)


def test_a_blank_side_has_no_neighbours(tmp_path: Path) -> None:
    source = embed_side("source", ["", " "], LetterEncoder(), tmp_path)
    target = embed_side("target", ["a"], LetterEncoder(), tmp_path)
    found = find_neighbours(EmbeddedSides(source, target, tmp_path), 4)
    assert found.forward.neighbours.shape == (0, 0)
    assert found.backward.neighbours.shape == (1, 0)


def test_only_what_would_take_days_is_approximate() -> None:
    assert choose_index("auto", 10**6, 10**6) == "exact"
    assert choose_index("auto", 10**7, 10**7) == "ivf-sq"
    assert choose_index("exact", 10**7, 10**7) == "exact"


def test_an_index_tells_its_recall(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("faiss")
    rows = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    lines = [f"line {number}" for number in range(300)]
    sides = [embed_side(name, lines, rows, tmp_path) for name in ("source", "target")]
    with caplog.at_level("INFO", "labse.mining"):
        found = find_neighbours(EmbeddedSides(*sides, tmp_path), 2, SearchOptions(index="hnsw"))
    assert (found.forward.neighbours[:, 0] == np.arange(300)).mean() > 0.95
    assert "index hnsw, source side: recall" in caplog.text


def test_an_index_is_not_searched_on_a_device() -> None:
    with pytest.raises(UsageError, match="hnsw searches on the CPU"):
        SearchOptions(index="hnsw", device="cuda")
