"""A vector that says nothing is no match: lines without a known piece, lines without letters."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labse import SentenceEncoder
from labse.cleaning.pair_scores import flag_pair
from labse.encoder.job.embeddings import open_embeddings

Run = Callable[..., Any]
EMOJI = ["😃😃", "🐈", "😃 🐈", "\U0001e900\U0001e901", "\U00013000"]  # And Adlam, hieroglyphs.


def test_the_encoder_tells_lines_without_a_known_piece() -> None:
    encoder = SentenceEncoder.from_pretrained()
    lines = [*EMOJI, "Good night. 😃", "😃 night", "", " ", "!"]
    assert encoder.find_unknown(lines).tolist() == [True] * 5 + [False] * 5
    encoder.encode([*EMOJI, "😃😃", "Hello."])
    assert encoder.num_unknown == 6


def test_mining_and_filtering_leave_unknown_lines_out(run: Run, inside: Path) -> None:
    Path("en.txt").write_text("😃😃\nGood night.\n🐈\nThe cat sleeps.\n")
    Path("de.txt").write_text("Die Katze schläft.\n🐈\nGute Nacht.\n😃😃\n")
    ran = run("mine", "en.txt", "de.txt", "--margin", "absolute", "--json")
    found = [json.loads(line) for line in ran.out.splitlines()]
    assert {(row["source"], row["target"]) for row in found} == {
        ("Good night.", "Gute Nacht."),
        ("The cat sleeps.", "Die Katze schläft."),
    }
    assert ran.err.count("2 lines left out, since the model knows no piece") == 2

    Path("de.txt").write_text("🐈\nGute Nacht.\n🐈\nDie Katze schläft.\n")
    names = ("en.txt", "de.txt", "--min-cosine", "-1", "--out", "kept.tsv", "--rejects", "r.jsonl")
    assert run("filter", *names).code == 0
    assert len(Path("kept.tsv").read_text().splitlines()) == 1 + 2
    rejects = [json.loads(line)["reasons"] for line in Path("r.jsonl").read_text().splitlines()]
    assert rejects == [["unknown"], ["unknown"]]


def test_encode_counts_unknown_lines_and_says_which_they_are(run: Run, inside: Path) -> None:
    Path("en.txt").write_text("😃😃\nGood night.\n🐈\n\n😃😃\n")
    ran = run("encode", "en.txt", "--out", "vectors", "--json", "--shard-rows", 3)
    assert json.loads(ran.out)["num_unknown"] == 3
    assert "3 lines without a piece that the model knows" in ran.err
    assert json.loads(Path("vectors/manifest.json").read_text())["num_unknown"] == 3
    assert np.load("vectors/shard-000001.unknown.npy").tolist() == [1]
    assert open_embeddings("vectors").unknown_rows.tolist() == [0, 2, 4]
    ran = run("encode", "en.txt", "--out", "vectors.npy", "--json")
    assert json.loads(ran.out)["num_unknown"] == 3


@pytest.mark.parametrize(
    ("source", "target"),
    [("***", "* * *"), ("3 4 5", "5 4 3"), ("– – –", "---"), ("(a) ; (b)", "(1) ; (2)")],
)
def test_a_side_without_letters_has_a_flag(source: str, target: str) -> None:
    assert flag_pair(source, target)[-1] == "letterless"
    assert flag_pair("Two words", "Zwei Wörter") == flag_pair("犬", "개") == ()
