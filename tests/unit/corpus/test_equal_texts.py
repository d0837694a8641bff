from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.corpus.equal_texts import find_firsts, hash_texts, number_texts
from labse.errors import ResourceError


def save(folder: Path, files: list[list[str]]) -> list[Path]:
    paths = []
    for number, texts in enumerate(files):
        paths.append(folder / f"{number}.npy")
        np.save(paths[-1], hash_texts(texts) if texts else np.empty((0, 2), np.uint64))
    return paths


@settings(deadline=None)
@given(
    files=st.lists(st.lists(st.text(max_size=2), min_size=1, max_size=30), min_size=1, max_size=4),
    memory_bytes=st.sampled_from([100, 1000, 1 << 20]),
    chunk=st.integers(1, 9),
)
def test_numbers_are_those_of_first_appearance(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[str]],
    memory_bytes: int,
    chunk: int,
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    out = folder / "out.npy"
    paths = save(folder, files)
    num_distinct = number_texts(
        paths, out, work=folder, memory_bytes=memory_bytes, texts_per_row=1, chunk=chunk
    )
    numbers: dict[str, int] = {}
    expected = [numbers.setdefault(text, len(numbers)) for texts in files for text in texts]
    assert np.load(out)[:, 0].tolist() == expected
    assert num_distinct == len(numbers)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(path.name for path in paths), "out.npy"]
    )


def test_too_little_memory_says_how_much_is_needed(tmp_path: Path) -> None:
    paths = save(tmp_path, [["a", "b"] * 600])
    with pytest.raises(ResourceError, match="give --memory 1M or more"):
        number_texts(paths, tmp_path / "out.npy", work=tmp_path, memory_bytes=100)


def test_hashes_differ_where_texts_do_and_are_the_same_in_every_process() -> None:
    keys = hash_texts(["", "a", "b", "a"])
    assert keys.shape == (4, 2)
    assert keys[1].tolist() == keys[3].tolist()
    assert len({tuple(key) for key in keys.tolist()}) == 3
    assert hash_texts([]).shape == (0, 2)
    # hashlib.blake2b(b"", digest_size=16), the test vector of RFC 7693's reference code.
    assert keys[0].astype("<u8").tobytes().hex() == "cae66941d9efbd404e4d88758ea67670"


@given(st.lists(st.sampled_from(["", "a", "b", "c"])))
def test_the_first_of_equal_texts_is_found(texts: list[str]) -> None:
    assert find_firsts(hash_texts(texts)).tolist() == [texts.index(text) for text in texts]
