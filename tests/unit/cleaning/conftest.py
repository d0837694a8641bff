"""Pairs with one flaw each, for the steps of cleaning."""

from pathlib import Path

import pytest

from labse.corpus.shards import write_shard

GOOD = [
    ("deu", "The children played in the garden.", "Die Kinder spielten im Garten."),
    ("rus", "He came home at 10 o'clock.", "Он пришёл домой в 10 часов."),
    ("zho", "It rained the whole day yesterday.", "昨天下了一整天的雨。"),
]
FLAWED = {
    "untranslated": ("deu", "Save the selected file", "Save the selected file"),
    "target: wrong script": ("rus", "Open the window", "Otkroy okno, pozhaluysta"),
    "length ratio": ("deu", "No.", "Das ist eine sehr lange Antwort auf eine kurze Frage, nicht?"),
    "numbers disagree": ("deu", "Chapter 12 of 14", "Kapitel 15 von 19"),
    "target: broken encoding": ("fra", "The summer was hot.", "L'Ã©tÃ© Ã©tait chaud."),
    "target: too short": ("fra", "Nothing at all", ""),
    "target: repetition": ("deu", "I know it very well", "ja ja ja " * 12),
}


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    rows = [*GOOD, *FLAWED.values()]
    langs, english, text = zip(*rows, strict=True)
    path = tmp_path / "pairs.parquet"
    write_shard(path, {"lang": langs, "english": english, "text": text})
    return path
