import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.alignment.accuracy import AlignmentCounts, count_right
from labse.alignment.formats import LinkedLines

GOLD = [
    LinkedLines((0,), (0,)),
    LinkedLines((1, 2), (1,)),
    LinkedLines((3,), ()),
    LinkedLines((4,), (2,)),
]


def test_gold_against_itself_is_perfect() -> None:
    counts = count_right(GOLD, GOLD)
    assert counts.strict.f1 == counts.lax.f1 == 1
    assert (counts.num_predicted, counts.num_gold) == (4, 3)


def test_strict_and_lax_by_hand() -> None:
    predicted = [
        LinkedLines((0,), (0,)),  # Right.
        LinkedLines((1,), (1,)),  # Shares lines with a gold bead: lax only.
        LinkedLines((2,), ()),  # Neither.
        LinkedLines((3, 4), (2,)),  # Lax only.
    ]
    counts = count_right(predicted, GOLD)
    assert counts == AlignmentCounts(4, 1, 3, 3, 1, 3)
    assert (counts.strict.precision, counts.strict.recall) == (1 / 4, 1 / 3)
    assert counts.strict.f1 == pytest.approx(2 / 7)
    assert (counts.lax.precision, counts.lax.recall) == (3 / 4, 1)


def test_sharing_lines_with_two_gold_beads_but_no_line_pair_is_wrong() -> None:
    assert count_right([LinkedLines((0,), (2,))], GOLD).lax_right == 0


def test_a_skip_of_several_lines_counts_as_one_a_line() -> None:
    together = [LinkedLines((0, 1), ()), LinkedLines((), (0, 1))]
    apart = [LinkedLines((n,), ()) for n in (0, 1)] + [LinkedLines((), (n,)) for n in (0, 1)]
    counts = count_right(together, apart)
    assert (counts.num_predicted, counts.strict_right) == (4, 4)


def test_counts_of_documents_add_up() -> None:
    one = count_right(GOLD[:2], GOLD)
    assert one + one == AlignmentCounts(4, 4, 4, 6, 4, 4)
    assert AlignmentCounts() + one == one


def test_nothing_found_scores_zero() -> None:
    counts = count_right([], GOLD)
    assert counts.strict.f1 == counts.lax.precision == 0


beads = st.lists(
    st.builds(
        LinkedLines,
        st.lists(st.integers(0, 5), max_size=2).map(tuple),
        st.lists(st.integers(0, 5), max_size=2).map(tuple),
    ),
    max_size=6,
)


@given(beads, beads)
def test_lax_is_never_below_strict(predicted: list[LinkedLines], gold: list[LinkedLines]) -> None:
    counts = count_right(predicted, gold)
    assert counts.lax_right >= counts.strict_right
    assert counts.lax_found >= counts.strict_found
    assert counts.num_gold >= counts.lax_found
