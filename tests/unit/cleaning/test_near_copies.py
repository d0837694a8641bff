from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.json_executor import JsonExecutor

from labse.cleaning.dedup import dedup_files
from labse.cleaning.near_copies import filter_step, jaccard_similarity, sign_step
from labse.corpus.shards import list_shards, read_shard, write_shard

pytest.importorskip("rensa")
BASE = "the quick brown fox jumps over the lazy dog while the old cat sleeps on the warm roof"
LINES = [
    BASE,
    BASE + ".",
    BASE.replace("warm", "cold"),
    "an entirely different sentence that has nothing to do with the first one at all",
    "Short",
    "short",
    "",
]


def run(folder: Path, lines: list[str], similarity: float) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    dedup_files([folder / "a.txt"], folder / "out", lang="eng", min_similarity=similarity)
    shards = list_shards(folder / "out")
    return [text for shard in shards for text in read_shard(shard).column("text").to_pylist()]


def test_the_longest_of_near_copies_stays(tmp_path: Path) -> None:
    kept = run(tmp_path, LINES, 0.8)
    assert BASE + "." in kept
    assert BASE not in kept
    assert LINES[2] not in kept
    assert LINES[3] in kept
    assert "" in kept
    assert len({"Short", "short"} & set(kept)) == 1  # Case folded, they are the same.


def test_what_is_less_alike_than_asked_stays(tmp_path: Path) -> None:
    similarity = jaccard_similarity(BASE + ".", LINES[2])
    assert 0.8 < similarity < 0.95
    assert LINES[2] in run(tmp_path / "strict", LINES, 0.95)
    assert LINES[2] not in run(tmp_path / "loose", LINES, round(similarity - 0.01, 3))


@settings(max_examples=6, deadline=None)
@given(st.permutations(LINES))
def test_the_order_of_rows_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("near")
    assert run(folder / "a", lines, 0.8) == run(folder / "b", LINES, 0.8)


def test_no_two_rows_that_stay_are_near_copies(tmp_path: Path) -> None:
    words = BASE.split()
    lines = [" ".join(words[n:] + words[:n]) for n in range(len(words))]
    lines += [line.replace("fox", "wolf") for line in lines]
    kept = run(tmp_path, lines, 0.7)
    alike = [jaccard_similarity(a, b) for n, a in enumerate(kept) for b in kept[:n]]
    # MinHash finds all but 1 in 5,000 pairs at 0.8 and all but 1 in 100 at 0.7.
    assert max(alike, default=0) < 0.8
    assert len(kept) < len(lines) / 4


def test_pairs_are_near_copies_only_if_both_sides_are(tmp_path: Path) -> None:
    rows = [
        ("eng", "deu", BASE, "eins"),
        ("eng", "deu", BASE + "!", "etwas ganz anderes"),
        ("eng", "fra", BASE, "eins"),
    ]
    names = ("source_lang", "target_lang", "source", "target")
    write_shard(tmp_path / "p.parquet", dict(zip(names, zip(*rows, strict=True), strict=True)))
    out = tmp_path / "out"
    report = dedup_files([tmp_path / "p.parquet"], out, kind="pairs", min_similarity=0.6)
    assert report.num_near == 0


def test_jaccard_is_that_of_sets_of_5_grams() -> None:
    assert jaccard_similarity("abcdef", "ABCDEF") == 1
    assert jaccard_similarity("abcdef", "abcdex") == pytest.approx(1 / 3)
    assert jaccard_similarity("", "") == 1
    assert jaccard_similarity("ab", "cd") == 0


def test_steps_sign_and_filter_a_shard(tmp_path: Path) -> None:
    shard = tmp_path / "part-00000.parquet"
    write_shard(shard, {"lang": ["eng"] * 3, "text": ["aaaaa", "bbbbb", "ccccc"]})
    out = tmp_path / "keys.npy"
    assert sign_step(str(shard), str(out), number=2, kind="mono") == {"num_rows": 3}
    kept, dropped = tmp_path / "kept.parquet", tmp_path / "dropped.npy"
    np.save(dropped, np.array([1 << 32, 2 << 32 | 1, 3 << 32], np.uint64))  # Of three shards.
    found = filter_step(str(shard), str(dropped), str(kept), number=2, kind="mono")
    assert found == {"dropped": {"eng": 1}}
    assert read_shard(kept).column("text").to_pylist() == ["aaaaa", "ccccc"]


def test_what_stays_depends_on_neither_shards_nor_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{BASE} number {n}{'.' * (n % 3)}" for n in range(30)] + LINES
    whole = run(tmp_path / "whole", lines, 0.8)
    monkeypatch.setattr("labse.cleaning.near_copies._COMPARED_PAIRS", 5)
    monkeypatch.setattr("labse.cleaning.near_copies._LEAST_PART_BITS", 7)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/a.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    out = tmp_path / "cut/out"
    dedup_files(
        tmp_path / "cut/a.txt",
        out,
        lang="eng",
        min_similarity=0.8,
        rows_per_shard=4,
        workers=JsonExecutor(),
    )
    texts = [t for shard in list_shards(out) for t in read_shard(shard).column("text").to_pylist()]
    assert texts == whole
    assert len(whole) < len(lines) / 2
