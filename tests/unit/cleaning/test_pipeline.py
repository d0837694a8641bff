import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from labse.cleaning import pipeline
from labse.cleaning.bounds import PairBounds, TextBounds
from labse.cleaning.dedup import dedup_files
from labse.cleaning.pipeline import decide
from labse.cleaning.quality import BUCKET_BITS, QualityModel, save_quality_model
from labse.corpus.shards import write_shard
from labse.errors import LabseError, UsageError
from labse.files.stage import JOURNAL_NAME

GOOD = [
    ("deu", "The children played in the garden.", "Die Kinder spielten im Garten."),
    ("rus", "He came home at 10 o'clock.", "Он пришёл домой в 10 часов."),
    ("zho", "It rained the whole day yesterday.", "昨天下了一整天的雨。"),
]
FLAWED = {
    "untranslated": ("deu", "Save the selected file", "Save the selected file"),
    "target: wrong script": ("rus", "Open the window", "Otkroy okno, pozhaluysta"),
    "length ratio": ("deu", "No.", "Das ist eine sehr lange Antwort auf eine kurze Frage, nicht?"),
    "numbers disagree": ("deu", "Chapter 12 of 14", "Kapitel 15 von 19"),
    "target: broken encoding": ("fra", "The summer was hot.", "L'Ã©tÃ© Ã©tait chaud."),
    "target: too short": ("fra", "Nothing at all", ""),
    "target: repetition": ("deu", "I know it very well", "ja ja ja " * 12),
}


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    rows = [*GOOD, *FLAWED.values()]
    langs, english, text = zip(*rows, strict=True)
    path = tmp_path / "pairs.parquet"
    write_shard(path, {"lang": langs, "english": english, "text": text})
    return path


def test_two_aligned_text_files_are_cleaned_with_their_languages(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("".join(f"{english}\n" for _, english, _ in GOOD[:1]))
    (tmp_path / "a.de").write_text("".join(f"{text}\n" for _, _, text in GOOD[:1]))
    files, options = (tmp_path / "a.en", tmp_path / "a.de"), {"identify": False}
    report = pipeline.clean(
        files, tmp_path / "out", bounds=PairBounds(), langs=("en", "de"), identify=False
    )
    assert report.counts == {"a": {"eng-deu": {"kept": 1}}}
    # What was written goes on to the next step as the folder that it is.
    unique = dedup_files([tmp_path / "out"], tmp_path / "unique", kind="pairs")
    assert unique.kept == {"eng-deu": 1}
    straight = dedup_files(files, tmp_path / "b", kind="pairs", langs=("en", "de"))
    assert straight.kept == {"eng-deu": 1}
    for given, message in (((None, None), "need --source-lang"), (("en", None), "need --source")):
        with pytest.raises(UsageError, match=message):
            pipeline.clean(files, tmp_path / "c", bounds=PairBounds(), langs=given, **options)
    with pytest.raises(UsageError, match="are for pairs"):
        pipeline.clean(files, tmp_path / "c", bounds=TextBounds(), langs=("en", "de"))


def tree(folder: Path) -> dict[str, bytes]:
    files = (
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != JOURNAL_NAME
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def clean(file: Path, out: Path, **options: object):  # type: ignore[no-untyped-def]  # noqa: ANN201
    settings = {"bounds": PairBounds(), "identify": False, "rows_per_shard": 4} | options
    return pipeline.clean([file], out, **settings)  # type: ignore[arg-type]


def test_every_row_is_kept_or_counted_with_a_reason(tmp_path: Path, pairs_file: Path) -> None:
    report = clean(pairs_file, tmp_path / "out", rejects=True)
    assert report.total()["kept"] == 3
    assert report.total().total() == 10
    assert report.counts["pairs"]["eng-fra"] == {
        "target: broken encoding": 1,
        "target: too short": 1,
    }
    kept = pq.read_table(tmp_path / "out" / "kept" / "pairs")
    rejects = pq.read_table(tmp_path / "out" / "rejects" / "pairs")
    assert kept.column("target_lang").to_pylist() == ["deu", "rus", "zho"]
    assert kept.column_names == ["source_lang", "target_lang", "source", "target"]
    assert rejects.column("reason").to_pylist() == list(FLAWED)
    assert rejects.column("overlap").to_pylist()[0] == 1
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["kind"], manifest["counts"]) == ("pairs", report.counts)


def test_texts_of_the_unknown_language_get_the_one_that_is_identified(tmp_path: Path) -> None:
    pytest.importorskip("pycld2")
    texts = ["Die Kinder spielten gestern im Garten hinter dem Haus.", "zzz 123"]
    write_shard(tmp_path / "in.parquet", {"lang": ["und", "und"], "text": texts})
    bounds = TextBounds(min_characters=0, min_letter_share=0, max_digit_share=1)
    clean(tmp_path / "in.parquet", tmp_path / "out", bounds=bounds, identify=True)
    kept = pq.read_table(tmp_path / "out" / "kept" / "in")
    assert kept.column("lang").to_pylist() == ["deu", "und"]


def test_a_quality_model_adds_a_score_that_a_bound_can_use(tmp_path: Path) -> None:
    model = QualityModel(np.zeros(1 << BUCKET_BITS, np.float32), np.array([1.0, 0.0]))
    save_quality_model(tmp_path / "quality", model, {})
    write_shard(tmp_path / "in.parquet", {"lang": ["eng"], "text": ["A sentence of clean prose."]})
    bounds = TextBounds(min_quality_prob=0.6)
    options = {"bounds": bounds, "quality": tmp_path / "quality"}
    report = clean(tmp_path / "in.parquet", tmp_path / "out", **options)
    assert report.counts == {"in": {"eng": {"low quality": 1}}}
    scores = pq.read_table(tmp_path / "out" / "scores" / "in")
    assert scores.column("quality_prob").to_pylist() == [0.5]
    assert pq.read_table(tmp_path / "out" / "kept" / "in").num_rows == 0


def test_a_bound_whose_score_is_not_there_is_refused(tmp_path: Path, pairs_file: Path) -> None:
    out = tmp_path / "out"
    bounds = PairBounds(min_quality_prob=0.5)
    with pytest.raises(UsageError, match=r"min_quality_prob: .* give --quality"):
        clean(pairs_file, out, bounds=bounds)
    assert not out.exists()
    clean(pairs_file, out)
    with pytest.raises(UsageError, match=r"min_quality_prob: .* give --quality"):
        decide(out, bounds=bounds)
    with pytest.raises(UsageError, match=r"min_language_match: .* leave out --no-language-id"):
        decide(out, bounds=PairBounds(min_language_match=1))


def test_other_bounds_decide_anew_without_scoring(tmp_path: Path, pairs_file: Path) -> None:
    out = tmp_path / "out"
    clean(pairs_file, out, rejects=True)
    before = tree(out / "scores")
    report = decide(out, bounds=PairBounds(max_overlap=1))
    assert report.total()["kept"] == 4
    assert tree(out / "scores") == before
    assert not (out / "rejects").exists()  # They told of the other bounds.
    again = clean(pairs_file, tmp_path / "again", bounds=PairBounds(max_overlap=1))
    assert again == report
    assert tree(out / "kept") == tree(tmp_path / "again" / "kept")


def test_a_run_that_lost_files_makes_the_same_bytes_again(tmp_path: Path, pairs_file: Path) -> None:
    out = tmp_path / "out"
    clean(pairs_file, out)
    whole = tree(out)
    (out / "kept" / "pairs" / "part-00001.parquet").unlink()
    (out / "scores" / "pairs" / "part-00002.parquet").unlink()
    (out / "scores" / "pairs" / ".part-00002.parquet.77-0a1b2c3d.tmp").write_bytes(b"half")
    clean(pairs_file, out)
    assert tree(out) == whole


def test_the_bytes_depend_on_neither_the_folder_nor_the_workers(
    tmp_path: Path, pairs_file: Path
) -> None:
    clean(pairs_file, tmp_path / "one")
    clean(pairs_file, tmp_path / "two", workers=2)
    journals = [(tmp_path / name / JOURNAL_NAME).read_text() for name in ("one", "two")]
    assert sorted(journals[0].splitlines()) == sorted(journals[1].splitlines())
    for folder in ("kept", "scores"):
        assert tree(tmp_path / "one" / folder) == tree(tmp_path / "two" / folder)


def test_a_folder_of_other_files_or_settings_is_refused(tmp_path: Path, pairs_file: Path) -> None:
    clean(pairs_file, tmp_path / "out")
    with pytest.raises(UsageError, match="another rows_per_shard"):
        clean(pairs_file, tmp_path / "out", rows_per_shard=5)
    with pytest.raises(UsageError, match="another kind"):
        clean(pairs_file, tmp_path / "out", bounds=TextBounds())
    with pytest.raises(UsageError, match="give bounds for pairs"):
        decide(tmp_path / "out", bounds=TextBounds())
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabseError, match="no whole scores"):
        decide(tmp_path / "empty", bounds=TextBounds())


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(f"a line of the folder {name}\n", "utf-8")
    report = pipeline.clean(
        [tmp_path / "b" / "x.txt", tmp_path / "a" / "x.txt"],
        tmp_path / "out",
        bounds=TextBounds(),
        lang="eng",
        identify=False,
    )
    assert list(report.counts) == ["a_x", "b_x"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["counts"] == {"a_x": {"eng": {"kept": 1}}, "b_x": {"eng": {"kept": 1}}}


def test_an_empty_file_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    file, out = tmp_path / "empty.txt", tmp_path / "out"
    report = pipeline.clean([file], out, bounds=TextBounds(), lang="eng", identify=False)
    assert report.counts == {}


def test_a_first_try_that_stopped_at_its_input_does_not_hold_the_folder(tmp_path: Path) -> None:
    texts = tmp_path / "a.txt"
    texts.write_bytes(b"A whole sentence stands here.\n\xff\n")
    with pytest.raises(LabseError, match="line 2: not valid UTF-8"):
        pipeline.clean([texts], tmp_path / "out", bounds=TextBounds(), lang="de", identify=False)
    texts.write_text("A whole sentence stands here.\n", encoding="utf-8")
    report = pipeline.clean(
        [texts], tmp_path / "out", bounds=TextBounds(), lang="en", identify=False
    )
    assert report.counts == {"a": {"eng": {"kept": 1}}}
    with pytest.raises(UsageError, match="another lang"):
        pipeline.clean([texts], tmp_path / "out", bounds=TextBounds(), lang="de", identify=False)


def test_a_folder_with_other_files_is_refused_and_they_stay(tmp_path: Path) -> None:
    out = tmp_path / "project"
    (out / "rejects").mkdir(parents=True)
    (out / "rejects" / "thesis.txt").write_text("years of work")
    (out / ".draft.1.tmp").touch()
    texts = tmp_path / "a.txt"
    texts.write_text("A whole sentence stands here.\n", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"holds other files \(rejects\); give a new or empty folder"
    ):
        pipeline.clean([texts], out, bounds=TextBounds(), lang="en", identify=False)
    assert (out / "rejects" / "thesis.txt").exists()
    assert (out / ".draft.1.tmp").exists()


def test_without_bounds_they_are_those_of_what_the_file_holds(
    pairs_file: Path, tmp_path: Path
) -> None:
    plain = pipeline.clean(pairs_file, tmp_path / "plain", identify=False)
    told = pipeline.clean([pairs_file], tmp_path / "told", bounds=PairBounds(), identify=False)
    assert (plain.kind, plain.counts) == ("pairs", told.counts)
    (tmp_path / "a.txt").write_text("Die Kinder spielten im Garten.\n", "utf-8")
    text = pipeline.clean(tmp_path / "a.txt", tmp_path / "text", lang="de", identify=False)
    assert (text.kind, text.bounds) == ("mono", TextBounds().model_dump())
