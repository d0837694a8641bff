"""The command `labse pretrain`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, progress, say
from labse.cli.options import JsonOption
from labse.errors import UsageError

__all__ = ["pretrain"]

# The columns of a line of metrics and their formats; the names are those of metrics.jsonl.
_COLUMNS = {
    "step": ",d",
    "num_layers": "d",
    "loss": ".4f",
    "accuracy": ".4f",
    "grad_norm": ".3g",
    "lr": ".3g",
    "tokens_per_second": ",.0f",
    "tflops": ".3g",
}


def pretrain(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.toml",
            help="Sections data, masking, model and train.",
            show_default=False,
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
            help="Folder made by labse vocab; with --grow, the model's own if left out.",
            show_default=False,
        ),
    ] = None,
    grow: Annotated[
        Path | None,
        typer.Option(
            metavar="BERT_FOLDER",
            help="Start from the stage or model of an earlier run, its layers stacked twice.",
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
    json: JsonOption = False,
) -> None:
    """Pre-train a BERT on text and on pairs of translations (needs torch: the extra train).

    Masked language modelling on text (MLM) and on pairs (TLM), in stages that double the layers.
    Relative paths in the configuration start at its folder. SIGTERM or Ctrl-C writes a checkpoint
    and exits with code 5; the same command then goes on and ends in the same bits. The result is
    the folder model inside --out, from which labse train --init starts; finished stages lie beside.

    [bold]Examples[/bold]

    labse pretrain pretrain.toml --vocab vocab --out run

    labse train config.toml --init run/model --out dual

    labse pretrain pretrain.toml --grow run/stage-3-layers --out grown --set train.stage_steps=[800]
    """
    vocab_folder = vocab or grow
    if vocab_folder is None:
        raise UsageError("give --vocab, the pieces to train on, or --grow, a model to start from")
    from labse.config import load_config
    from labse.pretraining.config import PretrainConfig
    from labse.runtime import require

    run_config = load_config(PretrainConfig, config, set_ or ())
    require("torch", "train")
    from labse.pretraining.run import run_pretraining

    with _report_lines(run_config.train.train_steps) as report:
        summary = run_pretraining(
            run_config,
            out,
            vocab_folder=vocab_folder,
            data_folder=config.parent,
            grow=grow,
            report=report,
        )
    say(
        f"{summary.model_folder}: {summary.num_layers} layers, {summary.num_parameters:,} "
        f"parameters, step {summary.step:,}"
    )
    if json:
        print_json({**asdict(summary), "model_folder": str(summary.model_folder)})


@contextlib.contextmanager
def _report_lines(train_steps: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Gives a function that prints a row of metrics as a line of fixed columns."""
    has_header = False
    with progress("pretrain", total=train_steps) as update:

        def report(row: Mapping[str, float]) -> None:
            nonlocal has_header
            if "loss" not in row:
                # Those of an objective; languages are in metrics.jsonl, a hundred of them.
                names = [name for name in row if name.count("_") == 1]
                scores = "  ".join(f"{name} {row[name]:.4g}" for name in names)
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
