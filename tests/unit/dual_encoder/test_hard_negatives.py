"""Hard negatives: read once from columns of files, drawn for a batch, never a translation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labse.dual_encoder.data.negatives import HardNegatives, Negatives, negative_columns
from labse.dual_encoder.data.numbering import sentence_keys
from labse.errors import LabseError, UsageError

Data = Any  # The `NegativesFile` of conftest.py.


def draw(found: HardNegatives, batch: tuple[np.ndarray, np.ndarray], num: int = 9) -> Negatives:
    return found.draw(sentence_keys(*batch), num_per_pair=num, generator=np.random.default_rng(0))


ROWS = [
    "a b\tA B\teng\tdeu\tC D\tE F\tg h",
    "c d\tC D\teng\tdeu\tE F\tA J\t",
    "e f\tE F\teng\tdeu\t\t\t",
    "i j\tA J\teng\tdeu\tB B\t\t",
]


@pytest.fixture
def data(write_negatives: Callable[..., Data]) -> Data:
    return write_negatives(ROWS)


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
            found.draw(sentence_keys(*batch), num_per_pair=1, generator=np.random.default_rng(seed))
            for _ in range(2)
        )
        assert first.input_ids.tolist() == again.input_ids.tolist()
        assert len(data.texts(first)[0]) == 1
        seen |= data.texts(first)[0]
    assert seen == {"CD", "EF"}


def test_without_any_pair_a_draw_is_empty(data: Data) -> None:
    found = replace(data.prepare(), pairs=np.zeros(0, np.uint64))
    assert not len(draw(found, data.batch(("a b", "A B"))).lengths)


# ---- From files to disk ----


def test_the_columns_are_named_by_side_the_hardest_first() -> None:
    assert negative_columns("target", 2) == ("target_negative_1", "target_negative_2")


def test_they_are_read_once(write_negatives: Callable[..., Data]) -> None:
    data = write_negatives(ROWS)
    before = data.prepare()
    data.file.unlink()
    assert data.prepare().negatives.tolist() == before.negatives.tolist()
    with pytest.raises(LabseError, match="no such file"):
        data.prepare(key="other bytes")


@pytest.mark.parametrize("name", ["known.npy", "manifest.json"])
def test_where_something_is_damaged_the_files_are_read_anew(
    write_negatives: Callable[..., Data], name: str
) -> None:
    data = write_negatives(ROWS)
    before = data.prepare().known.tolist()
    (data.cache / name).write_text("{}")
    assert data.prepare().known.tolist() == before


def test_files_without_columns_are_refused_with_the_command_that_makes_them(
    write_negatives: Callable[..., Data],
) -> None:
    with pytest.raises(UsageError, match="labse hard-negatives"):
        write_negatives(["a\tA\teng\tdeu"], columns="").prepare()


def test_empty_columns_are_refused(write_negatives: Callable[..., Data]) -> None:
    with pytest.raises(LabseError, match="are empty"):
        write_negatives(["a\tA\teng\tdeu\t\t \t"]).prepare()


def test_of_a_pair_that_stands_twice_the_first_row_counts(
    write_negatives: Callable[..., Data],
) -> None:
    data = write_negatives(["a\tA\teng\tdeu\tB\t\t", "a\tA\teng\tdeu\tC\tD\t", ROWS[0]])
    batch = data.batch(("a", "A"))
    drawn = draw(data.prepare(), batch)
    assert data.texts(drawn) == ({"B"}, set())
