import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.json_executor import JsonExecutor

from labse.cleaning.bounds import FilterBounds, PairBounds, recommend_bounds
from labse.cleaning.pipeline import clean
from labse.config import parse_config
from labse.corpus.readers import read_pairs
from labse.corpus.shards import write_shard
from labse.errors import LabseError, UsageError
from labse.mining.bitext import SearchOptions
from labse.mining.filter import (
    FilterReport,
    decide,
    filter_pairs,
    find_broken,
    read_scores,
)
from labse.mining.text_scores import score_texts, to_json

GOOD = {
    "cosine": 0.75,
    "margin": 1.25,
    "source_characters": 40,
    "target_characters": 40,
    "length_ratio": 1.5,
    "overlap": 0.125,
    "number_mismatch": 0.25,
    "name_mismatch": 0,
    "source_language_match": 1,
    "target_language_match": 0.5,
}


def columns(*rows: Mapping[str, float]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}


def write(path: Path, *rows: Mapping[str, float]) -> Path:
    path.write_text("".join(f"{line}\n" for line in to_json(columns(*rows))))
    return path


def test_texts_that_are_scored_elsewhere_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labse.mining.filter._CHUNK_ROWS", 2)
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"Es sind {n} Hunde.\tThere are {n % 3} dogs.\tde\ten\n" for n in range(5))
    Path("pairs.tsv").write_text(f"source\ttarget\tsource_lang\ttarget_lang\n{rows}", "utf-8")
    np.save("vectors.npy", np.eye(5, dtype=np.float32) + 0.1)
    written = []
    for name, workers in (("here", 1), ("there", JsonExecutor())):
        report = filter_pairs(
            "pairs.tsv",
            out=f"{name}.tsv",
            scores=f"{name}.jsonl",
            bounds=FilterBounds(max_number_mismatch=0.5, min_quality=0.0, min_margin=0.1),
            vectors=("vectors.npy", "vectors.npy"),
            search=SearchOptions(workers=workers),
            work=Path(name),
        )
        assert (report.num_read, report.num_kept) == (5, 3)
        assert not Path(name, ".text_scores").exists()
        written.append(Path(f"{name}.jsonl").read_bytes() + Path(f"{name}.tsv").read_bytes())
    assert written[0] == written[1]


def test_a_pair_at_every_bound_is_kept() -> None:
    bounds = FilterBounds(
        min_cosine=0.75,
        min_margin=1.25,
        max_length_ratio=1.5,
        max_overlap=0.125,
        max_number_mismatch=0.25,
        min_language_match=0.5,
        same_names=True,
    )
    assert find_broken(columns(GOOD), bounds) == [()]


def test_a_bound_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match=r"min_cosine: .*finite number"):
        parse_config(FilterBounds, {"min_cosine": float("nan")}, where="filter")


@pytest.mark.parametrize(
    ("change", "bounds", "reason"),
    [
        ({"cosine": 0.74}, {"min_cosine": 0.75}, "min_cosine"),
        ({"margin": 1.24}, {"min_margin": 1.25}, "min_margin"),
        ({"length_ratio": 1.6}, {"max_length_ratio": 1.5}, "max_length_ratio"),
        ({"overlap": 1.0}, {"max_overlap": 0.9}, "max_overlap"),
        ({"number_mismatch": 0.5}, {"max_number_mismatch": 0.25}, "max_number_mismatch"),
        ({"target_language_match": 0}, {"min_language_match": 0.5}, "min_language_match"),
        ({"source_language_match": 0}, {"min_language_match": 0.5}, "min_language_match"),
        ({"name_mismatch": 1}, {"same_names": True}, "same_names"),
        ({"target_characters": 0}, {}, "empty"),
    ],
)
def test_each_bound_drops_by_its_name(change: dict, bounds: dict, reason: str) -> None:
    scores = columns(GOOD, GOOD | change)
    assert find_broken(scores, FilterBounds(**bounds)) == [(), (reason,)]
    if reason != "empty":
        assert find_broken(scores, FilterBounds()) == [(), ()]


def test_a_bound_on_a_score_that_is_not_there_is_an_error() -> None:
    scores = {name: column for name, column in columns(GOOD).items() if name != "margin"}
    with pytest.raises(LabseError, match="min_margin is set, and the scores have no margin"):
        find_broken(scores, FilterBounds(min_margin=1.0))


def test_texts_are_scored_pair_by_pair() -> None:
    scored = score_texts(["Hello 25", " ", "same words"], ["Hallo 35", "x", "same words"], None)
    assert scored["source_characters"].tolist() == [8, 0, 10]
    assert scored["number_mismatch"].tolist() == [1, 0, 0]
    assert scored["overlap"].tolist() == [0, 0, 1]


def test_languages_are_sure_unknown_or_other() -> None:
    pytest.importorskip("pycld2")
    pytest.importorskip("py3langid")
    german = "Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter von gestern."
    english = "This is a very ordinary English sentence about the weather of yesterday."
    scored = score_texts([german, german], [english, german], (["de"] * 2, ["eng"] * 2))
    assert scored["source_language_match"].tolist() == [1, 1]
    assert scored["target_language_match"].tolist() == [1, 0]


def test_scores_come_back_from_json_as_they_were(tmp_path: Path) -> None:
    known = {name: GOOD[name] for name in GOOD if name != "margin" and "language" not in name}
    for row in (GOOD, known | {"cosine": 0.1234567}):
        (back,) = read_scores(write(tmp_path / "scores.jsonl", row, row))
        assert {name: column.tolist() for name, column in back.items()} == {
            name: column.tolist() for name, column in columns(row, row).items()
        }


@pytest.mark.parametrize("line", ["{}", "[1]", "nothing", '{"cosine": 1, "other": 2}'])
def test_a_broken_line_of_scores_is_named(line: str, tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", GOOD)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(LabseError, match=r"scores.jsonl, line 2: not a line of labse filter"):
        list(read_scores(path))


def test_pairs_are_kept_or_written_and_counted_with_their_reasons(tmp_path: Path) -> None:
    rows = [GOOD | {"cosine": c, "length_ratio": r} for c in (0.9, 0.1) for r in (1, 9)]
    scores, rejects = write(tmp_path / "scores.jsonl", *rows), tmp_path / "no.jsonl"
    bounds, report = FilterBounds(min_cosine=0.5, max_length_ratio=2), FilterReport()
    pairs = [(f"source {number}", f"target {number}") for number in range(1, 5)]
    assert list(decide(pairs, scores, bounds, report, rejects)) == pairs[:1]
    told = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(row["line"], row["reasons"]) for row in told] == [
        (2, ["max_length_ratio"]),
        (3, ["min_cosine"]),
        (4, ["min_cosine", "max_length_ratio"]),
    ]
    assert told[0]["source"] == "source 2"
    assert (report.num_read, report.num_kept) == (4, 1)
    assert report.broken == {"min_cosine": 2, "max_length_ratio": 2}
    assert report.only == {"min_cosine": 1, "max_length_ratio": 1}


def test_a_corpus_with_vectors_is_filtered_as_one_call(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\ntwo\n\nthree 4\n")
    (tmp_path / "b").write_text("eins\nzwei\nx\ndrei 5\n")
    np.save(tmp_path / "a.npy", np.array([[1, 0], [1, 0], [1, 1], [0, 1]], np.float32))
    np.save(tmp_path / "b.npy", np.array([[1, 0], [0, 1], [1, 1], [0, 1]], np.float32))
    files, out, scores = (tmp_path / "a", tmp_path / "b"), tmp_path / "k.tsv", tmp_path / "s.jsonl"
    vectors = (tmp_path / "a.npy", tmp_path / "b.npy")
    bounds = FilterBounds(min_cosine=0.5)
    report = filter_pairs(*files, out, bounds=bounds, vectors=vectors, scores=scores)
    assert out.read_text() == "source\ttarget\none\teins\nthree 4\tdrei 5\n"
    assert (report.num_read, report.broken) == (4, {"min_cosine": 1, "empty": 1})
    # Other bounds need neither vectors nor a model.
    report = filter_pairs(
        *files, out, bounds=FilterBounds(max_number_mismatch=0), from_scores=scores
    )
    assert out.read_text() == "source\ttarget\none\teins\ntwo\tzwei\n"
    assert report.only == {"max_number_mismatch": 1, "empty": 1}


def test_mined_tables_are_cut_by_their_score_without_a_model(tmp_path: Path) -> None:
    mined, out = tmp_path / "mined.tsv", tmp_path / "kept.tsv"
    header = "margin_score\tsource\ttarget\tsource_lang\ttarget_lang\n"
    mined.write_text(f"{header}1.3000\teins\tone\tdeu\teng\n1.2000\tzwei\tthree\tdeu\teng\n")
    bounds = FilterBounds(min_score=1.3)
    report = filter_pairs(mined, out=out, bounds=bounds, encoder=lambda: pytest.fail("a model"))
    assert report.only == {"min_score": 1}
    assert [(p.source, p.target, p.source_lang) for p in read_pairs(out)] == [
        ("eins", "one", "deu")
    ]
    # What is kept can be cut again, and goes to TMX without naming the languages again.
    filter_pairs(out, out=tmp_path / "kept.tmx", bounds=bounds)
    assert 'xml:lang="de"' in (tmp_path / "kept.tmx").read_text()


def test_a_folder_of_shards_is_filtered_as_the_table_that_it_is(tmp_path: Path) -> None:
    for number, text in enumerate(("one", "")):
        columns = {
            "source_lang": ["deu"],
            "target_lang": ["eng"],
            "source": ["a"],
            "target": [text],
        }
        kept = tmp_path / "clean" / "kept"
        kept.mkdir(parents=True, exist_ok=True)
        write_shard(kept / f"part-{number:05}.parquet", columns)
    report = filter_pairs(tmp_path / "clean", out=tmp_path / "o.jsonl", bounds=FilterBounds())
    assert (report.num_read, report.num_kept) == (2, 1)
    assert [pair.target_lang for pair in read_pairs(tmp_path / "o.jsonl")] == ["eng"]


def test_a_bound_on_the_mined_score_needs_the_column(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("source\ttarget\na\tb\n")
    with pytest.raises(UsageError, match="no column margin_score, which --min-score is for"):
        filter_pairs(tmp_path / "p.tsv", out=tmp_path / "o.tsv", bounds=FilterBounds(min_score=1))
    (tmp_path / "p.tsv").write_text("margin_score\tsource\ttarget\nhigh\ta\tb\n")
    with pytest.raises(LabseError, match="pair 1: margin_score is 'high'"):
        filter_pairs(tmp_path / "p.tsv", out=tmp_path / "o.tsv", bounds=FilterBounds(min_score=1))


@pytest.mark.parametrize(
    ("out", "rejects", "message"),
    [
        ("o.csv", None, "cannot tell the format from '.csv'"),
        ("o.jsonl", "o.jsonl", "would replace"),
    ],
)
def test_outputs_are_checked_before_anything_is_scored(
    tmp_path: Path, out: str, rejects: str | None, message: str
) -> None:
    (tmp_path / "p.tsv").write_text("source\ttarget\na\tb\n")
    places = {"out": tmp_path / out, "rejects": rejects and tmp_path / rejects}
    bounds, missing = FilterBounds(min_cosine=0), tmp_path / "none"
    with pytest.raises(UsageError, match=message):
        filter_pairs(tmp_path / "p.tsv", bounds=bounds, encoder=missing, **places)  # type: ignore[arg-type]


def test_a_text_alone_is_no_corpus_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(UsageError, match="give TARGET too"):
        filter_pairs(tmp_path / "a.txt", out=tmp_path / "k.tsv", bounds=FilterBounds())


WORDS = st.lists(
    st.sampled_from(
        [
            "Haus",
            "house",
            "the",
            "Paris",
            "Berlin",
            "lives",
            "in",
            "3",
            "12",
            "250",
            "1984",
            "Satz",
            "Ä",
            "图书馆",
            "я",
            ",",
        ]
    ),
    max_size=6,
).map(" ".join)
SHARE = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
OPEN = {
    **dict.fromkeys(("min_characters", "min_letter_share", "min_script_share"), 0),
    **dict.fromkeys(("min_language_match", "min_quality_prob"), 0),
    **dict.fromkeys(("max_control_share", "max_broken_share", "max_digit_share"), 1),
    **dict.fromkeys(("max_symbol_share", "max_markup_share", "max_repetition_share"), 1),
}


@settings(deadline=None, max_examples=25)
@given(
    pairs=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12),
    shared=st.fixed_dictionaries(
        {
            "max_length_ratio": st.floats(1, 3, width=32),
            "max_overlap": SHARE,
            "max_number_mismatch": SHARE,
            "same_names": st.booleans(),
        }
    ),
)
def test_corpus_clean_and_filter_decide_alike_with_the_same_bounds(
    tmp_path_factory: pytest.TempPathFactory,
    pairs: list[tuple[str, str]],
    shared: dict,
) -> None:
    folder = tmp_path_factory.mktemp("alike")
    sources, targets = map(list, zip(*pairs, strict=True))
    langs = {side: ["und"] * len(pairs) for side in ("source_lang", "target_lang")}
    write_shard(folder / "pairs.parquet", langs | {"source": sources, "target": targets})
    bounds = PairBounds(**(OPEN | {"min_characters": 1} | shared))
    clean([folder / "pairs.parquet"], folder / "out", bounds=bounds, identify=False)
    kept = pq.read_table(folder / "out" / "kept").select(["source", "target"]).to_pylist()

    scores = score_texts(sources, targets, None) | {"cosine": np.ones(len(pairs), np.float32)}
    (folder / "scores.jsonl").write_text("".join(f"{line}\n" for line in to_json(scores)))
    filtered = decide(pairs, folder / "scores.jsonl", FilterBounds(**shared), FilterReport())
    assert [tuple(row.values()) for row in kept] == list(filtered)


def test_without_bounds_they_are_the_recommended_ones(tmp_path: Path) -> None:
    rows = ["source\ttarget", "All human beings are born free.\tAlle Menschen sind frei."]
    rows.append("Save the selected file\tSave the selected file")
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n")
    plain = filter_pairs(tmp_path / "pairs.tsv", out=tmp_path / "a.tsv")
    told = filter_pairs(
        tmp_path / "pairs.tsv", out=tmp_path / "b.tsv", bounds=recommend_bounds(has_langs=False)
    )
    assert (plain.num_kept, plain.broken) == (1, told.broken)
