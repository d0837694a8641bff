import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.json_executor import JsonExecutor

from labse.corpus.records import Sentence
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.stage import open_stage
from labse.vocab import count_tables
from labse.vocab.count_tables import (
    CountTables,
    TableWriter,
    iter_merged,
    open_tables,
    smooth_tables,
)
from labse.vocab.counts import count_words, smooth_counts
from labse.vocab.folder import count_files, learn_vocabulary

Row = tuple[str, str]

rows_of_text = st.lists(
    st.tuples(st.text("ab中. 'é\x1c\t", max_size=12), st.sampled_from(["deu", "eng", "zho-Hant"])),
    max_size=20,
)
NEVER = 1 << 40


def write_tables(folder: Path, rows: list[Row], max_bytes: int = NEVER) -> CountTables:
    with open_stage(folder, {"counts_of": [folder.name], "lang": None}, section=None) as stage:
        writer = TableWriter(stage, {"f": folder.name}, lang=None, max_bytes=max_bytes)
        for row in rows[writer.num_rows("f") :]:
            writer.add_row("f", [row])
        return writer.close()


def merged(*tables: CountTables) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for word, by_lang in iter_merged(tables):
        for lang, count in by_lang.items():
            counts.setdefault(lang, Counter())[word] += count
    return counts


def counted(rows: list[Row]) -> dict[str, Counter[str]]:
    counts = count_words(Sentence(text, lang) for text, lang in rows)
    return {lang: words for lang, words in counts.items() if words}


@settings(deadline=None, max_examples=30)
@given(rows_of_text, st.integers(0, 20), st.sampled_from([1, NEVER]))
def test_tables_in_parts_and_on_two_machines_hold_the_counts_of_one_pass(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], cut: int, max_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("counts")
    first = write_tables(folder / "1", rows[:cut], max_bytes)
    second = write_tables(folder / "2", rows[cut:], max_bytes)
    assert merged(first, second) == counted(rows)
    assert open_tables(folder / "1") == first

    if not counted(rows):
        return
    for exponent in (0.0, 0.3, 1.0):
        words = smooth_tables([first, second], exponent, max_words=1000)
        expected = smooth_counts(count_words(Sentence(t, lang) for t, lang in rows), exponent)
        assert words.weights == expected  # Bit for bit.
        assert list(words.weights) == sorted(expected)
        assert words.num_words == len(expected)


def test_of_more_words_than_fit_the_heaviest_stay(tmp_path: Path) -> None:
    rows = [(" ".join(f"w{i}" for i in range(n)), "eng") for n in range(1, 10)]
    words = smooth_tables([write_tables(tmp_path / "c", rows)], 0.3, max_words=3)
    assert words.weights == pytest.approx({"w0": 9, "w1": 8, "w2": 7})
    assert words.num_words == 9


def test_memory_stays_in_bounds_however_many_words_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One buffer of 65,536 characters is always counted at once: about 3 MB of new words.
    tracemalloc.start()
    with open_stage(tmp_path / "c", {}) as stage:
        writer = TableWriter(stage, {"f": "x"}, lang=None, max_bytes=16 << 20)
        for number in range(60_000):
            writer.add_row("f", [(f"a{number} b{number} c{number}.", "eng")])
        tables = writer.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(tables.tables) > 2
    assert peak < 20 << 20
    assert tables.totals == {"eng": 240_000}


def test_a_checkpoint_is_written_after_so_much_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count_tables, "_CHECKPOINT_CHARS", 10)
    tables = write_tables(tmp_path / "c", [("aaaa bbbb", "eng")] * 5)
    assert len(tables.tables) == 3
    assert merged(tables) == {"eng": Counter(aaaa=5, bbbb=5)}


def test_a_run_that_was_cut_off_goes_on_at_the_row_after_the_last_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count_tables, "_CHECKPOINT_CHARS", 4)
    rows = [(f"w{number} x", "eng") for number in range(7)]
    with open_stage(tmp_path / "c", {"counts_of": ["c"], "lang": None}, section=None) as stage:
        writer = TableWriter(stage, {"f": "c"}, lang=None, max_bytes=NEVER)
        for row in rows[:4]:
            writer.add_row("f", [row])
        # As a kill does: what is only in memory is gone.
    (tmp_path / "c" / ".table-00002.tsv.zst.123-0a1b2c3d.tmp").write_bytes(b"half")
    with pytest.raises(LabseError, match="counting was stopped"):
        open_tables(tmp_path / "c")
    with pytest.raises(LabseError, match="counting was stopped"):
        learn_vocabulary([tmp_path / "c"], tmp_path / "v")
    tables = write_tables(tmp_path / "c", rows)
    assert merged(tables) == counted(rows)
    found = {path.name for path in (tmp_path / "c").iterdir()}
    assert found == {*tables.tables, "manifest.json", ".lock"}


def test_complete_counts_are_not_counted_again_and_no_others_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b\n")
    first = count_files([tmp_path / "a.txt"], tmp_path / "c", lang="deu")
    before = (tmp_path / "c" / "manifest.json").stat().st_mtime_ns
    assert count_files([tmp_path / "a.txt"], tmp_path / "c", lang="deu") == first
    assert (tmp_path / "c" / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="counts of other files"):
        count_files([tmp_path / "a.txt"], tmp_path / "c", lang="eng")
    (tmp_path / "a.txt").write_text("a c\n")
    with pytest.raises(UsageError, match="counts of other files"):
        count_files([tmp_path / "a.txt"], tmp_path / "c", lang="deu")


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        count_files([tmp_path / "a.txt"], tmp_path / "mine", lang="deu")
    assert (tmp_path / "mine" / "notes.txt").exists()
    with pytest.raises(ResourceError, match="cannot be written"):
        count_files([tmp_path / "a.txt"], tmp_path / "mine" / "notes.txt" / "c", lang="deu")


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_damaged_table_is_named(tmp_path: Path, damage: str) -> None:
    write_tables(tmp_path / "c", [("a b c d e", "eng")])
    path = tmp_path / "c" / "table-00000.tsv.zst"
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-3] if damage == "cut" else b"x" + content[1:])
    with pytest.raises(LabseError, match=r"table-00000\.tsv\.zst: missing or damaged"):
        open_tables(tmp_path / "c")


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    write_tables(tmp_path / "c", [("a", "eng")])
    path = tmp_path / "c" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "inputs": [{"path": 1}]}))
    with pytest.raises(LabseError, match="damaged"):
        open_tables(tmp_path / "c")
    path.write_text(json.dumps({"kind": "vocabulary"}))
    with pytest.raises(LabseError, match="describes no word counts"):
        open_tables(tmp_path / "c")


@pytest.mark.parametrize("text", ["b\teng\t1\na\teng\t1\n", "a\teng\n", "a\teng\t-1\n"])
def test_lines_that_are_no_counts_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(text)
    tables = CountTables(tmp_path, tables={"table.tsv": ""})
    with pytest.raises(LabseError, match="not a sorted line"):
        list(iter_merged([tables]))


def test_counts_of_two_machines_give_the_vocabulary_of_one(tmp_path: Path) -> None:
    for name, text in (("1.de", "guten Tag Tag\n"), ("2.en", "good day\n" * 3)):
        (tmp_path / name).write_text(text)
    files = [tmp_path / "1.tsv", tmp_path / "2.tsv"]
    files[0].write_text("source\ttarget\tsource_lang\ttarget_lang\nguten Tag\tgood day\tde\ten\n")
    files[1].write_text("source\ttarget\tsource_lang\ttarget_lang\nbonjour\tgood day\tfr\ten\n")
    for number, file in enumerate(files):
        count_files([file], tmp_path / f"counts{number}")
    folders = [tmp_path / "counts0", tmp_path / "counts1"]
    whole = learn_vocabulary(files, tmp_path / "whole", vocab_size=99, min_count=0.1)
    parts = learn_vocabulary(folders, tmp_path / "parts", vocab_size=99, min_count=0.1)
    assert parts == whole
    executor = JsonExecutor()
    options = {"vocab_size": 99, "min_count": 0.1, "workers": executor}
    tasks = learn_vocabulary(files, tmp_path / "tasks", counts=tmp_path / "by_file", **options)
    assert tasks == whole
    names = ("whole", "parts", "tasks")
    vocabularies = [(tmp_path / name / "vocab.txt").read_bytes() for name in names]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]
    again = learn_vocabulary([tmp_path / "by_file"], tmp_path / "again", vocab_size=99)
    assert again.inputs == whole.inputs
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()


def test_a_file_in_two_folders_of_counts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b\n")
    for name in ("c1", "c2"):
        count_files([tmp_path / "a.txt"], tmp_path / name, lang="deu")
    with pytest.raises(UsageError, match="would count twice"):
        learn_vocabulary([tmp_path / "c1", tmp_path / "c2"], tmp_path / "v")
    with pytest.raises(UsageError, match="--lang is for files"):
        learn_vocabulary([tmp_path / "c1"], tmp_path / "v", lang="deu")


@pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])
@pytest.mark.parametrize(
    ("text", "num_pieces"),
    [
        ("ab " * 9, 10),  # One language, one word: [PAD] to [MASK], a, b, ##a, ##b, ab.
        ("我爱" * 9, 7),  # All CJK: a character is a word.
        ("a\x00b\x07 \u200d ab " * 5, 10),  # Control characters go.
        ("a" * 10_000 + " ab" * 9, 10),  # A word of 10,000 characters is counted, not learnt.
    ],
)
def test_odd_corpora_give_the_right_vocabulary(
    tmp_path: Path, algorithm: str, text: str, num_pieces: int
) -> None:
    (tmp_path / "odd.txt").write_text(text + "\n", "utf-8")
    summary = learn_vocabulary(
        [tmp_path / "odd.txt"], tmp_path / "v", lang="deu", algorithm=algorithm
    )
    assert summary.num_pieces == num_pieces


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_kill_while_counting_leaves_counts_that_go_on_to_the_same_tables(tmp_path: Path) -> None:
    rows = "".join(f"w{number % 1000} x{number}\n" for number in range(30_000))
    (tmp_path / "a.txt").write_text(rows)
    program = (
        "import os, signal, sys\n"
        "from labse.vocab import count_tables, folder\n"
        "count_tables._CHECKPOINT_CHARS = 100_000\n"
        "def stop(event, arguments):\n"
        "    if event == 'open' and 'table-00002' in str(arguments[0]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(stop)\n"
        "folder.count_files(['a.txt'], 'counts', lang='deu')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert result.returncode == -signal.SIGKILL
    assert (tmp_path / "counts" / "table-00001.tsv.zst").exists()
    assert not (tmp_path / "counts" / "manifest.json").exists()
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        after = count_files(["a.txt"], "counts", lang="deu")
    finally:
        os.chdir(here)
    assert merged(after) == {"deu": Counter(rows.split())}
