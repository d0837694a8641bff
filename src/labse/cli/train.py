"""The command `labse train`."""

from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labse.cli.console import mute_all_but_main, print_json, say
from labse.cli.options import JsonOption
from labse.cli.pair_inputs import parse_bytes
from labse.cli.train_estimate import (
    DevicesOption,
    DryRunOption,
    HardwareOption,
    Machine,
    TflopsOption,
    choose_machine,
    print_estimate,
    tell_assumed_vocabulary,
)
from labse.cli.training_runs import (
    RunOption,
    SetOption,
    TensorBoardOption,
    report_lines,
    stop_as_error,
    tensorboard_reports,
)
from labse.config import load_config
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.arrays import Resources
from labse.dual_encoder.data.prepare import fit_to_vocabulary
from labse.dual_encoder.estimate import estimate_run
from labse.dual_encoder.tuning import count_pairs, tuning_overrides
from labse.errors import UsageError
from labse.evaluation.datasets import read_tatoeba
from labse.evaluation.tatoeba import evaluate_tatoeba
from labse.model_folder.hub import locate_model
from labse.runtime import require
from labse.vocab.tokenizer import load_tokenizer

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
        Path | None,
        typer.Argument(
            metavar="[CONFIG.toml]",
            help="Sections of the run; relative paths in it start at its folder. With --pairs "
            "there is none.",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Tune the model of --init on these pairs (.tsv, .jsonl, .parquet; may be given "
            "often), with settings for their number.",
            show_default=False,
        ),
    ] = None,
    out: RunOption = None,
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
    source_lang: Annotated[
        str | None,
        typer.Option(help="Language of the sources, where no column tells.", show_default=False),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(help="Language of the targets, where no column tells.", show_default=False),
    ] = None,
    set_: SetOption = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            metavar="TATOEBA_FOLDER",
            help="Score the model on these Tatoeba sets every train.eval_every steps.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that tokenise, a file of pairs each.")
    ] = 2,
    memory: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="For numbering sentences before the first step; processes take their own beside.",
        ),
    ] = "1G",
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
    machine = choose_machine(dry_run, tflops, hardware, devices)
    choice = _Choice(config, pairs or [], init, source_lang, target_lang, tuple(set_ or ()))
    if machine is not None:
        _print_dry_run(choice, vocab, machine, json=json)
        return
    if vocab is None and init is None:
        raise UsageError("give --vocab, the pieces to train on, or --init, a model to start from")
    if out is None:
        raise UsageError("give --out, the folder of the run")
    with stop_as_error():
        run_config = choice.load()
        require("torch", "train")
        is_main = mute_all_but_main()
        from labse.dual_encoder.run import run_training
        from labse.encoder.trained import golden_files

        start = choice.start_folder()
        vocab_folder = vocab or start
        assert vocab_folder is not None
        data_folder = Path() if config is None else config.parent
        teacher = None
        if run_config.distill is not None:
            from labse.encoder.teacher import load_teacher

            teacher = load_teacher(run_config.distill.teacher, data_folder)
        score = None if evaluate is None else _build_evaluate(evaluate, vocab_folder)
        steps = run_config.train.train_steps
        with (
            report_lines("train", steps, _COLUMNS, rate="pairs_per_second") as lines,
            tensorboard_reports(out, lines, is_asked=tensorboard and is_main) as report,
        ):
            summary = run_training(
                run_config,
                out,
                vocab_folder=vocab_folder,
                data_folder=data_folder,
                start=start,
                resources=Resources(workers, parse_bytes(memory)),
                teacher=teacher,
                evaluate=score,
                report=report,
                extra_files=golden_files,
            )
    say(f"{summary.model_folder}: {summary.num_parameters:,} parameters, step {summary.step:,}")
    if json and is_main:
        print_json({**asdict(summary), "model_folder": str(summary.model_folder)})


@dataclass(frozen=True, slots=True)
class _Choice:
    """What says how to train: a file, or pairs and a model to start from."""

    config: Path | None
    pairs: list[str]
    init: Path | None
    source_lang: str | None
    target_lang: str | None
    overrides: tuple[str, ...]

    def start_folder(self) -> Path | None:

        return None if self.init is None else locate_model(self.init)

    def load(self) -> "RunConfig":

        if (self.config is None) == (not self.pairs):
            raise UsageError("give CONFIG.toml, or --pairs with the files to tune a model on")
        if self.config is not None:
            return load_config(RunConfig, self.config, (*self._langs(), *self.overrides))
        start = self.start_folder()
        if start is None:
            raise UsageError("--pairs needs --init, the model to tune, such as --init default")

        require("torch", "train")
        from labse.dual_encoder.start import read_start_config

        num_pairs = count_pairs(self.pairs, self.source_lang, self.target_lang)
        settings = tuning_overrides(self.pairs, num_pairs, read_start_config(start))
        loaded = load_config(RunConfig, None, (*settings, *self._langs(), *self.overrides))
        say(
            f"tuning on {num_pairs:,} pairs: {loaded.train.train_steps:,} steps of "
            f"{loaded.train.global_batch_size}; --set train.train_steps=N changes that"
        )
        return loaded

    def _langs(self) -> list[str]:
        langs = {"data.source_lang": self.source_lang, "data.target_lang": self.target_lang}
        return [f"{key}={dumps(lang)}" for key, lang in langs.items() if lang is not None]


def _print_dry_run(choice: _Choice, vocab: Path | None, machine: Machine, *, json: bool) -> None:
    """Estimates the run; a vocabulary or a model to start from is read for its sizes only."""
    run_config = choice.load()
    if vocab is not None:
        run_config = fit_to_vocabulary(run_config, load_tokenizer(vocab))
    start = choice.start_folder()
    if start is not None:
        require("torch", "train")
        from labse.dual_encoder.start import fit_to_start, read_start_config

        run_config = fit_to_start(run_config, read_start_config(start))
    tell_assumed_vocabulary(run_config.model.bert)
    estimate = estimate_run(run_config, devices=machine.devices)
    print_estimate(estimate, machine, precision=run_config.train.precision, json=json)


def _build_evaluate(folder: Path, vocab: Path) -> "Evaluate":
    """Returns what scores the model under training on Tatoeba."""
    from labse.dual_encoder.start import read_tokenizer
    from labse.encoder.trained import build_encoder
    from labse.network.dual_encoder import DualEncoder

    sets = read_tatoeba(folder)
    tokenizer = read_tokenizer(vocab)

    def evaluate(model: DualEncoder) -> dict[str, float]:
        encoder = build_encoder(model, tokenizer)
        report = evaluate_tatoeba(encoder, sets, max_seq_length=encoder.max_seq_length)
        groups = {f"tatoeba_{group.name}_p_at_1": group.p_at_1 for group in report.groups}
        return {"tatoeba_p_at_1": report.mean.p_at_1, **groups}

    return evaluate
