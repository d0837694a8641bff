from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from labse.dual_encoder.data import arrays as prepare_arrays
from labse.dual_encoder.data.arrays import FileChoice, PreparationPlan, Resources
from labse.dual_encoder.data.pairs import TokenizedPairs, tokenize_sentences, write_summary
from labse.errors import LabseError

ARRAYS = ("input_ids", "offsets", "pairs", "pair_langs", "pair_corpora", "pair_rows")
Row = tuple[str, str, str]  # Language, English, text.


def word_tokenizer() -> Tokenizer:
    """One piece a word: w0 to w99 are ids 5 to 104."""
    vocab = {p: i for i, p in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    vocab |= {f"w{i}": i + 5 for i in range(100)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def write_files(folder: Path, files: Sequence[Sequence[Row]]) -> list[FileChoice]:
    choices = []
    for number, rows in enumerate(files):
        path = folder / f"pairs-{number}.tsv"
        lines = ["lang\tenglish\ttext", *("\t".join(row) for row in rows)]
        path.write_text("\n".join(lines) + "\n", "utf-8")
        choices.append(FileChoice(str(path), [], None, None))
    return choices


def prepare(
    folder: Path, choices: Sequence[FileChoice], resources: Resources, max_seq_length: int = 8
) -> TokenizedPairs:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    hashes = [str(Path(choice.path).stat().st_size) for choice in choices]
    plan = PreparationPlan(choices, hashes, out / ".work", resources)
    summary = plan.write_arrays(plan.scan(), out, word_tokenizer(), max_seq_length=max_seq_length)
    write_summary(out, corpora=[Path(choice.path).name for choice in choices], **summary)
    return TokenizedPairs.load(out)


def prepare_in_memory(files: Sequence[Sequence[Row]], max_seq_length: int = 8) -> TokenizedPairs:
    """The same, with a dictionary of all sentences."""
    numbers: dict[str, int] = {}
    langs: dict[str, int] = {}
    pairs, labels = [], []
    for corpus, rows in enumerate(files):
        for row, (lang, english, text) in enumerate(rows, start=1):
            if not text.strip() or text == english:
                continue
            pairs.append([numbers.setdefault(side, len(numbers)) for side in (english, text)])
            labels.append((langs.setdefault(f"eng-{lang}", len(langs)), corpus, row))
    input_ids, offsets, num_truncated = tokenize_sentences(
        list(numbers), word_tokenizer(), max_seq_length=max_seq_length
    )
    columns = list(zip(*labels, strict=True))
    return TokenizedPairs(
        input_ids=input_ids,
        offsets=offsets,
        pairs=np.array(pairs, dtype=np.int32),
        pair_langs=np.array(columns[0], dtype=np.int16),
        lang_pairs=tuple(langs),
        pair_corpora=np.array(columns[1], dtype=np.int16),
        corpora=tuple(f"pairs-{number}.tsv" for number in range(len(files))),
        num_truncated=num_truncated,
        pair_rows=np.array(columns[2], dtype=np.int32),
    )


def assert_equal(ours: TokenizedPairs, theirs: TokenizedPairs) -> None:
    for name in ARRAYS:
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == other.dtype, name
        np.testing.assert_array_equal(mine, other, err_msg=name)
    for name in ("lang_pairs", "corpora", "num_truncated"):
        assert getattr(ours, name) == getattr(theirs, name)


sentences = st.lists(st.sampled_from([f"w{i}" for i in range(6)]), max_size=4).map(" ".join)
rows = st.tuples(st.sampled_from(["deu", "fra", "zho"]), sentences, sentences)
kept_row = st.just(("deu", "w1 w2", "w3"))


@settings(deadline=None, max_examples=60)
@given(
    files=st.lists(st.lists(rows, min_size=1, max_size=12), max_size=4),
    last=st.lists(kept_row, min_size=1, max_size=2),
    memory_bytes=st.sampled_from([97, 500, 1 << 30]),
)
def test_the_arrays_are_those_of_a_dictionary_whatever_the_memory(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[Row]],
    last: list[Row],
    memory_bytes: int,
) -> None:
    files = [*files, last]
    files = [[row for row in file if row[1].strip()] or last for file in files]
    folder = tmp_path_factory.mktemp("pairs")
    choices = write_files(folder, files)
    ours = prepare(folder, choices, Resources(memory_bytes=memory_bytes), max_seq_length=5)
    assert_equal(ours, prepare_in_memory(files, max_seq_length=5))


def some_files(num_files: int, num_rows: int) -> list[list[Row]]:
    generator = np.random.default_rng(0)
    words = generator.integers(0, 40, (num_files, num_rows, 2, 3))
    return [
        [("deu", *(" ".join(f"w{w}" for w in side) for side in row)) for row in file]
        for file in words
    ]


def test_processes_and_small_chunks_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = some_files(3, 200)
    choices = write_files(tmp_path, files)
    monkeypatch.setattr(prepare_arrays, "_CHUNK", 64)
    ours = prepare(tmp_path, choices, Resources(workers=2, memory_bytes=20_000))
    assert_equal(ours, prepare_in_memory(files))


def test_a_stopped_preparation_goes_on_with_the_files_that_are_not_done(tmp_path: Path) -> None:
    files = some_files(3, 20)
    choices = write_files(tmp_path, files)
    whole = Path(choices[2].path).read_bytes()
    Path(choices[2].path).write_bytes(whole + b"broken\n")
    plan = PreparationPlan(choices, ["a", "b", "c"], tmp_path / "out" / ".work", Resources())
    with pytest.raises(LabseError, match=r"pairs-2\.tsv, line 22"):
        plan.scan()
    Path(choices[2].path).write_bytes(whole)
    done = {path: path.stat().st_mtime_ns for path in plan.work.rglob("hashes.npy")}
    assert len(done) == 2
    scans = plan.scan()
    assert {path: path.stat().st_mtime_ns for path in done} == done
    summary = plan.write_arrays(scans, tmp_path / "out", word_tokenizer(), max_seq_length=8)
    names = [Path(choice.path).name for choice in choices]
    write_summary(tmp_path / "out", corpora=names, **summary)
    assert_equal(TokenizedPairs.load(tmp_path / "out"), prepare_in_memory(files))
