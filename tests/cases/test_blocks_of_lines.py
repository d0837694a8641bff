"""Several machines share a file by blocks of lines; rows of unknown languages can be left out."""

from pathlib import Path

import numpy as np
import pytest
from tests.cases.conftest import Run

from labse.encoder.job.inputs import LineBlock
from labse.errors import UsageError

NUM_ROWS = 11


@pytest.fixture
def files(inside: Path) -> tuple[str, str]:
    words = ["free", "equal", "", "born in dignity", "right"]
    for name, shift in (("a.de", 0), ("a.en", 1)):
        lines = [f"{words[(row + shift) % 5]} {'abcdefghijk'[row]}" for row in range(NUM_ROWS)]
        Path(name).write_text("\n".join(["", *lines[1:]]) + "\n")
    return "a.de", "a.en"


def test_blocks_follow_each_other_and_differ_by_one_row_at_most() -> None:
    for num_rows in range(12):
        for count in (1, 2, 3, 7):
            bounds = [LineBlock(n, count).bounds(num_rows) for n in range(1, count + 1)]
            rows = [row for start, stop in bounds for row in range(start, stop)]
            assert rows == list(range(num_rows))
            sizes = {stop - start for start, stop in bounds}
            assert max(sizes) - min(sizes) <= 1
    for text in ("0/2", "3/2", "2", "a/b", "1/0"):
        with pytest.raises(UsageError, match="--shard"):
            LineBlock.parse(text)


def test_the_outputs_of_all_blocks_are_those_of_the_whole(
    run: Run, files: tuple[str, str], tiny_model: str
) -> None:
    model = ("--model", tiny_model)
    commands = {
        "v{}.npy": ("encode", files[0]),
        "s{}.txt": ("score", *files, "--margin", "none"),
        "f{}.jsonl": ("filter", *files, "--min-cosine", "0.5", "--rejects", "r{}.jsonl"),
    }
    for name, command in commands.items():
        for number, shard in enumerate(("1/1", "1/3", "2/3", "3/3")):
            arguments = [part.format(number) for part in command]
            ran = run(*arguments, "--out", name.format(number), "--shard", shard, *model)
            assert ran.code == 0, ran.err
    rows = [np.load(f"v{number}.npy") for number in range(4)]
    # Products of other batches of rows differ in the last bit.
    np.testing.assert_allclose(np.concatenate(rows[1:]), rows[0], rtol=0, atol=1e-6)
    for name in ("s{}.txt", "f{}.jsonl", "r{}.jsonl"):
        whole, *parts = (Path(name.format(number)).read_text() for number in range(4))
        assert "".join(parts) == whole
    assert len(Path("s0.txt").read_text().splitlines()) == NUM_ROWS


def test_what_needs_all_lines_takes_no_block(run: Run, files: tuple[str, str]) -> None:
    ran = run("score", *files, "--shard", "1/2")
    assert (ran.code, "the margin of a pair needs all lines" in ran.err) == (2, True)
    ran = run("filter", *files, "--min-margin", "1", "--shard", "1/2", "--out", "o.tsv")
    assert (ran.code, "the margin of a pair needs all lines" in ran.err) == (2, True)
    ran = run("encode", "-", "--shard", "1/2", "--out", "o.npy")
    assert (ran.code, "cannot be standard input" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        ("corpus", "convert", "--out", "o.tsv"),
        ("corpus", "stats"),
        ("corpus", "clean", "--kind", "pairs", "--no-language-id", "--out", "o"),
        ("corpus", "dedup", "--kind", "pairs", "--out", "o"),
        ("corpus", "overlap", "--kind", "pairs", "--tests", "tests"),
        ("vocab", "--counts", "o"),
        ("hard-negatives", "--k", "1", "--neighbours", "2", "--out", "o.tsv"),
    ],
)
def test_a_row_of_an_unknown_language_is_an_error_or_left_out_and_counted(
    run: Run, inside: Path, tiny_model: str, command: tuple[str, ...]
) -> None:
    header = "source\ttarget\tsource_lang\ttarget_lang\n"
    rows = "eins\tone\tdeu\teng\nx\ty\tqqq-klingon\teng\nzwei\ttwo\tdeu\teng\n"
    Path("p.tsv").write_text(header + rows)
    Path("tests").mkdir()
    Path("tests/a.txt").write_text("a test\n")
    model = ("--model", tiny_model) if command[0] == "hard-negatives" else ()
    ran = run(*command, "p.tsv", *model)
    assert (ran.code, "p.tsv, line 3: unknown language" in ran.err) == (3, True)
    ran = run(*command, "p.tsv", "--skip-unknown", *model)
    assert ran.code == 0, ran.err
    assert "left out: 1 (language not known: qqq-klingon)" in ran.err


def test_filter_counts_a_row_of_an_unknown_language_among_its_drops(run: Run, inside: Path) -> None:
    pytest.importorskip("pycld2")
    header = "source\ttarget\tsource_lang\ttarget_lang\n"
    Path("p.tsv").write_text(header + "eins\tone\tdeu\teng\nx\ty\tqqq-klingon\teng\n")
    options = ("--max-length-ratio", "9", "--out", "o.tsv", "--rejects", "r.jsonl")
    assert run("filter", "p.tsv", *options).code == 2
    ran = run("filter", "p.tsv", *options, "--skip-unknown")
    assert ran.code == 0, ran.err
    assert "unknown_language" in ran.out
    assert '"reasons": ["unknown_language"]' in Path("r.jsonl").read_text()
