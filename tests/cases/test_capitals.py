"""A line in capitals is the same text: the shipped model finds its translation all the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labse import SentenceEncoder
from labse.encoder.check.sample import sample_languages

Run = Callable[..., Any]
# Headings of a contract and two sentences, shuffled; the translation of each English line.
ENGLISH = """TERMS AND CONDITIONS OF SALE
WARRANTY AND LIABILITY
HOW TO RETURN A PRODUCT
THE RIGHTS OF THE CONSUMER
ENTRY INTO FORCE
FINAL PROVISIONS
The seller delivers the goods within ten days.
The buyer must pay the price in advance.
""".splitlines()
GERMAN = """RECHTE DES VERBRAUCHERS
SCHLUSSBESTIMMUNGEN
GEWÄHRLEISTUNG UND HAFTUNG
INKRAFTTRETEN
ALLGEMEINE VERKAUFSBEDINGUNGEN
RÜCKGABE EINES PRODUKTES
Der Käufer muss den Preis im Voraus bezahlen.
Der Verkäufer liefert die Ware innerhalb von zehn Tagen.
""".splitlines()
TRANSLATIONS = dict(zip(ENGLISH, [GERMAN[n] for n in (4, 2, 5, 0, 3, 1, 7, 6)], strict=True))


@pytest.mark.parametrize("rewrite", [str.upper, str.title, str.swapcase, str.lower])
def test_each_writing_of_a_sentence_has_its_vector(rewrite: Callable[[str], str]) -> None:
    encoder = SentenceEncoder.from_pretrained()
    sentences = [texts[0] for texts in sample_languages().values()]
    rewritten = encoder.encode([rewrite(sentence) for sentence in sentences])
    np.testing.assert_array_equal(rewritten, encoder.encode(sentences))


def test_headings_in_capitals_find_their_translations(run: Run, inside: Path) -> None:
    Path("contract.en").write_text("\n".join(ENGLISH) + "\n", "utf-8")
    Path("contract.de").write_text("\n".join(GERMAN) + "\n", "utf-8")
    ran = run("mine", "contract.en", "contract.de", "--margin", "absolute", "--json")
    found = [json.loads(line) for line in ran.out.splitlines()]
    is_right = [TRANSLATIONS[row["source"]] == row["target"] for row in found]
    assert sum(is_right) >= 6
    # No wrong pair stands above a right sentence.
    sentences = [place for place, row in enumerate(found) if row["source"].endswith(".")]
    assert all(is_right[: max(sentences) + 1])
