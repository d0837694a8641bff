"""The command `labse train`."""

import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import say
from labse.cli.options import JsonOption, MemoryOption, parse_size
from labse.cli.train_estimate import (
    DevicesOption,
    DryRunOption,
    HardwareOption,
    TflopsOption,
    check_is_dry_run,
    print_estimate,
)
from labse.cli.training_runs import (
    RunOption,
    SetOption,
    TensorBoardOption,
    print_summary,
    run_output,
)
from labse.dual_encoder.data.arrays import Resources
from labse.dual_encoder.data.held_out import describe_quality
from labse.dual_encoder.estimate import estimate_training
from labse.dual_encoder.start import load_run_config
from labse.errors import UsageError
from labse.evaluation.datasets import read_tatoeba
from labse.evaluation.tatoeba import measure_tatoeba
from labse.model_folder.hub import locate_model
from labse.training.estimate import choose_machine

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
        Path | None,
        typer.Argument(
            metavar="[CONFIG.toml]",
            help="Sections of the run; relative paths in it start at its folder. With --pairs "
            "there is none.",
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Tune the model of --init on these pairs (.tsv, .jsonl, .parquet; may be given "
            "often), with settings for their number.",
        ),
    ] = None,
    out: RunOption = None,
    vocab: Annotated[
        Path | None,
        typer.Option(
            help="Folder made by labse vocab; with --init, the model's own if left out.",
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL_FOLDER",
            help="Start from this model in place of random weights; default is the one that comes "
            "with labse.",
        ),
    ] = None,
    source_lang: Annotated[
        str | None,
        typer.Option(help="Language of the sources, where no column tells."),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(help="Language of the targets, where no column tells."),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE|N",
            help=(
                "Hold pairs out of training, and tell at the end whether the model is better at "
                "them. A share (0.05, 5%) or a number; 0 holds none out. With --pairs 5 %, 20 to "
                "1,000 pairs."
            ),
        ),
    ] = None,
    set_: SetOption = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            metavar="TATOEBA_FOLDER",
            help="Score the model on these Tatoeba sets every train.eval_every steps.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that tokenise, a file of pairs each.")
    ] = 2,
    memory: MemoryOption = "1GB",
    dry_run: DryRunOption = False,
    tflops: TflopsOption = None,
    hardware: HardwareOption = None,
    devices: DevicesOption = 1,
    tensorboard: TensorBoardOption = False,
    json: JsonOption = False,
) -> None:
    """Train a dual encoder on pairs of translations (needs the extra train).

    SIGTERM or Ctrl-C writes a checkpoint and exits with code 5; the same command then goes on and
    ends in the same bits. The trained model is the folder model inside --out.

    [bold]Examples[/bold]

    labse train --init default --pairs my.tsv --out tuned

    labse train recipes/tiny/config.toml --vocab vocab --out run --evaluate data/tatoeba/v1

    labse train config.toml --vocab vocab --out run --set train.lr=1e-3 --set train.seed=2

    labse train recipes/paper/released.toml --dry-run --hardware v100 --devices 16
    """
    start = None if init is None else locate_model(init)
    run_config = load_run_config(
        config,
        set_ or (),
        pairs=pairs or (),
        start=start,
        source_lang=source_lang,
        target_lang=target_lang,
        held_out=None if held_out is None else _parse_held_out(held_out),
    )
    options = run_config.train
    if dry_run:
        estimate = estimate_training(run_config, vocab_folder=vocab, start=start, devices=devices)
        machine = choose_machine(
            options.precision, tflops=tflops, hardware=hardware, devices=devices
        )
        print_estimate(estimate, machine, json=json)
        return
    check_is_dry_run(tflops, hardware, devices)
    if vocab is None and init is None:
        raise UsageError("give --vocab, the pieces to train on, or --init, a model to start from")
    if out is None:
        raise UsageError("give --out, the folder of the run")
    score = None if evaluate is None else partial(measure_tatoeba, sets=read_tatoeba(evaluate))
    with run_output(
        out,
        options.train_steps,
        _COLUMNS,
        label="train",
        rate="pairs_per_second",
        has_tensorboard=tensorboard,
    ) as on_metrics:
        from labse.encoder.trained import train_dual_encoder

        summary = train_dual_encoder(
            run_config,
            out,
            vocab_folder=vocab,
            start=start,
            data_folder=Path() if config is None else config.parent,
            resources=Resources(workers, parse_size(memory)),
            evaluate=score,
            on_metrics=on_metrics,
        )
        print_summary(summary, f"{summary.num_parameters:,} parameters", json=json)
        for line in () if summary.quality is None else describe_quality(summary.quality):
            say(line)


def _parse_held_out(text: str) -> float:
    number, is_percent = text.removesuffix("%"), text.endswith("%")
    try:
        amount = float(number) / 100 if is_percent else float(number)
    except ValueError:
        amount = -1
    is_whole = amount == round(amount) if math.isfinite(amount) else False
    if amount < 0 or (amount >= 1 and not is_whole):
        raise UsageError(f"--held-out {text}: give a share such as 0.05 or 5%, or a whole number")
    return amount
