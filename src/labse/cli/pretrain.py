"""The command `labse pretrain`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cli.options import JsonOption
from labse.cli.train_estimate import (
    DevicesOption,
    DryRunOption,
    HardwareOption,
    TflopsOption,
    check_is_dry_run,
    print_stages,
)
from labse.cli.training_runs import (
    ConfigArgument,
    RunOption,
    SetOption,
    TensorBoardOption,
    print_summary,
    run_output,
)
from labse.config import load_config
from labse.errors import UsageError
from labse.pretraining.config import PretrainConfig
from labse.pretraining.estimate import estimate_pretraining
from labse.training.estimate import choose_machine

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
        typer.Option(help="Folder made by labse vocab; with --grow, the model's own if left out."),
    ] = None,
    grow: Annotated[
        Path | None,
        typer.Option(
            metavar="BERT_FOLDER",
            help="Start from the stage or model of an earlier run, its layers stacked twice.",
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
    run_config = load_config(PretrainConfig, config, set_ or ())
    options = run_config.train
    if dry_run:
        stages = estimate_pretraining(run_config, vocab_folder=vocab, grow=grow, devices=devices)
        machine = choose_machine(
            options.precision, tflops=tflops, hardware=hardware, devices=devices
        )
        print_stages(stages, machine, json=json)
        return
    check_is_dry_run(tflops, hardware, devices)
    if vocab is None and grow is None:
        raise UsageError("give --vocab, the pieces to train on, or --grow, a model to start from")
    if out is None:
        raise UsageError("give --out, the folder of the run")
    with run_output(
        out,
        options.train_steps,
        _COLUMNS,
        label="pretrain",
        rate="tokens_per_second",
        has_tensorboard=tensorboard,
        is_shown=_is_of_an_objective,
    ) as on_metrics:
        from labse.pretraining.run import pretrain as pretrain_from_files

        summary = pretrain_from_files(
            run_config,
            out,
            vocab_folder=vocab,
            data_folder=config.parent,
            grow=grow,
            on_metrics=on_metrics,
        )
        told = f"{summary.num_layers} layers, {summary.num_parameters:,} parameters"
        print_summary(summary, told, json=json)


def _is_of_an_objective(name: str) -> bool:
    """Tells `mlm_accuracy` from `mlm_deu_accuracy`: there may be a hundred languages."""
    return name.count("_") == 1
