"""Lines and vectors of two sides: opened, unified, embedded, and kept in the work folder."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.encoder.job.embeddings import open_embeddings
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError
from labse.files.stage import Stage, open_stage
from labse.mining import sides as sides_module
from labse.mining.bitext import SearchOptions, choose_index, count_products, find_neighbours
from labse.mining.sides import EmbeddedSides, embed_side, embed_sides, open_sides


class LetterEncoder:
    """A vector tells the first letter and the length; remembers what it was asked."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls: list[list[str]] = []
        self.stop_after = stop_after

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        if len(self.calls) == self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(list(sentences))
        return np.array([[ord(s[0]) - 90, len(s)] for s in sentences], np.float32)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "stage", {}) as opened:
        yield opened


@settings(deadline=None, max_examples=30)
@given(lines=st.lists(st.sampled_from(["a", "b", "", " ", "\u3000", "a\tb", "c\nd\r", "ß", "a "])))
def test_distinct_lines_are_those_that_a_dictionary_finds(lines: list[str]) -> None:
    with open_stage(None, {}) as stage:
        store = embed_side("source", iter(lines), LetterEncoder(), stage).lines
        text = [line for line in lines if line.strip()]
        expected = list(dict.fromkeys(text))
        assert list(store.read(range(len(store)))) == expected
    assert store.first_lines.tolist() == list(map(lines.index, expected))
    assert store.num_blank == len(lines) - len(text)
    assert store.num_repeated == len(text) - len(expected)
    for line, number in zip(lines, store.distinct.tolist(), strict=True):
        assert (number == -1) == (not line.strip())
        assert number == -1 or expected[number] == line


def test_lines_are_read_in_any_order(stage: Stage) -> None:
    lines = ["one", "two", "x" * 1_000_000, "drei"]
    store = embed_side("source", lines, LetterEncoder(), stage).lines
    assert [len(line) for line in store.read([3, 2, 0, 0])] == [4, 1_000_000, 3, 3]


def test_lines_are_read_and_embedded_once(stage: Stage) -> None:
    first = embed_side("source", ["ab", "c", "ab", ""], LetterEncoder(), stage)
    idle = LetterEncoder(stop_after=0)
    again = embed_side("source", iter(()), idle, stage)
    assert again.vectors.tolist() == first.vectors.tolist() == [[7, 2], [9, 1]]


def test_given_vectors_are_those_of_the_first_lines(stage: Stage) -> None:
    rows = np.arange(1, 11, dtype=np.float16).reshape(5, 2)
    side = embed_side("source", ["a", "bb", "a", "", "cccc"], rows, stage)
    assert side.vectors.tolist() == rows[[0, 1, 4]].tolist()
    assert side.vectors.dtype == np.float32


def test_a_killed_call_goes_on_with_the_next_chunk_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sides_module, "_CHUNK_ROWS", 3)
    lines = [f"{letter}{letter}" for letter in "abcdefghij"]
    seen: list[int] = []
    with open_stage(tmp_path / "whole", {}) as stage:
        embed_side("source", lines, LetterEncoder(), stage)
    for _ in range(3):
        with open_stage(tmp_path / "resumed", {}) as stage, pytest.raises(KeyboardInterrupt):
            embed_side("source", lines, LetterEncoder(stop_after=1), stage)
    last = LetterEncoder()
    with open_stage(tmp_path / "resumed", {}) as stage:
        embed_side("source", lines, last, stage, lambda done, _: seen.append(done))
    assert (last.calls, seen) == ([["jj"]], [10])
    files = [tmp_path / name / "source" / "vectors.npy" for name in ("whole", "resumed")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("damage", ["head", "end", "all"])
def test_vectors_that_are_damaged_are_made_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "work" / "source" / "vectors.npy"
    with open_stage(tmp_path / "work", {}) as stage:
        embed_side("source", ["ab", "c"], LetterEncoder(), stage)
    written = path.read_bytes()
    path.write_bytes({"head": b"zzzz" + written[4:], "end": written[:-2], "all": b""}[damage])
    with open_stage(tmp_path / "work", {}) as stage:
        embed_side("source", ["ab", "c"], LetterEncoder(), stage)
    assert path.read_bytes() == written


@pytest.mark.parametrize(("value", "fault"), [(np.nan, "NaN"), (np.inf, "NaN"), (0, "only zeros")])
def test_a_broken_vector_is_named_by_its_row(value: float, fault: str, stage: Stage) -> None:
    rows = np.ones((6, 2), np.float32)
    rows[4] = value
    with pytest.raises(LabseError, match=rf"target, row 4 \(from 0\): .*{fault}"):
        embed_side("target", "abcdef", rows, stage)


def test_lines_and_vectors_must_be_as_many(stage: Stage) -> None:
    with pytest.raises(LabseError, match="source: 2 lines and 3 vectors"):
        embed_side("source", ["a", "b"], np.ones((3, 2), np.float32), stage)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_rows_of_a_mapped_file_do_not_stay_in_memory(tmp_path: Path, stage: Stage) -> None:
    np.save(tmp_path / "rows.npy", np.ones((40_000, 256), np.float32))  # 39 MiB.
    rows = open_embeddings(tmp_path / "rows.npy")

    def mapped_kilobytes() -> int:
        status = Path("/proc/self/status").read_text("utf-8")
        return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("RssFile"))

    before = mapped_kilobytes()
    embed_side("source", map(str, range(40_000)), rows, stage)
    assert mapped_kilobytes() - before < 10_000


def test_vectors_alone_stand_for_numbered_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((3, 2), np.float32))
    path = tmp_path / "v.npy"
    side, _ = open_sides(path, path)
    assert list(side.texts) == ["0", "1", "2"]
    assert not side.has_text
    with pytest.raises(UsageError, match="leave out --source-vectors"):
        open_sides(path, path, vectors=(path, None))


def test_tables_give_a_column_each(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("source\ttarget\na\tb\n")
    table = tmp_path / "t.tsv"
    sides = open_sides(table, table, columns=("source", "target"))
    assert [list(side.texts) for side in sides] == [["a"], ["b"]]
    assert list(sides[1].texts) == ["b"]  # Read again.


def test_vectors_of_different_widths_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.float32))
    np.save(tmp_path / "b.npy", np.ones((3, 4), np.float32))
    sides = open_sides(tmp_path / "a.npy", tmp_path / "b.npy")
    with (
        pytest.raises(LabseError, match="vectors of 2 values"),
        embed_sides(sides, None, work=None, settings={}),
    ):
        pass


@pytest.mark.parametrize("changed", ["content", "--k", "vectors"])
def test_a_work_folder_of_other_inputs_or_options_is_refused(tmp_path: Path, changed: str) -> None:
    np.save(tmp_path / "v.npy", np.ones((1, 2), np.float32))
    text, vectors = tmp_path / "a.txt", tmp_path / "v.npy"
    text.write_text("a\n")

    def embed(k: int) -> None:
        sides = open_sides(text, text, vectors=(vectors, vectors))
        with embed_sides(sides, None, work=tmp_path / "work", settings={"--k": k}):
            pass

    embed(4)
    embed(4)
    if changed == "content":
        text.write_text("b\n")
    elif changed == "vectors":
        np.save(vectors, np.full((1, 2), 2, np.float32))
    name = "--k" if changed == "--k" else "source"
    with pytest.raises(UsageError, match=f"begun with another .*{name}"):
        embed(5 if changed == "--k" else 4)


def test_an_encoder_says_all_that_its_vectors_depend_on(model: Path) -> None:
    described = sides_module.describe_encoder(SentenceEncoder.from_pretrained(model))
    assert described["--precision"] == "float32"
    assert described["--runtime"] == "numpy"


def embed_both(
    stage: Stage, source: NDArray[np.float32], target: NDArray[np.float32]
) -> EmbeddedSides:
    embedded = [
        embed_side(name, [f"line {n}" for n in range(len(rows))], rows, stage)
        for name, rows in (("source", source), ("target", target))
    ]
    return EmbeddedSides(*embedded, stage)


def test_embedded_sides_are_searched(stage: Stage) -> None:
    source, target = np.array([[7, 2], [9, 1]]), np.array([[1, 0.1]])
    sides = embed_both(stage, source.astype(np.float32), target.astype(np.float32))
    found = find_neighbours(sides, 4)
    assert found.forward.neighbours.tolist() == [[0], [0]]
    assert found.backward.neighbours.tolist() == [[1, 0]]


def test_unequal_widths_are_named(stage: Stage) -> None:
    sides = embed_both(stage, np.ones((1, 2), np.float32), np.ones((1, 3), np.float32))
    with pytest.raises(LabseError, match="source has 2 dimensions and the target 3"):
        find_neighbours(sides, 1)


def test_a_blank_side_has_no_neighbours(stage: Stage) -> None:
    source = embed_side("source", ["", " "], LetterEncoder(), stage)
    target = embed_side("target", ["a"], LetterEncoder(), stage)
    found = find_neighbours(EmbeddedSides(source, target, stage), 4)
    assert found.forward.neighbours.shape == (0, 0)
    assert found.backward.neighbours.shape == (1, 0)


def test_only_what_would_take_days_is_approximate() -> None:
    assert choose_index("auto", 10**6, 10**6) == "exact"
    assert choose_index("auto", 10**7, 10**7) == "ivf-sq"
    assert choose_index("exact", 10**7, 10**7) == "exact"


def test_an_index_tells_its_recall(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("faiss")
    rows = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    with caplog.at_level("INFO", "labse.mining"):
        found = find_neighbours(embed_both(stage, rows, rows), 2, SearchOptions(index="hnsw"))
    assert (found.forward.neighbours[:, 0] == np.arange(300)).mean() > 0.95
    assert "index hnsw, source side: recall" in caplog.text
    assert "the exact search takes no longer" in caplog.text


def test_the_effort_of_an_index_is_for_that_index() -> None:
    assert SearchOptions(index="ivf-sq", nprobe=8).effort == 8
    assert SearchOptions(index="hnsw", ef=32).effort == 32
    with pytest.raises(UsageError, match="--gpus-per-task is for --index exact"):
        SearchOptions(index="hnsw", gpus_per_task=1, workers=2)
    with pytest.raises(UsageError, match="--nprobe is for --index ivf, not for auto"):
        SearchOptions(nprobe=8)
    with pytest.raises(UsageError, match="--ef is for --index hnsw, not for ivf"):
        SearchOptions(index="ivf", ef=8)


def test_an_index_is_worth_its_while_for_large_corpora_only() -> None:
    for index in ("ivf", "ivf-sq", "hnsw"):
        options = SearchOptions(index=index)  # type: ignore[arg-type]
        assert count_products(options, 30_000, 30_000) > 30_000**2
        assert count_products(options, 10**6, 10**6) < 10**12 / 3
    assert count_products(SearchOptions(), 1000, 10) == 10_000


def test_an_index_is_not_searched_on_a_device() -> None:
    with pytest.raises(UsageError, match="hnsw searches on the CPU"):
        SearchOptions(index="hnsw", device="cuda")


def test_memory_too_little_to_search_with_is_refused() -> None:
    with pytest.raises(UsageError, match="--memory 15M: give at least 16M"):
        SearchOptions(memory_bytes=15 << 20)
