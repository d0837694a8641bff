"""The command `labse pretrain`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import mute_all_but_main, print_json, say
from labse.cli.options import JsonOption
from labse.cli.train_estimate import (
    DevicesOption,
    DryRunOption,
    HardwareOption,
    Machine,
    TflopsOption,
    choose_machine,
    print_stages,
    tell_assumed_vocabulary,
)
from labse.cli.training_runs import (
    ConfigArgument,
    RunOption,
    SetOption,
    TensorBoardOption,
    report_lines,
    stop_as_error,
    tensorboard_reports,
)
from labse.config import load_config
from labse.errors import UsageError
from labse.pretraining.config import PretrainConfig
from labse.pretraining.estimate import estimate_stages
from labse.pretraining.sizes import fit_to_start, fit_to_vocabulary
from labse.runtime import require
from labse.vocab.tokenizer import load_tokenizer

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
    "flops_utilisation": ".1%",
}


def pretrain(
    config: ConfigArgument,
    out: RunOption = None,
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
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    tflops: TflopsOption = None,
    hardware: HardwareOption = None,
    devices: DevicesOption = 1,
    tensorboard: TensorBoardOption = False,
    json: JsonOption = False,
) -> None:
    """Pre-train a BERT on text and on pairs of translations (needs the extra train).

    Masked language modelling on text (MLM) and on pairs (TLM), in stages that double the layers.
    Relative paths in the configuration start at its folder. SIGTERM or Ctrl-C writes a checkpoint
    and exits with code 5; the same command then goes on and ends in the same bits. The result is
    the folder model inside --out, from which labse train --init starts; finished stages lie beside.

    [bold]Examples[/bold]

    labse pretrain pretrain.toml --vocab vocab --out run

    labse train config.toml --init run/model --out dual

    labse pretrain pretrain.toml --grow run/stage-3-layers --out grown --set train.stage_steps=[800]

    labse pretrain recipes/paper/pretraining.toml --dry-run --hardware v100 --devices 64
    """
    machine = choose_machine(dry_run, tflops, hardware, devices)
    run_config = load_config(PretrainConfig, config, set_ or ())
    if machine is not None:
        _print_dry_run(run_config, vocab, grow, machine, json=json)
        return
    vocab_folder = vocab or grow
    if vocab_folder is None:
        raise UsageError("give --vocab, the pieces to train on, or --grow, a model to start from")
    if out is None:
        raise UsageError("give --out, the folder of the run")
    with stop_as_error():
        require("torch", "train")
        is_main = mute_all_but_main()
        from labse.pretraining.run import run_pretraining

        steps = run_config.train.train_steps
        with (
            report_lines(
                "pretrain", steps, _COLUMNS, rate="tokens_per_second", is_shown=_is_of_an_objective
            ) as lines,
            tensorboard_reports(out, lines, is_asked=tensorboard and is_main) as report,
        ):
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
    if json and is_main:
        print_json({**asdict(summary), "model_folder": str(summary.model_folder)})


def _print_dry_run(
    config: "PretrainConfig", vocab: Path | None, grow: Path | None, machine: Machine, *, json: bool
) -> None:
    """Estimates the stages; a vocabulary and a model to grow are read for their sizes only."""
    vocab_folder = vocab or grow
    if vocab_folder is not None:
        config = fit_to_vocabulary(config, load_tokenizer(vocab_folder))
        if grow is not None:
            require("torch", "train")
            from labse.pretraining.start import read_start

            config = fit_to_start(config, read_start(grow, vocab_folder).config)
    tell_assumed_vocabulary(config.model.bert)
    stages = estimate_stages(config, devices=machine.devices)
    print_stages(stages, machine, precision=config.train.precision, json=json)


def _is_of_an_objective(name: str) -> bool:
    """Tells `mlm_accuracy` from `mlm_deu_accuracy`: there may be a hundred languages."""
    return name.count("_") == 1
