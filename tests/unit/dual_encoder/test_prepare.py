"""Files of pairs become tokenised pairs: what is dropped, cached and resumed, and the arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.training_data import word_tokenizer

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data import arrays
from labse.dual_encoder.data.arrays import Resources
from labse.dual_encoder.data.pairs import TokenizedPairs, tokenize_sentences
from labse.dual_encoder.data.prepare import PreparedPairs, prepare_pairs
from labse.dual_encoder.start import fit_to_vocabulary
from labse.errors import LabseError, UsageError
from labse.vocab.folder import learn_vocabulary
from labse.vocab.tokenizer import load_tokenizer


def prepare(config: RunConfig, folder: Path, *, is_main: bool = True) -> PreparedPairs:
    return prepare_pairs(
        config,
        data_folder=folder,
        tokenizer=load_tokenizer(folder / "vocab"),
        cache=folder / "tokens",
        is_main=is_main,
    )


def with_data(config: RunConfig, **changes: object) -> RunConfig:
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def test_copies_and_blank_sides_are_dropped_and_counted(
    run_folder: Path, run_config: RunConfig
) -> None:
    prepared = prepare(run_config, run_folder)
    counts = prepared.counts
    assert (counts.num_read, counts.num_kept) == (62, 60)
    assert (counts.num_copies, counts.num_blank, counts.num_other_langs) == (1, 1, 0)
    assert len(prepared.pairs.pairs) == 60
    assert set(prepared.pairs.lang_pairs) == {"eng-deu", "eng-fra"}
    assert prepared.inputs[0].path == "pairs.tsv"
    assert prepared.inputs[0].num_rows == 62


def test_other_languages_are_dropped_whatever_code_names_the_kept(
    run_folder: Path, run_config: RunConfig
) -> None:
    prepared = prepare(with_data(run_config, langs=("French",)), run_folder)
    assert prepared.pairs.lang_pairs == ("eng-fra",)
    assert prepared.counts.num_other_langs == 32  # Thirty, the copy and the blank one.
    assert prepared.counts.num_kept == 30


def test_a_second_call_maps_what_the_first_left(run_folder: Path, run_config: RunConfig) -> None:
    first, second = prepare(run_config, run_folder), prepare(run_config, run_folder)
    assert (first.is_cached, second.is_cached) == (False, True)
    assert second.counts == first.counts
    assert second.inputs == first.inputs
    assert second.pairs.lang_pairs == first.pairs.lang_pairs
    np.testing.assert_array_equal(second.pairs.input_ids, first.pairs.input_ids)
    np.testing.assert_array_equal(second.pairs.pairs, first.pairs.pairs)


def test_a_process_that_sees_other_files_than_the_first_is_told_and_changes_nothing(
    run_folder: Path, run_config: RunConfig
) -> None:
    first = prepare(run_config, run_folder)
    assert prepare(run_config, run_folder, is_main=False).counts == first.counts
    before = {file: file.read_bytes() for file in (run_folder / "tokens").iterdir()}
    with (run_folder / "pairs.tsv").open("a", encoding="utf-8") as stream:
        stream.write("deu\tone more\tnoch eins\n")
    with pytest.raises(LabseError, match="made by the first process of other data"):
        prepare(run_config, run_folder, is_main=False)
    assert {file: file.read_bytes() for file in (run_folder / "tokens").iterdir()} == before


def test_other_bytes_options_or_vocabulary_do_it_again(
    run_folder: Path, run_config: RunConfig
) -> None:
    prepare(run_config, run_folder)
    assert not prepare(with_data(run_config, langs=("deu",)), run_folder).is_cached
    assert not prepare(run_config, run_folder).is_cached

    with (run_folder / "pairs.tsv").open("a", encoding="utf-8") as stream:
        stream.write("deu\tone more\tnoch eins\n")
    assert prepare(run_config, run_folder).counts.num_kept == 61

    learn_vocabulary([run_folder / "pairs.tsv"], run_folder / "vocab", vocab_size=70, min_count=1)
    assert not prepare(run_config, run_folder).is_cached


@pytest.mark.parametrize("damage", ["manifest.json", "pairs.json", "pairs.npy"])
def test_a_damaged_cache_is_made_anew(run_folder: Path, run_config: RunConfig, damage: str) -> None:
    prepare(run_config, run_folder)
    (run_folder / "tokens" / damage).write_text("{}")
    assert not prepare(run_config, run_folder).is_cached
    assert prepare(run_config, run_folder).is_cached


def test_a_language_without_pairs_is_an_error(run_folder: Path, run_config: RunConfig) -> None:
    with pytest.raises(UsageError, match=r"data\.langs: no pair is in xho"):
        prepare(with_data(run_config, langs=("deu", "xho")), run_folder)
    with pytest.raises(UsageError, match=r"data\.langs: unknown language 'frrr'"):
        prepare(with_data(run_config, langs=("frrr",)), run_folder)


def test_data_without_a_usable_pair_is_an_error(run_folder: Path, run_config: RunConfig) -> None:
    (run_folder / "pairs.tsv").write_text("lang\tenglish\ttext\ndeu\tsame\tsame\n")
    with pytest.raises(LabseError, match=r"no pair is left .* 0 blank, 1 copies"):
        prepare(run_config, run_folder)
    (run_folder / "pairs.tsv").write_text("lang\tenglish\ttext\n")
    with pytest.raises(LabseError, match=r"pairs\.tsv: empty"):
        prepare(run_config, run_folder)


def test_files_are_counted_together(run_folder: Path, run_config: RunConfig) -> None:
    (run_folder / "more.tsv").write_text("lang\tenglish\ttext\nrus\tone\tодин\n", "utf-8")
    both = with_data(run_config, pairs=("more.tsv", "pairs.tsv"))
    prepared = prepare(both, run_folder)
    assert [file.num_rows for file in prepared.inputs] == [1, 62]
    assert prepared.pairs.corpora == ("more.tsv", "pairs.tsv")
    # Nothing of the first file is kept, and one language is in the second alone: both are fine.
    prepared = prepare(with_data(both, langs=("deu",)), run_folder)
    assert (prepared.counts.num_other_langs, prepared.counts.num_kept) == (31, 30)


def test_sizes_that_are_left_out_are_those_of_the_vocabulary(
    run_folder: Path, run_config: RunConfig
) -> None:
    tokenizer = load_tokenizer(run_folder / "vocab")
    bert = fit_to_vocabulary(run_config, tokenizer).model.bert
    assert bert.vocab_size == tokenizer.get_vocab_size()
    assert bert.pad_token_id == tokenizer.token_to_id("[PAD]")


def test_a_stated_size_that_differs_is_an_error_with_both_numbers(
    run_folder: Path, run_config: RunConfig
) -> None:
    tokenizer = load_tokenizer(run_folder / "vocab")
    values = run_config.model_dump(exclude={"model": {"bert": {"pad_token_id"}}})
    values["model"]["bert"]["vocab_size"] = 7
    size = tokenizer.get_vocab_size()
    with pytest.raises(UsageError, match=rf"vocab_size is 7, the vocabulary says {size}"):
        fit_to_vocabulary(RunConfig.model_validate(values), tokenizer)


# ---- The arrays, against a dictionary of all sentences ----

ARRAYS = ("input_ids", "offsets", "pairs", "pair_langs", "pair_corpora", "pair_rows")
Row = tuple[str, str, str]  # Language, English, text.


def prepare_files(
    folder: Path,
    files: Sequence[Sequence[Row]],
    *,
    resources: Resources | None = None,
    max_seq_length: int = 8,
) -> TokenizedPairs:
    names = [f"pairs-{number}.tsv" for number in range(len(files))]
    for name, rows in zip(names, files, strict=True):
        lines = ["lang\tenglish\ttext", *("\t".join(row) for row in rows)]
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    values: dict[str, object] = {
        "data": {"pairs": names},
        "model": {"max_seq_length": max_seq_length},
    }
    return prepare_pairs(
        RunConfig.model_validate(values),
        data_folder=folder,
        tokenizer=word_tokenizer(),
        cache=folder / "tokens",
        resources=resources,
    ).pairs


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
some_rows = st.tuples(st.sampled_from(["deu", "fra", "zho"]), sentences, sentences)
kept_row = st.just(("deu", "w1 w2", "w3"))


@settings(deadline=None, max_examples=30)
@given(
    files=st.lists(st.lists(some_rows, min_size=1, max_size=12), max_size=4),
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
    resources = Resources(memory_bytes=memory_bytes)
    ours = prepare_files(folder, files, resources=resources, max_seq_length=5)
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
    monkeypatch.setattr(arrays, "_CHUNK", 64)
    ours = prepare_files(tmp_path, files, resources=Resources(workers=2, memory_bytes=20_000))
    assert_equal(ours, prepare_in_memory(files))


def test_a_stopped_preparation_goes_on_with_the_files_that_are_not_done(tmp_path: Path) -> None:
    files = some_files(3, 20)
    work = tmp_path / "tokens" / ".work"
    work.mkdir(parents=True)
    (work / "file-00002").touch()  # In the place of a folder: the third file fails.
    done: list[dict[Path, int]] = []
    for _ in range(2):
        with pytest.raises(FileExistsError):
            prepare_files(tmp_path, files)
        done.append({path: path.stat().st_mtime_ns for path in work.rglob("hashes.npy")})
    assert len(done[0]) == 2
    assert done[0] == done[1]
    (work / "file-00002").unlink()
    assert_equal(prepare_files(tmp_path, files), prepare_in_memory(files))


def test_a_file_without_languages_takes_those_given(
    run_folder: Path, run_config: RunConfig
) -> None:
    (run_folder / "pairs.tsv").write_text("source\ttarget\none\teins\n")
    with pytest.raises(UsageError, match="has no column source_lang"):
        prepare(run_config, run_folder)
    told = with_data(run_config, source_lang="en", target_lang="de")
    assert prepare(told, run_folder).pairs.lang_pairs == ("eng-deu",)
