from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder
from labse.errors import LabseError, ResourceError, UsageError
from labse.evaluation.significance import build_sample
from labse.evaluation.un import (
    UnScore,
    build_un_report,
    evaluate_un,
    search_shards,
    write_pool,
)
from labse.search.knn import nearest_neighbours


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.mark.parametrize("shard_rows", [1, 3, 100])
def test_p_at_1_by_hand_whatever_the_shards(
    encoder: Encoder, tmp_path: Path, shard_rows: int
) -> None:
    score = evaluate_un(
        encoder,
        write(tmp_path / "un.en", "en:0", "en:1", "en:2", "en:3"),
        write(tmp_path / "un.fr", "fr:0", "fr:1", "fr:2+9*0.5", "fr:1"),
        tmp_path / "pool",
        distractors=write(tmp_path / "more", "fr:2+9*0.1", "fr:7"),
        shard_rows=shard_rows,
    )
    # en:2 finds the distractor, en:3 nothing alike, hence the first row.
    assert score.sample.values[:, 0].tolist() == [1, 1, 0, 0]
    assert (score.p_at_1, score.num_pool, score.num_queries) == (0.5, 6, 4)
    assert score.signature.startswith(
        "p_at_1|data:un|lang_pair:en-fr|queries:4|pool:6|dtype:float16|match:text|"
    )
    assert len(list((tmp_path / "pool").glob("*.npy"))) == -(-6 // shard_rows)
    assert np.load(tmp_path / "pool" / "00000.npy").dtype == np.float16


def test_a_row_of_equal_text_is_the_translation(encoder: Encoder, tmp_path: Path) -> None:
    source = write(tmp_path / "un.en", "en:0", "us:0")
    target = write(tmp_path / "un.fr", "fr:0", "fr:0")
    assert evaluate_un(encoder, source, target).p_at_1 == 1.0


def test_queries_are_spread_evenly(encoder: Encoder, tmp_path: Path) -> None:
    source = write(tmp_path / "un.en", *(f"en:{n}" for n in range(9)))
    target = write(tmp_path / "un.fr", *(f"fr:{n}" for n in range(9)))
    score = evaluate_un(encoder, source, target, num_queries=3)
    assert encoder.calls[0] == ["en:0", "en:4", "en:8"]  # type: ignore[attr-defined]
    assert score.p_at_1 == 1.0


def test_shards_give_what_one_search_gives(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    queries = generator.standard_normal((20, 16)).astype(np.float32)
    pool = generator.standard_normal((90, 16)).astype(np.float16)
    pool[60] = pool[10]  # A copy in a later shard never wins.
    paths: list[Path | NDArray[np.floating]] = [pool[:25]]
    for number, rows in enumerate((pool[25:70], pool[70:])):
        path = tmp_path / f"{number}.npy"
        np.save(path, rows)
        paths.append(path)
    whole = nearest_neighbours(queries, pool, 1)
    found = search_shards(queries, paths, block_rows=7)
    assert np.array_equal(found.neighbours, whole.neighbours)
    assert np.array_equal(found.similarities, whole.similarities)


def test_a_pool_without_rows_or_with_a_broken_shard_is_bad_data(tmp_path: Path) -> None:
    queries = np.ones((1, 2), np.float32)
    with pytest.raises(LabseError, match="the pool is empty"):
        search_shards(queries, [])
    with pytest.raises(ResourceError, match="cannot be read"):
        search_shards(queries, [tmp_path / "absent.npy"])
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(LabseError, match="no array of numbers"):
        search_shards(queries, [tmp_path / "x.npy"])


def test_an_encoder_of_changing_widths_is_caught(tmp_path: Path) -> None:
    class Growing:
        def __init__(self) -> None:
            self.width = 1

        def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
            self.width += 1
            return np.ones((len(sentences), self.width), np.float32)

    with pytest.raises(LabseError, match="2 dimensions first and 3 later"):
        write_pool(Growing(), ["a", "b"], tmp_path, shard_rows=1)
    with pytest.raises(ValueError, match="shard_rows"):
        write_pool(Growing(), ["a"], tmp_path, shard_rows=0)


def test_what_is_wrong_with_files_is_told_before_the_work(encoder: Encoder, tmp_path: Path) -> None:
    source = write(tmp_path / "un.en", "en:0", "en:1")
    target = write(tmp_path / "un.fr", "fr:0")
    with pytest.raises(LabseError, match=r"un\.en has 2 lines, .*un\.fr has 1"):
        evaluate_un(encoder, source, target)
    for pair, message in (("en-qqqq", "unknown language 'qqqq'"), ("en", "give the pair")):
        with pytest.raises(UsageError, match=message):
            evaluate_un(encoder, source, target, lang_pair=pair)
    with pytest.raises(UsageError, match="has 2 lines; it cannot give 3 queries"):
        evaluate_un(encoder, source, source, num_queries=3)
    empty = write(tmp_path / "none.en")
    with pytest.raises(LabseError, match="no lines"):
        evaluate_un(encoder, empty, empty)
    np.save(tmp_path / "00000.npy", np.ones(1))
    with pytest.raises(UsageError, match="holds vectors already"):
        evaluate_un(encoder, source, source, tmp_path)
    assert encoder.calls == []  # type: ignore[attr-defined]


UN = UnScore("en-fr", 100, 9_000_000, 0.871, "p_at_1|x:1", build_sample("en-fr", [[1]], "a"))


def test_the_papers_un_stands_beside_a_pool_of_its_size_only() -> None:
    assert build_un_report(UN).tables[0].rows == (("en-fr", "100", "9,000,000", "87.1", "88.3"),)
    small = build_un_report(replace(UN, num_pool=1000))
    assert small.tables[0].rows[0][-1] == ""
    assert "10,000,000" in small.notes[0]
    assert build_un_report(replace(UN, lang_pair="en-sw")).tables[0].rows[0][-1] == ""
