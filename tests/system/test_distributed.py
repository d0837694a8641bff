"""Runs on several processes: the losses of one process, stopped and killed, resumed by others."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch.distributed.fsdp  # noqa: F401 - once, for all processes that are copies of one

import labse
from labse.config import parse_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.run import run_training
from labse.errors import InterruptedRunError
from labse.model_folder.folder import read_model_folder
from labse.pretraining.config import PretrainConfig
from labse.pretraining.run import pretrain
from labse.vocab.folder import learn_vocabulary

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SIZES = (2, 4, 1)  # A run that is stopped twice goes on in this order.
BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
STEPS = {"global_batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "log_every": 1, "eval_every": 4}
RUNS: dict[str, dict[str, object]] = {
    "train": {},
    "train-cached": {
        "micro_batch_size": 1,
        "logit_block_bytes": 64,
        "sparse_embeddings": True,
        "char_ngrams": [1, 2],
    },
    "train-cut": {"shard": "full", "micro_batch_size": 2},
    "pretrain": {"micro_batch_size": 2},
    "pretrain-cut": {"shard": "full", "micro_batch_size": 2, "optimizer": "lamb"},
}


def configure(name: str, changes: Mapping[str, object]) -> RunConfig | PretrainConfig:
    model, train = {"bert": BERT}, STEPS | changes
    if name.startswith("pretrain"):
        data = {"text": ["pairs.tsv"], "pairs": ["pairs.tsv"], "max_seq_length": 20}
        values = {"data": data, "model": model, "train": train | {"stage_steps": [4, 4]}}
        return parse_config(PretrainConfig, values, where="test")
    model |= {"max_seq_length": 20}  # type: ignore[dict-item]
    values = {"data": {"pairs": ["pairs.tsv"]}, "model": model, "train": train | {"train_steps": 8}}
    return parse_config(RunConfig, values, where="test")


def run_one(name: str, folder: Path, out: Path, stop_at: int = 0) -> None:
    """Runs to the end, or to a step where one process of all gets SIGTERM."""
    changes = RUNS[name] | ({"shard": "none"} if os.environ["WORLD_SIZE"] == "1" else {})
    config = configure(name, changes)

    def report(row: Mapping[str, float]) -> None:
        if row["step"] == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    options = {"vocab_folder": folder / "vocab", "data_folder": folder, "on_metrics": report}
    try:
        if isinstance(config, RunConfig):
            run_training(config, out, **options)
        else:
            pretrain(config, out, **options)
        has_stopped = False
    except InterruptedRunError:
        has_stopped = True
    assert has_stopped == bool(stop_at)


def work(place: Path) -> None:
    """What each process does (tests/unit/forks.py)."""
    stop_at = dict(zip(SIZES, (3, 5, 0), strict=True))[int(place.name)]
    port = int(os.environ["MASTER_PORT"])
    for number, name in enumerate(RUNS):  # Each meets at a port of its own.
        os.environ["MASTER_PORT"] = str(port - 2 * number)
        run_one(name, place.parent, place / name)
        os.environ["MASTER_PORT"] = str(port - 2 * number - 1)
        run_one(name, place.parent, place.parent / f"{name}-resumed", stop_at)


def write_data(folder: Path) -> None:
    generator = np.random.default_rng(0)
    rows = ["source\ttarget\tsource_lang\ttarget_lang"]
    for number in range(80):
        words = " ".join(generator.choice(list("abcdefghijklmnop"), 6))
        rows.append(f"{words}\t{words.upper()}\teng\t{'deu' if number % 2 else 'fra'}")
    (folder / "pairs.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    learn_vocabulary([folder / "pairs.tsv"], folder / "vocab", vocab_size=100, min_count=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of all sizes, by size and name, and those that were stopped."""
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder)
    command = [sys.executable, ROOT / "tests/unit/forks.py", __file__, folder, *map(str, SIZES)]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    return folder


def environment() -> dict[str, str]:
    path = str(Path(labse.__file__).parents[1])
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def curve(run: Path) -> list[tuple[float, float]]:
    """Returns step and loss of each row, in order."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


@pytest.mark.parametrize("name", RUNS)
def test_any_number_of_processes_has_the_losses_of_one(runs: Path, name: str) -> None:
    expected = curve(runs / "1" / name)
    assert [step for step, _ in expected] == list(range(1, 9))
    for size in (2, 4):
        found = curve(runs / str(size) / name)
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=str(size))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_with_another_number_of_processes(runs: Path, name: str) -> None:
    found = curve(runs / f"{name}-resumed")
    np.testing.assert_allclose(found, curve(runs / "1" / name), rtol=1e-5)


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Starts `labse train` in two processes by torchrun, for more steps than any test waits."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    program = ["--nproc-per-node", "2", "-m", "labse.cli"]
    return subprocess.Popen(
        [*torchrun, *program, "train", "config.toml", "--vocab", "vocab", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_config(folder: Path) -> None:
    lines = ['[data]\npairs = ["pairs.tsv"]', "[model]\nmax_seq_length = 20", "[model.bert]"]
    lines += [f"{key} = {value}" for key, value in BERT.items()]
    steps = STEPS | {"log_every": 20, "eval_every": 100_000, "checkpoint_every": 20}
    lines += ["[train]", *(f"{key} = {value}" for key, value in steps.items())]
    (folder / "config.toml").write_text("\n".join([*lines, "train_steps = 100000"]), "utf-8")


def processes_of(launcher: int) -> dict[int, int]:
    """Returns the process of each rank under a launcher."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    found = {}
    for child in children:
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        ranks = [v.partition(b"=")[2] for v in variables if v.startswith(b"RANK=")]
        found |= {int(rank): int(child) for rank in ranks}
    return found


def wait_for_checkpoint(process: "subprocess.Popen[str]", run: Path) -> None:
    while process.poll() is None and not list(run.glob("checkpoints/step-*")):
        time.sleep(0.1)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_named_and_the_run_goes_on(tmp_path: Path, rank: int) -> None:
    write_data(tmp_path)
    write_config(tmp_path)
    process = start(tmp_path, "--out", "run")
    wait_for_checkpoint(process, tmp_path / "run")
    os.kill(processes_of(process.pid)[rank], signal.SIGKILL)
    killed = time.monotonic()
    _, errors = process.communicate()
    assert time.monotonic() - killed < 60
    told = [line for line in errors.splitlines() if line.startswith("labse: error:")]
    assert len(told) == 1, errors
    assert re.search(rf"rank {rank} of 2 \(process \d+ on .*\) is gone.*same command", told[0])

    step = max(int(path.name[5:]) for path in (tmp_path / "run/checkpoints").glob("step-*"))
    command = [sys.executable, "-m", "labse.cli", "train", "config.toml", "--vocab", "vocab"]
    command += ["--out", "run"]
    again = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert again.stderr is not None
    lines = []
    for line in again.stderr:
        lines.append(line)
        if re.match(rf"\s*{step + 20:,} ", line):
            break
    again.terminate()
    again.communicate()
    assert again.returncode == 5, lines


def test_sigterm_on_one_rank_makes_one_checkpoint(tmp_path: Path) -> None:
    write_data(tmp_path)
    write_config(tmp_path)
    process = start(tmp_path, "--out", "run", "--json")
    wait_for_checkpoint(process, tmp_path / "run")
    os.kill(processes_of(process.pid)[1], signal.SIGTERM)
    output, errors = process.communicate()
    assert output == ""
    told = re.findall(r"labse: error: stopped at step (\d+) of 100000", errors)
    assert told
    assert len(set(told)) == 1
    assert (tmp_path / f"run/checkpoints/step-{int(told[0]):09d}").is_dir()
    # Lines of metrics come from the main process alone.
    assert len(re.findall(r"^\s*20 ", errors, flags=re.MULTILINE)) == 1


def test_the_model_of_several_processes_is_whole(runs: Path) -> None:
    for name in ("train", "train-cut"):
        models = [read_model_folder(runs / size / name / "model") for size in ("1", "4")]
        for key, weight in models[0].weights.items():
            # No loss depends on the bias of keys: AdamW moves it by rounding errors alone.
            if not key.endswith("key.bias"):
                np.testing.assert_allclose(models[1].weights[key], weight, rtol=1e-3, atol=1e-4)
