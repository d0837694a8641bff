"""Encoding of streams as a user runs it: kills, signals, pipes, a full disk, two at once."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import labse
from labse.model_folder.folder import ModelFolder, write_model_folder
from labse.model_folder.weights import expected_shapes
from labse.network.config import DualEncoderConfig
from labse.vocab.tokenizer import SPECIAL_TOKENS, load_tokenizer, save_vocabulary

pytestmark = pytest.mark.system

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
PROGRAM = "import sys; from labse.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a random model without layers and lines.txt, 12,000 lines with copies."""
    folder = tmp_path_factory.mktemp("stream")
    save_vocabulary(folder / "vocab", [*SPECIAL_TOKENS, *LETTERS, *(f"##{x}" for x in LETTERS)])
    write_random_model(folder / "model", folder / "vocab", num_layers=0, hidden_size=64)
    draw = random.Random(1)
    words = ["".join(draw.choices(LETTERS, k=draw.randint(1, 9))) for _ in range(500)]
    lines = [" ".join(draw.choices(words, k=draw.randint(0, 9))) for _ in range(7000)]
    lines += draw.choices(lines, k=5000)
    (folder / "lines.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "dense.txt").write_text("".join(f"{line}\n" for line in lines[:1200]))
    return folder


def write_random_model(folder: Path, vocab: Path, *, num_layers: int, hidden_size: int) -> None:
    tokenizer = load_tokenizer(vocab)
    bert = {"vocab_size": tokenizer.get_vocab_size(), "hidden_size": hidden_size}
    bert |= {"num_hidden_layers": num_layers, "num_attention_heads": 2, "intermediate_size": 128}
    config = DualEncoderConfig.model_validate(
        {"bert": bert | {"max_position_embeddings": 40}, "max_seq_length": 32, "pooling": "mean"}
    )
    generator = np.random.default_rng(0)
    weights = {
        name: generator.normal(float("Norm.weight" in name), 0.3, shape).astype(np.float32)
        for name, shape in expected_shapes(config).items()
    }
    assert "dense.weight" in weights
    model = ModelFolder(config=config, weights=weights, tokenizer=tokenizer)
    write_model_folder(folder, model, vocab_folder=vocab, manifest={})


def start(work: Path, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "PYTHONPATH": str(Path(labse.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments), "--model", work / "model"]
    settings = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, cwd=work, env=environment, **settings)  # type: ignore[call-overload,no-any-return]


def finish(process: subprocess.Popen[bytes], code: int = 0) -> list[str]:
    """Waits for the end and returns the lines of standard error."""
    _, err = process.communicate(timeout=100)
    assert process.returncode == code, err.decode()
    assert b"Traceback" not in err
    return err.decode().splitlines()


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def encode(out: str, *options: object) -> tuple[object, ...]:
    return ("encode", "lines.txt", "--out", out, "--shard-rows", 200, *options)


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(work: Path) -> None:
    finish(start(work, *encode("whole")))
    draw = random.Random(5)
    for kill in range(5):
        process = start(work, *encode("killed", "--jobs", 2 if kill == 2 else 1))
        # Moments from before the first shard to well inside: each start adds ten shards at most.
        wanted = min(kill * 10, 40)
        wait_until(lambda wanted=wanted: len(list((work / "killed").glob("shard-*.npy"))) >= wanted)
        time.sleep(draw.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (work / "killed" / "manifest.json").exists()
    finish(start(work, *encode("killed")))
    assert folder_bytes(work / "killed") == folder_bytes(work / "whole")
    assert not list((work / "killed").glob(".*.tmp"))


@pytest.mark.parametrize(
    ("num_layers", "options"),
    [
        (0, ("--runtime", "numpy")),
        (1, ("--runtime", "ctranslate2")),
        (1, ("--runtime", "ctranslate2", "--precision", "int8")),
        (1, ("--runtime", "torch", "--threads", "1")),
    ],
    ids=["numpy", "ctranslate2", "int8", "torch, one thread"],
)
def test_bytes_do_not_depend_on_jobs_though_jobs_share_the_threads(
    work: Path, num_layers: int, options: tuple[str, ...]
) -> None:
    if "torch" in options:
        pytest.importorskip("torch")
    model = work / f"dense-{num_layers}"
    if not model.exists():
        write_random_model(model, work / "vocab", num_layers=num_layers, hidden_size=192)
    environment = os.environ | {"PYTHONPATH": str(Path(labse.__file__).parents[1])}
    environment |= {"LABSE_CACHE": str(work / "cache")}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        environment.pop(name, None)
    found = []
    for jobs in ("1", "2"):
        out = f"{options[1]}-{len(options)}-{num_layers}-{jobs}"
        command = [sys.executable, "-c", PROGRAM, "encode", "dense.txt", "--out", out, *options]
        command += ["--jobs", jobs, "--shard-rows", "600", "--model", str(model)]
        process = subprocess.Popen(command, cwd=work, env=environment, stderr=subprocess.PIPE)
        finish(process)
        found.append(folder_bytes(work / out))
    assert sum(name.startswith("shard-") for name in found[0]) >= 2
    assert found[0] == found[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_signal_ends_a_run_with_code_5_and_a_line_that_says_it_goes_on(
    work: Path, number: int, jobs: int
) -> None:
    out = f"stopped-{number}-{jobs}"
    process = start(work, *encode(out, "--jobs", jobs))
    wait_until(lambda: len(list((work / out).glob("shard-*.npy"))) >= 2)
    process.send_signal(number)
    (line,) = finish(process, 5)
    assert line.startswith("labse: error: stopped; ")
    assert line.endswith("the same command goes on")
    finish(start(work, *encode(out)))
    whole = folder_bytes(work / out)
    assert json.loads(whole["manifest.json"])["num_rows"] == 12_000


def test_a_second_process_on_a_folder_is_told_who_holds_it(work: Path) -> None:
    holder = start(work, "encode", "-", "--out", "held", stdin=subprocess.PIPE)
    wait_until(lambda: (work / "held" / "progress.jsonl").exists())
    (line,) = finish(start(work, *encode("held")), 2)
    assert f"another process ({holder.pid} on " in line
    finish_stdin(holder, b"a\n")


def finish_stdin(process: subprocess.Popen[bytes], text: bytes) -> None:
    process.communicate(text, timeout=60)
    assert process.returncode == 0


def test_standard_input_that_ends_at_once_makes_an_empty_folder(work: Path) -> None:
    finish_stdin(start(work, "encode", "-", "--out", "none", stdin=subprocess.PIPE), b"")
    assert json.loads((work / "none" / "manifest.json").read_text())["num_rows"] == 0


def test_a_limit_of_file_size_is_one_line_and_code_4(work: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    for out in ("full", "full.npy"):
        process = start(work, "encode", "lines.txt", "--out", out, preexec_fn=limit)
        (line,) = finish(process, 4)
        assert "cannot be written: File too large" in line
    assert not (work / "full.npy").exists()
    finish(start(work, "encode", "lines.txt", "--out", "full"))  # There is room again.


def test_a_line_of_a_million_characters_is_cut_and_counted(work: Path) -> None:
    # One word costs the library 100 times as much as words: a fifth of a second is enough.
    (work / "long.txt").write_text("a" * 30_000 + "\n" + "ab " * 333_333 + "\nshort\n")
    for long in ("truncate", "mean"):
        process = start(work, "encode", "long.txt", "--out", f"long-{long}", "--long", long)
        line = finish(process)[-1]
        assert "2 cut to 32" in line or "2 over 32" in line
        rows = np.load(work / f"long-{long}" / "shard-000000.npy")
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.jsonl", '{"text": "a"}\n{"text": "\\ud800"}\n', "s.jsonl, line 2: not valid Unicode"),
        ("n.jsonl", '{"text": 1}\n', "n.jsonl, line 1: key 'text' is 1"),
        ("b.txt", b"good\n\xff\n", "b.txt, line 2: not valid UTF-8"),
        ("c.txt.gz", b"no archive", "c.txt.gz: the archive is damaged"),
    ],
)
def test_broken_input_is_one_line_with_file_and_line(
    work: Path, name: str, content: str | bytes, message: str
) -> None:
    (work / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (line,) = finish(start(work, "encode", name, "--out", f"from-{name}.d"), 3)
    assert message in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line_and_code_4(work: Path) -> None:
    (work / "closed").mkdir(mode=0o500)
    (line,) = finish(start(work, *encode("closed")), 4)
    assert "closed: cannot be written: Permission denied" in line
