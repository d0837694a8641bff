"""Pre-training as a program: killed, stopped and without room, it ends in the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import labse
from labse.training.metrics import read_metrics

pytestmark = pytest.mark.system

CONFIG = """
[data]
text = ["news.eng"]
pairs = ["pairs.tsv"]
max_seq_length = 24
[model.bert]
hidden_size = 16
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 24
[train]
stage_steps = [40, 40]
global_batch_size = 8
warmup_steps = 10
log_every = 5
eval_every = 40
checkpoint_every = 10
"""
# A look by hand takes more: LABSE_TEST_KILLS=20.
NUM_KILLS = int(os.environ.get("LABSE_TEST_KILLS", "2"))
COMMAND = ("pretrain", "config.toml", "--vocab", "vocab", "--out")
SMALL_FILE = 16_384  # Bytes: less than a checkpoint has, more than the other files of a run.


def start(
    folder: Path,
    *arguments: object,
    launcher: Sequence[object] = (),
    max_file_bytes: int = 0,
) -> "subprocess.Popen[str]":
    environment = os.environ | {
        "PYTHONPATH": str(Path(labse.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, *map(str, (*launcher, "-m", "labse.cli", *arguments))]
    if max_file_bytes:  # A write beyond fails, as on a full disk.
        blocks = max_file_bytes // 1024
        shell = shutil.which("bash") or "bash"
        command = [shell, "-c", f'ulimit -f {blocks}; exec "$@"', "bash", *command]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Returns the exit code and the last line on standard error."""
    _, errors = process.communicate()
    return process.returncode, errors.splitlines()[-1]


def wait_for(process: "subprocess.Popen[str]", is_so: Callable[[], bool]) -> None:
    while process.poll() is None and not is_so():
        time.sleep(0.02)


def weights(folder: Path) -> list[bytes]:
    return [(folder / p / "model.safetensors").read_bytes() for p in ("stage-1-layers", "model")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds config.toml, its data, vocab/ and straight/, a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("pretrain")
    lines = [f"{'abcdefgh'[n % 8]} b c d" for n in range(100)]
    (folder / "news.eng").write_text("\n".join(lines) + "\n")
    rows = ["lang\tenglish\ttext", *(f"deu\t{line}\t{line.upper()}" for line in lines)]
    (folder / "pairs.tsv").write_text("\n".join(rows) + "\n")
    (folder / "config.toml").write_text(CONFIG)
    made = start(folder, "vocab", "pairs.tsv", "--out", "vocab", "--min-count", 1)
    assert finish(made)[0] == 0
    assert finish(start(folder, *COMMAND, "straight"))[0] == 0
    return folder


@pytest.mark.timeout(120 + 20 * NUM_KILLS)
def test_a_run_that_is_killed_ends_in_the_bytes_of_one_that_is_not(folder: Path) -> None:
    moments = random.Random(1)
    metrics = folder / "killed" / "metrics.jsonl"
    for _ in range(NUM_KILLS):
        process = start(folder, *COMMAND, "killed")
        before = num_lines(metrics)
        wait_for(process, lambda before=before: num_lines(metrics) > before)  # type: ignore[misc]
        try:
            process.wait(moments.uniform(0, 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    assert finish(start(folder, *COMMAND, "killed"))[0] == 0
    assert weights(folder / "killed") == weights(folder / "straight")
    assert not list((folder / "killed").glob(".*.tmp"))


def num_lines(path: Path) -> int:
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(folder: Path) -> None:
    checkpoints = folder / "full" / "checkpoints"
    process = start(folder, *COMMAND, "full")
    wait_for(process, lambda: any(checkpoints.glob("step-*")))
    process.kill()
    process.communicate()
    kept = max(checkpoints.glob("step-*"))
    state = (kept / "state.safetensors").read_bytes()
    assert len(state) > SMALL_FILE

    code, message = finish(start(folder, *COMMAND, "full", max_file_bytes=SMALL_FILE))
    assert (code, "cannot be written" in message) == (4, True), message
    assert max(checkpoints.glob("step-*")) == kept
    assert (kept / "state.safetensors").read_bytes() == state
    assert finish(start(folder, *COMMAND, "full"))[0] == 0
    assert weights(folder / "full") == weights(folder / "straight")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_data_is_read_says_that_the_command_goes_on(
    folder: Path, number: signal.Signals
) -> None:
    with (folder / f"{number.name}.eng").open("wb") as endless:
        endless.truncate(1 << 40)  # Bytes that lie nowhere, and take minutes to be read.
    out = folder / f"stopped-{number.name}"
    process = start(folder, *COMMAND, out, "--set", f"data.text=['{number.name}.eng']")
    while not out.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    assert finish(process) == (
        5,
        "labse: error: stopped outside of the steps; the same command goes on",
    )


def test_of_two_processes_one_writes_for_tensorboard_and_both_count_as_devices(
    folder: Path,
) -> None:
    event_files = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    process = start(
        folder,
        *COMMAND,
        "two",
        "--tensorboard",
        *("--set", "train.peak_tflops=0.5"),
        launcher=torchrun,
    )
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    # The table of metrics, too, is printed once.
    assert errors.count("tokens_per_second") == 1
    assert len(list((folder / "two" / "tensorboard").iterdir())) == 1
    events = event_files.EventAccumulator(str(folder / "two" / "tensorboard")).Reload()
    rows = [row for row in read_metrics(folder / "two" / "metrics.jsonl") if "loss" in row]
    assert [event.step for event in events.Scalars("loss")] == [row["step"] for row in rows]
    for event, row in zip(events.Scalars("loss"), rows, strict=True):
        assert event.value == pytest.approx(row["loss"], rel=1e-6)
        assert row["flops_utilisation"] == pytest.approx(row["tflops"] / (2 * 0.5))
