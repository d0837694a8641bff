import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    r"""The target repeats the source in another order, with a blank line; one line has a tab."""
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("free\nequal in rights\nthe\tdignity\n", "utf-8", newline="")
    target.write_text("\nequal in rights\nthe\tdignity\nfree\n", "utf-8", newline="")
    return source, target


def test_pairs_are_rows_of_score_source_and_target(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("mine", *files, "--model", model, "--k", 1)
    assert ran.code == 0
    rows = [line.split("\t") for line in ran.out.splitlines()]
    # Equal lines have cosine 1, as the nearest neighbours of both have: the ratio is 1.
    assert rows == [
        ["margin_score", "source", "target"],
        ["1.0000", "free", "free"],
        ["1.0000", "equal in rights", "equal in rights"],
        ["1.0000", "the dignity", "the dignity"],
    ]
    assert "1 pairs hold a character that the format cannot" in ran.err
    assert "target: 4 lines, 1 blank, 0 repeated" in ran.err
    assert ran.err.endswith("\n3 pairs\n")


def test_the_quality_is_a_column(run: Run, files: tuple[Path, Path], model: Path) -> None:
    ran = run("mine", *files, "--model", model, "--k", 1, "--quality", "--json")
    assert ran.code == 0
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert all(list(row) == ["margin_score", "source", "target", "quality"] for row in rows)
    assert "learnt with the vectors of the model that comes with labse" in ran.err
    assert run("mine", *files, "--out", "x.tmx", "--format", "moses", "--quality").code == 2


def test_json_keeps_the_text_as_it_is(run: Run, files: tuple[Path, Path], model: Path) -> None:
    ran = run("mine", *files, "--model", model, "--k", 1, "--json", "--ids")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert rows[2] == {
        "margin_score": 1.0,
        "source": "the\tdignity",
        "target": "the\tdignity",
        "source_line": 3,
        "target_line": 3,
    }
    assert "that the format cannot" not in ran.err


def test_a_file_takes_the_place_of_standard_output(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    printed = run("mine", *files, "--model", model).out
    ran = run("mine", *files, "--model", model, "--out", tmp_path / "pairs.tsv")
    assert ran.out == ""
    assert (tmp_path / "pairs.tsv").read_text("utf-8") == printed


@pytest.mark.parametrize("retrieval", ["forward", "backward", "intersect", "max"])
def test_the_least_score_holds_for_every_retrieval(
    run: Run, files: tuple[Path, Path], model: Path, retrieval: str
) -> None:
    options = ("--model", model, "--margin", "absolute", "--retrieval", retrieval)
    assert len(run("mine", *files, *options, "--min-score", 0.99).out.splitlines()) == 4
    assert run("mine", *files, *options, "--min-score", 1.01).out.count("\n") == 1


def test_the_same_file_twice_is_a_usage_error(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    (tmp_path / "link").symlink_to(files[0])
    for pair in ((files[0], files[0]), (files[0], tmp_path / "link"), ("-", "-")):
        ran = run("mine", *pair, "--model", model)
        assert ran.code == 2
        assert "given as both source and target" in ran.err


def test_a_file_with_nothing_to_mine_says_so(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    for content, message in (("", "empty"), ("\n \n", "all its 2 lines are blank")):
        (tmp_path / "none.txt").write_text(content)
        ran = run("mine", files[0], tmp_path / "none.txt", "--model", model)
        assert ran.code == 3
        assert f"none.txt: {message}; there is nothing to mine" in ran.err


@pytest.mark.parametrize("option", [("--k", 0), ("--min-score", "nan"), ("--margin", "cosine")])
def test_options_out_of_range_are_usage_errors(
    run: Run, files: tuple[Path, Path], model: Path, option: tuple[str, object]
) -> None:
    ran = run("mine", *files, "--model", model, *option)
    assert ran.code == 2
    assert option[0] in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("mine", *files, "--model", model, "--out", files[0] / "pairs.tsv")
    assert ran.code == 4
    assert "pairs.tsv: cannot be written: Not a directory" in ran.err
    assert len(ran.err.splitlines()) == 1  # Nothing was read or embedded.


def test_a_run_goes_on_from_its_work_folder_and_refuses_another_one(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    options = ("--model", model, "--work", tmp_path / "work", "--ids")
    first = run("mine", *files, *options)
    assert run("mine", *files, *options).out == first.out
    ran = run("mine", *files, *options, "--k", 2)
    assert ran.code == 2
    assert "begun with another --k" in ran.err
    files[0].write_text("changed\n")
    assert "begun with another source" in run("mine", *files, *options).err


def test_vectors_are_mined_without_text_and_with_it(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    rows = np.eye(4, dtype=np.float32) + 0.1
    np.save(tmp_path / "s.npy", rows[:3])
    np.save(tmp_path / "t.npy", rows[[3, 1, 2, 0]])
    ran = run("mine", tmp_path / "s.npy", tmp_path / "t.npy", "--k", 1, "--ids")
    pairs = {tuple(line.split("\t")[3:]) for line in ran.out.splitlines()[1:]}
    assert pairs == {("1", "4"), ("2", "2"), ("3", "3")}
    vectors = ("--source-vectors", tmp_path / "s.npy", "--target-vectors", tmp_path / "t.npy")
    ran = run("mine", *files, *vectors, "--k", 1, "--model", tmp_path / "none")
    assert "1.0000\tfree\tfree" in ran.out.splitlines()


def test_flags_are_shown_and_pairs_dropped_by_them(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("mine", *files, "--model", model, "--k", 1, "--flags")
    assert {line.split("\t")[-1] for line in ran.out.splitlines()[1:]} == {"copy"}
    ran = run("mine", *files, "--model", model, "--k", 1, "--drop", "copy")
    assert ran.out == "margin_score\tsource\ttarget\n"
    assert "0 pairs; 3 dropped by flag" in ran.err
    ran = run("mine", *files, "--model", model, "--drop", "copy,typo")
    assert (ran.code, "--drop typo" in ran.err) == (2, True)


def test_two_texts_or_two_sets_of_vectors(
    run: Run, tmp_path: Path, files: tuple[Path, Path], model: Path
) -> None:
    np.save(tmp_path / "s.npy", np.ones((2, 3), np.float32))
    ran = run("mine", files[0], tmp_path / "s.npy", "--model", model)
    assert (ran.code, "give two texts or two sets" in ran.err) == (2, True)
    ran = run("mine", "-", files[1], "--model", model, "--work", tmp_path / "work")
    assert (ran.code, "read again" in ran.err) == (2, True)


def test_a_device_that_cannot_be_used_is_refused_before_the_work(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    torch = pytest.importorskip("torch")
    indexed = run("mine", *files, "--model", model, "--device", "cuda", "--index", "ivf")
    assert indexed.code == 2
    assert "--device cuda is for --index exact" in indexed.err
    if not torch.cuda.is_available():
        for trial in ((), ("--dry-run",)):  # The CPU is not measured in its place either.
            missing = run("mine", *files, "--model", model, "--device", "cuda", *trial)
            assert missing.code == 4
            assert "device 'cuda'" in missing.err
            assert "source:" not in missing.err


def test_truncation_after_a_stop_is_told_of_what_was_embedded_now(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    with files[0].open("a") as stream:
        stream.write("free " * 40 + "\n")
    command = ("mine", *files, "--model", model, "--work", tmp_path / "work")
    assert "1 lines of those embedded now cut to 24 tokens" in run(*command).err


def test_memory_that_is_too_little_is_refused(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("mine", *files, "--model", model, "--memory", "15M")
    assert ran.code == 2
    assert "give at least 16M" in ran.err


@pytest.fixture
def big_files(tmp_path: Path) -> tuple[Path, Path]:
    for name in "ab":
        (tmp_path / name).write_text("".join(f"line {n} of {name}\n" for n in range(3000)))
    return tmp_path / "a", tmp_path / "b"


def test_a_dry_run_tells_time_memory_and_disk_and_leaves_nothing(
    run: Run, big_files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    ran = run("mine", *big_files, "--model", model, "--dry-run", "--out", tmp_path / "o.tsv")
    assert ran.code == 0
    rows = dict(line.split("\t") for line in ran.out.splitlines())
    assert rows["lines"].startswith("3,000 and 3,000")
    assert list(rows) == ["lines", "time", "memory", "disk"]
    assert rows["time"].endswith("to search (exact)")
    ran = run("mine", *big_files, "--model", model, "--dry-run", "--index", "ivf", "--nprobe", 4)
    assert dict(line.split("\t") for line in ran.out.splitlines())["time"].endswith("(ivf)")
    assert not (tmp_path / "o.tsv").exists()


def test_a_dry_run_tells_what_a_cluster_would_take(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    dry = ("mine", *files, "--model", model, "--dry-run")
    ran = run(*dry, "--cluster-size", 64, "--gpus", 8, "--node-price", 2.5)
    rows = dict(line.split("\t") for line in ran.out.splitlines())
    stages = ["embed", "lines and pairs", "search", "merge"]
    assert list(rows) == ["lines", *stages, "time", "memory", "disk", "money"]
    for options, fault in (
        ((*dry, "--gpus", 8), "give --cluster-size"),
        ((*dry[:-1], "--cluster-size", 2), "are for --dry-run"),
    ):
        ran = run(*options)
        assert (ran.code, fault in ran.err) == (2, True)


def test_standard_input_cannot_be_tried(run: Run, files: tuple[Path, Path], model: Path) -> None:
    ran = run("mine", "-", files[1], "--model", model, "--dry-run")
    assert ran.code == 2
    assert "--dry-run reads the input" in ran.err


@pytest.mark.parametrize(
    "command",
    [
        ("mine", "a.txt", "b.txt", "--out", "out.tsv"),
        ("score", "a.txt", "b.txt"),
        ("filter", "a.txt", "b.txt", "--min-cosine", "0", "--out", "out.tsv"),
        (
            "hard-negatives",
            "pairs.tsv",
            "--source-lang",
            "de",
            "--target-lang",
            "en",
            "--out",
            "o.tsv",
        ),
    ],
    ids=lambda command: command[0],
)
def test_ctrl_c_is_5_where_a_work_folder_lets_the_command_go_on(
    run: Run, command: tuple[str, ...], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        Path(name).write_text("free\nequal\n", "utf-8")
    Path("pairs.tsv").write_text("source\ttarget\nfree\tequal\n", "utf-8")
    options = (*command, "--model", model)
    with monkeypatch.context() as stopped:

        def stop(*_: object, **__: object) -> None:
            signal.raise_signal(signal.SIGINT)

        stopped.setattr("labse.mining.sides.encode_sentences", stop)
        ran = run(*options, "--work", "work")
        assert (ran.code, ran.err.splitlines()[-1]) == (
            5,
            "labse: error: stopped; the same command goes on where it was, in work",
        )
        assert run(*options).code == 130
    assert run(*options, "--work", "work").code == 0
