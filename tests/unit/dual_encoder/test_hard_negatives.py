"""Hard negatives: read from columns, drawn for a batch, never a translation and never twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from labse.dual_encoder.hard_negatives import (
    HardNegatives,
    Negatives,
    negative_columns,
    prepare_hard_negatives,
)
from labse.dual_encoder.pairs import TokenizedPairs, tokenize_sentences
from labse.errors import LabseError, UsageError
from labse.vocab.tokenizer import load_tokenizer

HEADER = "source\ttarget\tsource_lang\ttarget_lang"
COLUMNS = "target_negative_1\ttarget_negative_2\tsource_negative_1"


def tokenized(cells: list[list[str]], tokenizer: Tokenizer) -> TokenizedPairs:
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(text, len(numbers)) for text in pair] for pair in cells]
    ids, offsets, _ = tokenize_sentences(list(numbers), tokenizer, max_seq_length=64)
    return TokenizedPairs(
        input_ids=ids,
        offsets=offsets,
        pairs=np.array(rows, np.int32),
        pair_langs=np.zeros(len(rows), np.int16),
        lang_pairs=("eng-deu",),
        pair_corpora=np.zeros(len(rows), np.int16),
        corpora=("hard.tsv",),
        num_truncated=0,
    )


class Data:
    """A file of pairs with negatives, prepared."""

    def __init__(self, folder: Path, rows: list[str], header: str = f"{HEADER}\t{COLUMNS}") -> None:
        self.file = folder / "hard.tsv"
        self.file.write_text("\n".join([header, *rows]) + "\n", "utf-8")
        self.cache = folder / "cache"
        vocab = folder / "vocab"
        self.tokenizer: Tokenizer = load_tokenizer(vocab)
        cells = [row.split("\t")[:2] for row in rows]
        self.pairs = tokenized(cells, self.tokenizer)

    def prepare(self, key: str = "1") -> HardNegatives:
        return prepare_hard_negatives(
            [self.file],
            self.pairs,
            self.tokenizer,
            max_seq_length=64,
            cache=self.cache,
            key={"inputs": key},
        )

    def batch(self, *pairs: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        texts = [source for source, _ in pairs] + [target for _, target in pairs]
        rows = [self.tokenizer.encode(text).ids for text in texts]
        ids = np.array([piece for row in rows for piece in row], np.int32)
        return ids, np.array([len(row) for row in rows])

    def texts(self, drawn: Negatives) -> tuple[set[str], set[str]]:
        parts = np.split(drawn.input_ids, np.cumsum(drawn.lengths)[:-1])
        texts = [self.tokenizer.decode(part.tolist()).replace(" ", "") for part in parts]
        texts = texts if len(drawn.lengths) else []
        return set(texts[: drawn.num_targets]), set(texts[drawn.num_targets :])


def draw(found: HardNegatives, batch: tuple[np.ndarray, np.ndarray], num: int = 9) -> Negatives:
    return found.draw(*batch, num_per_pair=num, generator=np.random.default_rng(0))


ROWS = [
    "a b\tA B\teng\tdeu\tC D\tE F\tg h",
    "c d\tC D\teng\tdeu\tE F\tA J\t",
    "e f\tE F\teng\tdeu\t\t\t",
    "i j\tA J\teng\tdeu\tB B\t\t",
]


@pytest.fixture
def data(run_folder: Path) -> Data:
    return Data(run_folder, ROWS)


def test_the_columns_are_named_by_side_the_hardest_first() -> None:
    assert negative_columns("target", 2) == ("target_negative_1", "target_negative_2")


def test_a_pair_brings_its_negatives_and_those_of_the_other_side(data: Data) -> None:
    assert data.texts(draw(data.prepare(), data.batch(("a b", "A B")))) == ({"CD", "EF"}, {"gh"})


def test_a_pair_that_is_turned_round_has_its_negatives_turned_round(data: Data) -> None:
    assert data.texts(draw(data.prepare(), data.batch(("A B", "a b")))) == ({"gh"}, {"CD", "EF"})


def test_pairs_without_negatives_and_unknown_ones_bring_none(data: Data) -> None:
    drawn = draw(data.prepare(), data.batch(("e f", "E F"), ("a a", "j j")))
    assert (len(drawn.lengths), drawn.num_targets, drawn.known.shape) == (0, 0, (0, 0))


def test_what_is_in_the_batch_or_drawn_already_is_not_drawn_again(data: Data) -> None:
    # C D is the target of the second pair; both pairs bring E F.
    drawn = draw(data.prepare(), data.batch(("a b", "A B"), ("c d", "C D")))
    assert data.texts(drawn) == ({"EF", "AJ"}, {"gh"})
    assert len(drawn.lengths) == 3


def test_translations_that_some_pair_tells_of_are_known(data: Data) -> None:
    # E F and A J translate `e f` and `i j`; in this batch `i j` is the source of pair 1.
    drawn = draw(data.prepare(), data.batch(("c d", "C D"), ("i j", "A A")))
    assert data.texts(drawn)[0] == {"EF", "AJ"}
    parts = np.split(drawn.input_ids, np.cumsum(drawn.lengths)[:-1])
    names = [data.tokenizer.decode(part.tolist()).replace(" ", "") for part in parts]
    known = dict(zip(names, drawn.known.tolist(), strict=True))
    assert known == {"EF": [-1], "AJ": [1]}


def test_no_more_than_asked_for_are_drawn_the_same_ones_of_a_seed(data: Data) -> None:
    found, batch = data.prepare(), data.batch(("a b", "A B"))
    seen = set()
    for seed in range(20):
        first, again = (
            found.draw(*batch, num_per_pair=1, generator=np.random.default_rng(seed))
            for _ in range(2)
        )
        assert first.input_ids.tolist() == again.input_ids.tolist()
        assert len(data.texts(first)[0]) == 1
        seen |= data.texts(first)[0]
    assert seen == {"CD", "EF"}


def test_they_are_read_once(data: Data) -> None:
    before = data.prepare()
    data.file.unlink()
    assert data.prepare().negatives.tolist() == before.negatives.tolist()
    with pytest.raises(LabseError, match="no such file"):
        data.prepare(key="other bytes")


def test_a_damaged_file_on_disk_is_told(data: Data) -> None:
    data.prepare()
    (data.cache / "known.npy").write_bytes(b"?")
    with pytest.raises(LabseError, match="damaged"):
        data.prepare()


def test_files_without_columns_are_refused_with_the_command_that_makes_them(
    run_folder: Path,
) -> None:
    with pytest.raises(UsageError, match="labse hard-negatives"):
        Data(run_folder, ["a\tA\teng\tdeu"], HEADER).prepare()


def test_empty_columns_are_refused(run_folder: Path) -> None:
    with pytest.raises(LabseError, match="are empty"):
        Data(run_folder, ["a\tA\teng\tdeu\t\t \t"]).prepare()


def test_of_a_pair_that_stands_twice_the_first_row_counts(run_folder: Path) -> None:
    data = Data(run_folder, ["a\tA\teng\tdeu\tB\t\t", "a\tA\teng\tdeu\tC\tD\t", ROWS[0]])
    assert data.texts(draw(data.prepare(), data.batch(("a", "A")))) == ({"B"}, set())


def test_without_any_pair_a_draw_is_empty(data: Data) -> None:
    found = replace(data.prepare(), pairs=np.zeros(0, np.uint64))
    assert not len(draw(found, data.batch(("a b", "A B"))).lengths)
