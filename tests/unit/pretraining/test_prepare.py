from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.errors import LabseError, UsageError
from labse.pretraining.batches import ExampleOrder, split_examples
from labse.pretraining.config import PretrainDataConfig
from labse.pretraining.prepare import PreparedExamples, prepare_examples
from labse.vocab.tokenizer import load_tokenizer


def prepare(folder: Path, *, is_main: bool = True, **options: object) -> PreparedExamples:
    config = PretrainDataConfig.model_validate({"max_seq_length": 20, **options})
    return prepare_examples(
        config,
        data_folder=folder,
        vocab_folder=folder / "vocab",
        tokenizer=load_tokenizer(folder / "vocab"),
        cache=folder / "tokens",
        is_main=is_main,
    )


def test_text_and_pairs_become_both_objectives(run_folder: Path) -> None:
    prepared = prepare(run_folder, text=["news.eng"], pairs=["pairs.tsv"])
    examples, counts = prepared.examples, prepared.counts
    assert examples.group_names == ("mlm eng", "tlm eng-deu")
    # Three sentences of six pieces fit into 20; 80 of them make 27 examples.
    assert counts.num_examples == 27 + 80
    assert (counts.num_texts, counts.num_pairs) == (80, 80)
    assert [(file.path, file.num_rows) for file in prepared.inputs] == [
        ("news.eng", 80),
        ("pairs.tsv", 80),
    ]
    text = examples.input_ids[: examples.offsets[1]]
    tokenizer = load_tokenizer(run_folder / "vocab")
    lines = (run_folder / "news.eng").read_text().splitlines()
    assert tokenizer.decode(text.tolist()) == " ".join(lines[:3])
    pair, length = examples.gather(examples.offsets[:1] + 27)
    assert length.tolist() == [15]
    assert examples.source_lengths[27] == 8
    assert tokenizer.decode(pair.tolist()).upper() == f"{lines[0]} {lines[0]}".upper()


def test_the_sides_of_pairs_are_text_once_each(run_folder: Path) -> None:
    prepared = prepare(run_folder, text=["pairs.tsv"])
    assert prepared.examples.group_names == ("mlm eng", "mlm deu")
    num_distinct = len(set((run_folder / "news.eng").read_text().splitlines()))
    assert prepared.counts.num_repeated_texts == 160 - 2 * num_distinct


def test_a_blank_line_ends_a_document_and_is_counted(run_folder: Path) -> None:
    (run_folder / "blank.eng").write_text("a b\n\nc d\n \n\n")
    prepared = prepare(run_folder, text=["blank.eng"])
    assert (prepared.counts.num_blank_texts, prepared.counts.num_examples) == (3, 2)
    crossed = prepare(run_folder, text=["blank.eng"], cross_documents=True)
    assert crossed.counts.num_examples == 1


def test_documents_of_a_table_are_kept_apart(run_folder: Path) -> None:
    rows = "text\tlang\tdocument\na b\tdeu\tone\nc\tdeu\tone\nd\tdeu\ttwo\ne\tfra\ttwo\n"
    (run_folder / "table.tsv").write_text(rows)
    prepared = prepare(run_folder, text=["table.tsv"])
    assert prepared.examples.group_names == ("mlm deu", "mlm fra")
    assert prepared.counts.num_examples == 3


def test_blank_pairs_and_copies_are_dropped_and_counted(run_folder: Path) -> None:
    header = "source\ttarget\tsource_lang\ttarget_lang\n"
    rows = "a\t \teng\tdeu\na\ta\teng\tdeu\na\tA\teng\tdeu\n"
    long = "a b c d e f g h i j k\tA B C D E F G H I J K\teng\tdeu\n"
    (run_folder / "odd.tsv").write_text(header + rows + long)
    counts = prepare(run_folder, pairs=["odd.tsv"]).counts
    assert (counts.num_blank_pairs, counts.num_copies, counts.num_cut_pairs) == (1, 1, 1)
    assert counts.num_examples == 2


def test_rows_that_the_vocabulary_does_not_know_are_dropped_and_counted(run_folder: Path) -> None:
    (run_folder / "odd.eng").write_text("a b\n世界\n[MASK]\nc 世\n")
    header = "source\ttarget\tsource_lang\ttarget_lang\n"
    rows = "a\t世\teng\tzho\n世\ta\tzho\teng\na\tA\teng\tdeu\n"
    (run_folder / "odd.tsv").write_text(header + rows)
    prepared = prepare(run_folder, text=["odd.eng"], pairs=["odd.tsv"])
    counts = prepared.counts
    assert (counts.num_blank_texts, counts.num_blank_pairs, counts.num_examples) == (2, 2, 2)
    (run_folder / "far.zho").write_text("世界\n")
    with pytest.raises(LabseError, match="nothing is left to train on"):
        prepare(run_folder, text=["far.zho"])


def test_each_row_is_in_one_example_and_each_example_in_an_epoch_once(run_folder: Path) -> None:
    # Every row is the only one with its pair of letters.
    letters = "abcdefghijklmnopqrs"
    lines = [f"{first} {second}" for first in letters for second in letters]
    (run_folder / "rows.eng").write_text("\n".join(lines) + "\n")
    examples = prepare(run_folder, text=["rows.eng"], max_seq_length=9).examples
    split = split_examples(examples, num_validation=4, seed=0)
    order = ExampleOrder(split.train, np.ones(1), batch_size=1, seed=0)
    tokenizer = load_tokenizer(run_folder / "vocab")

    def rows_of(numbers: NDArray[np.int64]) -> list[str]:
        words = [tokenizer.decode(examples.gather(numbers[n : n + 1])[0].tolist()).split()
                 for n in range(len(numbers))]  # fmt: skip
        return [" ".join(row[n : n + 2]) for row in words for n in range(0, len(row), 2)]

    num_steps = len(split.train[0])
    epochs = [
        np.concatenate([order.batch(step) for step in range(first, first + num_steps)])
        for first in (0, num_steps)
    ]
    held_out = rows_of(split.validation[0])
    assert held_out
    for epoch in epochs:
        assert sorted(rows_of(epoch) + held_out) == sorted(lines)


def test_a_second_start_maps_the_tokens_of_the_first(run_folder: Path) -> None:
    first = prepare(run_folder, text=["news.eng"])
    again = prepare(run_folder, text=["news.eng"])
    assert (first.is_cached, again.is_cached) == (False, True)
    assert again.inputs == first.inputs
    assert again.counts == replace(first.counts)
    left = run_folder / "tokens" / ".input_ids.npy.123-0a1b2c3d.tmp"  # As a killed run leaves it.
    left.touch()
    assert not prepare(run_folder, text=["news.eng"], max_seq_length=10).is_cached
    assert not left.exists()


def test_what_the_first_process_made_of_other_data_is_not_made_anew(run_folder: Path) -> None:
    prepare(run_folder, text=["news.eng"])
    assert prepare(run_folder, text=["news.eng"], is_main=False).is_cached
    with (run_folder / "news.eng").open("a") as stream:
        stream.write("a b c\n")
    with pytest.raises(LabseError, match="must see the same files"):
        prepare(run_folder, text=["news.eng"], is_main=False)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("news.txt", "a\n", "does not end in a language"),
        ("empty.eng", "", "empty, it has no rows"),
        ("blank.eng", "\n \n", "nothing is left to train on"),
        ("table.tsv", "text\na\n", "does not tell its language"),
    ],
)
def test_what_cannot_be_read_is_told(
    run_folder: Path, name: str, content: str, message: str
) -> None:
    (run_folder / name).write_text(content)
    with pytest.raises((LabseError, UsageError), match=message):
        prepare(run_folder, text=[name])
