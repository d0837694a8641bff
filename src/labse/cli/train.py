"""The command `labse train`."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from labse.cli.console import print_json, progress, say
from labse.cli.options import JsonOption
from labse.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from labse.dual_encoder.train import Evaluate

__all__ = ["train"]

# The columns of a line of metrics and their formats; the names are those of metrics.jsonl.
_COLUMNS = {
    "step": ",d",
    "loss": ".4f",
    "in_batch_p_at_1": ".4f",
    "grad_norm": ".3g",
    "lr": ".3g",
    "pairs_per_second": ",.0f",
}


def train(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.toml", help="Sections data, model and train.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the run. One that was stopped goes on where it was.",
            show_default=False,
        ),
    ],
    vocab: Annotated[
        Path | None,
        typer.Option(
            help="Folder made by labse vocab; with --init, the model's own if left out.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL_FOLDER",
            help="Start from this model in place of random weights; default is the one that comes "
            "with labse.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Change a key of the configuration; may be given often.",
            show_default=False,
        ),
    ] = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            metavar="TATOEBA_FOLDER",
            help="Score the model on these Tatoeba sets every train.eval_every steps.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train a dual encoder on pairs of translations (needs torch: the extra train).

    Relative paths in the configuration start at its folder. SIGTERM or Ctrl-C writes a checkpoint
    and exits with code 5; the same command then goes on and ends in the same bits. The trained
    model is the folder model inside --out.

    [bold]Examples[/bold]

    labse train recipes/tiny/config.toml --vocab vocab --out run --evaluate data/tatoeba/v1

    labse train config.toml --vocab vocab --out run --set train.lr=1e-3 --set train.seed=2

    labse train pairs.toml --init default --out tuned
    """
    if vocab is None and init is None:
        raise UsageError("give --vocab, the pieces to train on, or --init, a model to start from")
    with _termination_as_error():
        from labse.config import load_config
        from labse.dual_encoder.config import RunConfig
        from labse.dual_encoder.hub import locate_model
        from labse.runtime import require

        run_config = load_config(RunConfig, config, set_ or ())
        require("torch", "train")
        from labse.dual_encoder.run import run_training

        start = None if init is None else locate_model(init)
        vocab_folder = vocab or start
        assert vocab_folder is not None
        score = None if evaluate is None else _build_evaluate(evaluate, vocab_folder)
        with _report_lines(run_config.train.train_steps) as report:
            summary = run_training(
                run_config,
                out,
                vocab_folder=vocab_folder,
                data_folder=config.parent,
                start=start,
                evaluate=score,
                report=report,
            )
    say(f"{summary.model_folder}: {summary.num_parameters:,} parameters, step {summary.step:,}")
    if json:
        print_json({**asdict(summary), "model_folder": str(summary.model_folder)})


def _build_evaluate(folder: Path, vocab: Path) -> "Evaluate":
    """Returns what scores the model under training on Tatoeba."""
    from labse.dual_encoder.model import DualEncoder
    from labse.encoder.runtimes.torch_runtime import TorchRuntime
    from labse.encoder.sentence_encoder import SentenceEncoder
    from labse.evaluation.datasets import read_tatoeba
    from labse.evaluation.tatoeba import evaluate_tatoeba
    from labse.vocab.tokenizer import load_tokenizer

    sets = read_tatoeba(folder)
    tokenizer = load_tokenizer(vocab)

    def evaluate(model: DualEncoder) -> dict[str, float]:
        max_seq_length = model.config.max_seq_length
        encoder = SentenceEncoder(TorchRuntime(model), tokenizer, max_seq_length=max_seq_length)
        report = evaluate_tatoeba(encoder, sets, max_seq_length=max_seq_length)
        groups = {f"tatoeba_{group.name}_p_at_1": group.p_at_1 for group in report.groups}
        return {"tatoeba_p_at_1": report.mean.p_at_1, **groups}

    return evaluate


@contextlib.contextmanager
def _report_lines(train_steps: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Gives a function that prints a row of metrics as a line of fixed columns."""
    has_header = False
    with progress("train", total=train_steps) as update:

        def report(row: Mapping[str, float]) -> None:
            nonlocal has_header
            if "loss" not in row:
                scores = "  ".join(f"{name} {row[name]:.4f}" for name in row if name != "step")
                say(f"step {row['step']:,}: {scores}")
                return
            if not has_header:
                say(" ".join(f"{name:>{_width(name)}}" for name in _COLUMNS))
                has_header = True
            say(" ".join(f"{row[name]:>{_width(name)}{style}}" for name, style in _COLUMNS.items()))
            update(int(row["step"]))

        yield report


def _width(name: str) -> int:
    return max(10, len(name))


@contextlib.contextmanager
def _termination_as_error() -> Iterator[None]:
    """Makes SIGTERM, before and after the loop that handles it itself, end the command cleanly."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise InterruptedRunError("stopped outside of the steps; the same command goes on")

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
