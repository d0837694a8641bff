import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.encoder.job.embeddings import open_embeddings
from labse.errors import LabseError
from labse.mining.line_store import LineStore, write_line_store
from labse.mining.vectors import encoded_lines, given_rows, write_vectors


class LengthEncoder:
    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        return np.array([[len(sentence), 1] for sentence in sentences], np.float32)


@pytest.fixture
def store(tmp_path: Path) -> LineStore:
    (tmp_path / "lines").mkdir()
    return write_line_store(["a", "bb", "a", "", "cccc"], tmp_path / "lines")


def chunks_of(rows: NDArray[np.float32], size: int, stop_after: int | None = None):  # noqa: ANN201
    def chunks(start: int) -> Iterator[NDArray[np.float32]]:
        for number, first in enumerate(range(start, len(rows), size)):
            if number == stop_after:
                raise KeyboardInterrupt
            yield rows[first : first + size]

    return chunks


def test_distinct_lines_are_embedded_in_their_order(tmp_path: Path, store: LineStore) -> None:
    vectors = write_vectors(encoded_lines(LengthEncoder(), store), len(store), tmp_path)
    assert vectors.tolist() == [[1, 1], [2, 1], [4, 1]]


def test_given_vectors_are_those_of_the_first_lines(tmp_path: Path, store: LineStore) -> None:
    rows = np.arange(1, 11, dtype=np.float16).reshape(5, 2)
    vectors = write_vectors(given_rows(rows, store.first_lines, "v"), len(store), tmp_path)
    assert vectors.tolist() == rows[[0, 1, 4]].tolist()
    assert vectors.dtype == np.float32


def test_a_killed_run_goes_on_with_the_next_chunk_to_the_same_bytes(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((10, 4), dtype=np.float32)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    for folder in (whole, resumed):
        folder.mkdir()
    write_vectors(chunks_of(rows, 3), 10, whole)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            write_vectors(chunks_of(rows, 3, stop_after=1), 10, resumed)
    assert not (resumed / "vectors.npy").exists()
    seen: list[int] = []
    write_vectors(chunks_of(rows, 3), 10, resumed, lambda done, _: seen.append(done))
    assert seen == [10, 10]  # Only the last chunk was left.
    assert (whole / "vectors.npy").read_bytes() == (resumed / "vectors.npy").read_bytes()


def test_no_lines_give_an_empty_file(tmp_path: Path) -> None:
    empty = np.zeros((0, 4), np.float32)
    assert len(write_vectors(chunks_of(empty, 3), 0, tmp_path)) == 0


@pytest.mark.parametrize(("value", "fault"), [(np.nan, "NaN"), (np.inf, "NaN"), (0, "zeros")])
def test_a_broken_vector_is_named_by_its_row(value: float, fault: str, tmp_path: Path) -> None:
    rows = np.ones((6, 2), np.float32)
    rows[4] = value
    source = given_rows(rows, np.array([0, 2, 4]), "target")
    with pytest.raises(LabseError, match=rf"target, row 4 \(from 0\): .*{fault}"):
        write_vectors(source, 3, tmp_path)


def test_vectors_that_are_too_few_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="10 vectors for 12 lines"):
        write_vectors(chunks_of(np.ones((10, 2), np.float32), 4), 12, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_rows_of_a_mapped_file_do_not_stay_in_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((40_000, 256), np.float32))  # 39 MiB.
    rows = open_embeddings(tmp_path / "rows.npy")

    def mapped_kilobytes() -> int:
        status = Path("/proc/self/status").read_text("utf-8")
        return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("RssFile"))

    before = mapped_kilobytes()
    chunks = given_rows(rows, np.arange(40_000), "source")(0)
    assert sum(len(chunk) for chunk in chunks) == 40_000
    assert mapped_kilobytes() - before < 10_000
