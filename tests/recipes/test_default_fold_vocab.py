"""An older uncased vocabulary, folded as text is today."""

import sys
from pathlib import Path

import pytest

from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file, write_json
from labse.vocab.tokenizer import SPECIAL_TOKENS, load_tokenizer, save_vocabulary

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "default"))

import fold_vocab


def test_pieces_become_what_text_becomes_and_stand_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, out = tmp_path / "old", tmp_path / "new"
    pieces = [*SPECIAL_TOKENS, "haus", "أين", "اين", "##كَ", "##ك", "##َ", "َ", "الى", "إلى"]
    save_vocabulary(old, pieces, uncased=True)
    write_json(old / MANIFEST_NAME, {"kind": "vocabulary", "num_pieces": 14, "files": {"a": "b"}})

    monkeypatch.setattr(sys, "argv", ["fold_vocab.py", str(old), str(out)])
    fold_vocab.main()

    kept = (out / "vocab.txt").read_text("utf-8").splitlines()
    assert kept == [*SPECIAL_TOKENS, "haus", "اين", "##ك", "الى"]
    tokens = load_tokenizer(out).encode("Haus إِلَى أَيْنَكَ").tokens
    assert tokens == ["[CLS]", "haus", "الى", "اين", "##ك", "[SEP]"]
    manifest = read_json(out / MANIFEST_NAME)
    assert manifest["num_pieces"] == len(kept)
    assert manifest["folded_from"] == {"a": "b"}
    assert manifest["files"]["vocab.txt"] == sha256_file(out / "vocab.txt")
