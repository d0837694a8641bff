from pathlib import Path

import numpy as np
import pytest

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.prepare import PreparedPairs, fit_to_vocabulary, prepare_pairs
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
