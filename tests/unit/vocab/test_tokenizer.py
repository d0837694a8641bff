import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.errors import LabseError
from labse.vocab.tokenizer import (
    SPECIAL_TOKENS,
    build_tokenizer,
    load_equal_files,
    load_tokenizer,
    save_vocabulary,
)

VOCAB = [*SPECIAL_TOKENS, "a", "b", "ก", "中", ".", "##a", "##b", "##ก", "ab", "##ab"]


def tokens(text: str, **arguments: int) -> list[str]:
    return build_tokenizer(VOCAB, **arguments).encode(text, add_special_tokens=False).tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abab", ["ab", "##ab"]),  # The longest piece first.
        ("aba b.", ["ab", "##a", "b", "."]),
        ("a中b", ["a", "中", "b"]),
        ("A", ["[UNK]"]),  # Cased.
        ("á", ["[UNK]"]),  # Accents stay.
        ("abz a", ["[UNK]", "a"]),  # A word is known whole or not at all.
        ("", []),
    ],
)
def test_pieces_by_hand(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_ids_are_the_places_in_the_vocabulary_between_cls_and_sep() -> None:
    assert build_tokenizer(VOCAB).encode("ab .").ids == [2, 13, 9, 3]


def test_a_pair_has_two_token_types() -> None:
    encoding = build_tokenizer(VOCAB).encode("a", "b a")
    assert encoding.ids == [2, 5, 3, 6, 5, 3]
    assert encoding.type_ids == [0, 0, 0, 1, 1, 1]


def test_a_phrase_without_spaces_of_a_thousand_characters_is_no_unknown_word() -> None:
    assert tokens("ก" * 1000) == ["ก"] + ["##ก"] * 999
    assert tokens("ก" * 1001) == ["[UNK]"]
    assert tokens("ก" * 101, max_word_chars=100) == ["[UNK]"]


@given(st.text("ab中. ก"))
def test_ids_to_text_to_ids_is_the_identity_on_known_characters(text: str) -> None:
    tokenizer = build_tokenizer(VOCAB)
    ids = tokenizer.encode(text).ids
    assert tokenizer.encode(tokenizer.decode(ids)).ids == ids


def test_decoded_text_keeps_its_words() -> None:
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, "I", "do", "not", "."])
    assert tokenizer.decode(tokenizer.encode("I do not.").ids) == "I do not ."


def test_special_tokens_may_stand_anywhere() -> None:
    tokenizer = build_tokenizer(["a", *reversed(SPECIAL_TOKENS)])
    assert tokenizer.encode("a").ids == [3, 0, 2]


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        (VOCAB[1:], r"no special token \[PAD\]"),
        ([*VOCAB, "a"], "'a' is there twice, as pieces 6 and 16"),
        ([*VOCAB, ""], "piece 16 is ''"),
        ([*VOCAB, "x\ny"], "more than one line"),
    ],
)
def test_a_bad_vocabulary_is_refused(vocab: list[str], message: str) -> None:
    with pytest.raises(LabseError, match=message):
        build_tokenizer(vocab)


def test_a_saved_vocabulary_loads_with_the_same_ids_and_limit(tmp_path: Path) -> None:
    save_vocabulary(tmp_path / "new", VOCAB, max_word_chars=7)
    loaded = load_tokenizer(tmp_path / "new")
    assert loaded.get_vocab() == {piece: number for number, piece in enumerate(VOCAB)}
    assert loaded.encode("aaaaaaa aaaaaaaa b").ids == [2, 5, *[10] * 6, 1, 6, 3]
    assert (tmp_path / "new" / "vocab.txt").read_text("utf-8").split("\n") == [*VOCAB, ""]


def test_a_folder_whose_name_is_no_utf_8_holds_a_vocabulary_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    save_vocabulary(folder, VOCAB)
    assert load_tokenizer(folder).get_vocab_size() == len(VOCAB)


def test_saving_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_vocabulary(tmp_path / name, VOCAB)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == [
        "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
    ]  # fmt: skip
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_truncation_and_padding_in_the_file_are_taken_off(tmp_path: Path) -> None:
    save_vocabulary(tmp_path, VOCAB)
    tokenizer = build_tokenizer(VOCAB)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=20)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).encode("a b ab").ids == [2, 5, 6, 13, 3]


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_vocabulary(tmp_path, VOCAB)
    (tmp_path / name).unlink()
    with pytest.raises(LabseError, match=rf"{name}: no such file"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "tokenizer.json: not valid JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "tokenizer.json: not a tokenizer"),
    ],
)
def test_a_broken_tokenizer_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    save_vocabulary(tmp_path, VOCAB)
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(LabseError, match=message):
        load_tokenizer(tmp_path)


def change_tokenizer_file(folder: Path, vocab: dict[str, int], keep_added: bool = True) -> None:
    save_vocabulary(folder, VOCAB)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    content["model"]["vocab"] = vocab
    if not keep_added:
        content["added_tokens"] = []
    path.write_text(json.dumps(content), "utf-8")


def test_a_file_whose_parts_do_not_fit_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    save_vocabulary(tmp_path, VOCAB)
    stated = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    stated["post_processor"]["special_tokens"] = {}
    (tmp_path / "tokenizer.json").write_text(json.dumps(stated), "utf-8")
    assert load_equal_files(tmp_path) is None
    with pytest.raises(LabseError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path)


def test_a_name_for_the_unknown_that_no_piece_has_is_refused(tmp_path: Path) -> None:
    save_vocabulary(tmp_path, VOCAB)
    path = tmp_path / "tokenizer.json"
    value = json.loads(path.read_text("utf-8"))
    value["model"]["unk_token"] = "[NO]"
    path.write_text(json.dumps(value), "utf-8")
    with pytest.raises(LabseError, match=r"no piece is '\[NO\]', which stands for"):
        load_tokenizer(tmp_path)
    assert load_equal_files(tmp_path) is None


def test_a_missing_special_token_is_named(tmp_path: Path) -> None:
    vocab = {piece: i for i, piece in enumerate([*VOCAB[:4], "x", *VOCAB[5:]])}
    change_tokenizer_file(tmp_path, vocab, keep_added=False)
    with pytest.raises(LabseError, match=r"no special token \[MASK\]"):
        load_tokenizer(tmp_path)


def test_a_gap_in_the_ids_is_named(tmp_path: Path) -> None:
    vocab = {piece: i for i, piece in enumerate(VOCAB)} | {"##ab": 20}
    change_tokenizer_file(tmp_path, vocab)
    with pytest.raises(LabseError, match="'##ab' has 20 in place of 14"):
        load_tokenizer(tmp_path)


def test_files_that_disagree_are_refused_with_the_line(tmp_path: Path) -> None:
    save_vocabulary(tmp_path, VOCAB)
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*VOCAB[:6], "z", *VOCAB[7:], ""]), "utf-8")
    with pytest.raises(LabseError, match=r"vocab\.txt, line 7: 'z', but tokenizer\.json has 'b'"):
        load_tokenizer(tmp_path)
    path.write_text("\n".join([*VOCAB, "z", ""]), "utf-8")
    with pytest.raises(LabseError, match=r"vocab\.txt has 16 entries, tokenizer\.json has 15"):
        load_tokenizer(tmp_path)


def write_files(folder: Path, vocab: list[str], lines: list[str], **arguments: bool) -> str:
    """Writes both files as a model folder has them; returns what the tokenizer is."""
    tokenizer = build_tokenizer(vocab, **arguments)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    (folder / "vocab.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(tokenizer.to_str())


ODD_PIECES = ['"', "\\", ":", "}", '"vocab":{', '":', "##\u3000a", "e\u0301"]


@pytest.mark.parametrize("uncased", [False, True])
@pytest.mark.parametrize("vocab", [VOCAB, VOCAB[5:] + VOCAB[:5], [*VOCAB, *ODD_PIECES]])
def test_equal_files_give_the_same_tokenizer_as_the_library(
    tmp_path: Path, vocab: list[str], uncased: bool
) -> None:
    expected = write_files(tmp_path, vocab, vocab, uncased=uncased)
    loaded = load_equal_files(tmp_path)
    assert loaded is not None
    assert loaded[0].to_str() == expected
    assert loaded[1] == len(vocab)


@pytest.mark.parametrize(
    "lines",
    [VOCAB[:-1], [*VOCAB, "more"], VOCAB[::-1], [*VOCAB[:-1], "a"], [*VOCAB[:-1], "b\u3000"], []],
)
def test_of_files_of_another_shape_nothing_is_said(tmp_path: Path, lines: list[str]) -> None:
    write_files(tmp_path, VOCAB, lines)
    assert load_equal_files(tmp_path) is None
