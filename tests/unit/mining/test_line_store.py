from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.mining.line_store import open_line_store, write_line_store


@settings(deadline=None, max_examples=40)
@given(lines=st.lists(st.sampled_from(["a", "b", "", " ", "\u3000", "a\tb", "c\nd\r", "ß", "a "])))
def test_it_finds_what_a_dictionary_finds(
    lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = write_line_store(iter(lines), tmp_path_factory.mktemp("store"))
    text = [line for line in lines if line.strip()]
    expected = list(dict.fromkeys(text))
    assert list(store.read(range(len(store)))) == expected
    assert store.first_lines.tolist() == list(map(lines.index, expected))
    assert store.num_blank == len(lines) - len(text)
    assert store.num_repeated == len(text) - len(expected)
    for line, number in zip(lines, store.distinct.tolist(), strict=True):
        assert (number == -1) == (not line.strip())
        assert number == -1 or expected[number] == line


def test_lines_are_read_in_any_order_and_after_opening_again(tmp_path: Path) -> None:
    write_line_store(["one", "two", "x" * 1_000_000, "drei"], tmp_path)
    store = open_line_store(tmp_path)
    assert [len(line) for line in store.read([3, 2, 0, 0])] == [4, 1_000_000, 3, 3]


def test_a_folder_without_a_store_is_told_by_its_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_line_store(tmp_path)
