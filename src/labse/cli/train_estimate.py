"""What `--dry-run` of `labse train` and `labse pretrain` tells: sizes, memory, work and time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Literal

import typer

from labse.cli.console import print_json, say
from labse.errors import UsageError
from labse.network.config import BertConfig
from labse.pretraining.estimate import StageEstimate
from labse.training.estimate import RunEstimate, find_hardware

__all__ = [
    "DevicesOption",
    "DryRunOption",
    "HardwareOption",
    "Machine",
    "TflopsOption",
    "choose_machine",
    "print_estimate",
    "print_stages",
    "tell_assumed_vocabulary",
]

_PANEL = "Dry run"
_USUAL_SHARE = 0.4  # Of a peak; what well-tuned runs reach.
_UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))

Precision = Literal["float32", "bfloat16"]

DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print sizes, memory, operations and time, from the configuration alone.",
        rich_help_panel=_PANEL,
    ),
]
TflopsOption = Annotated[
    float | None,
    typer.Option(
        min=1e-6,
        help="What a device reaches, 10^12 operations a second.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
HardwareOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="h100, a100, v100, tpu-v3, or this-cpu, which is measured.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
DevicesOption = Annotated[
    int, typer.Option(min=1, help="Devices that share a batch.", rich_help_panel=_PANEL)
]


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run would be on: the speed of a device, or its name, and how many there are."""

    tflops: float | None
    hardware: str | None
    devices: int


def choose_machine(
    dry_run: bool, tflops: float | None, hardware: str | None, devices: int
) -> Machine | None:
    """Returns what to estimate a run for; None where it is to be run.

    Raises:
        UsageError: a machine is described and nothing is to be estimated.
    """
    if dry_run:
        return Machine(tflops, hardware, devices)
    if tflops is not None or hardware is not None or devices != 1:
        raise UsageError("--tflops, --hardware and --devices are for --dry-run")
    return None


def tell_assumed_vocabulary(bert: "BertConfig") -> None:
    """Says that nobody has told the size of the vocabulary, if so: it is most of the parameters."""
    if "vocab_size" not in bert.model_fields_set:
        say(
            f"assumed: {bert.vocab_size:,} pieces, as LaBSE has; --vocab or --set "
            "model.bert.vocab_size=N says how many there are"
        )


def print_estimate(
    estimate: "RunEstimate", machine: Machine, *, precision: Precision, json: bool
) -> None:
    """Prints an estimate as a table, or as JSON.

    Of a model without layers no time is told: it goes to memory, and not to products of matrices.

    Raises:
        UsageError: unknown hardware.
    """
    speeds = _find_speeds(machine, precision)
    if speeds.tflops and not estimate.parameters["layers"]:
        say("no time is told: a model without layers waits for memory, not for operations")
        speeds = replace(speeds, tflops={})
    if json:
        print_json(_facts(estimate, speeds))
        return
    for line in [*_lines(estimate, speeds, "sentences"), *_times(speeds, estimate)]:
        print(line)


def print_stages(
    stages: Sequence["StageEstimate"], machine: Machine, *, precision: Precision, json: bool
) -> None:
    """Prints the estimates of the stages of a run and of all together.

    Raises:
        UsageError: unknown hardware.
    """
    speeds = _find_speeds(machine, precision)
    costs = [stage.cost for stage in stages]
    train_steps = sum(cost.train_steps for cost in costs)
    run_flops = sum(cost.run_flops for cost in costs)
    if json:
        facts = [{"num_layers": s.num_layers, **_facts(s.cost, speeds)} for s in stages]
        totals = {"train_steps": train_steps, "run_flops": run_flops}
        print_json(
            {
                "stages": facts,
                **totals,
                "devices": speeds.devices,
                "seconds": speeds.seconds(*costs),
            }
        )
        return
    for number, stage in enumerate(stages, 1):
        print(f"stage {number} of {len(stages)}, layers: {stage.num_layers}")
        for line in [*_lines(stage.cost, speeds, "examples"), *_times(speeds, stage.cost), ""]:
            print(line)
    print("the run")
    for line in [*_work(train_steps, run_flops), *_times(speeds, *costs)]:
        print(line)


@dataclass(frozen=True, slots=True)
class _Speeds:
    """How fast each of some devices is, by the words that say when, and what is known of it."""

    devices: int
    tflops: Mapping[str, float]
    memory: str

    def seconds(self, *estimates: "RunEstimate") -> dict[str, float]:
        return {
            told: sum(estimate.seconds(tflops, devices=self.devices) for estimate in estimates)
            for told, tflops in self.tflops.items()
        }


def _find_speeds(machine: Machine, precision: Precision) -> _Speeds:

    tflops: dict[str, float] = {}
    if machine.tflops is not None:
        tflops[f"at {machine.tflops:g} TFLOP/s"] = machine.tflops
    memory = "at most"
    if machine.devices > 1:
        memory += f", on each of {machine.devices} devices"
    if machine.hardware is not None:
        hardware = find_hardware(machine.hardware, precision)
        peak = hardware.tflops[precision]
        tflops[f"at the peak of {hardware.name}, {peak:.3g} TFLOP/s in {precision}"] = peak
        tflops[f"at {_USUAL_SHARE:.0%} of it"] = _USUAL_SHARE * peak
        if hardware.memory_bytes:
            memory += f"; {hardware.name} has {hardware.memory_bytes / 2**30:.0f} GiB"
    return _Speeds(machine.devices, tflops, memory)


def _facts(estimate: "RunEstimate", speeds: _Speeds) -> dict[str, object]:
    return {
        **asdict(estimate),
        "memory": {**asdict(estimate.memory), "total": estimate.memory.total},
        "num_parameters": estimate.num_parameters,
        "run_flops": estimate.run_flops,
        "devices": speeds.devices,
        "seconds": speeds.seconds(estimate),
    }


def _lines(estimate: "RunEstimate", speeds: _Speeds, unit: str) -> list[str]:
    lines = [_line("parameters", f"{estimate.num_parameters:,}")]
    for part, count in estimate.parameters.items():
        lines.append(_line("", f"{count:,}", f"{part}, {count / estimate.num_parameters:.1%}"))
    lines.append(_line("memory", _gib(estimate.memory.total), speeds.memory))
    for part, num_bytes in asdict(estimate.memory).items():
        lines.append(_line("", _gib(num_bytes), part))
    told = f"tokens, if all {unit} are the longest"
    lines.append(_line("a step", f"{estimate.step_tokens:,}", told))
    lines.append(_line("", _scaled(estimate.step_flops), "operations"))
    return lines + _work(estimate.train_steps, estimate.run_flops)


def _work(train_steps: int, run_flops: float) -> list[str]:
    return [_line("all steps", f"{train_steps:,}"), _line("", _scaled(run_flops), "operations")]


def _times(speeds: _Speeds, *estimates: "RunEstimate") -> list[str]:
    times = speeds.seconds(*estimates).items()
    return [_line("time", _duration(time), told) for told, time in times]


def _line(name: str, value: str, told: str = "") -> str:
    return f"{name:12}  {value:>12}  {told}".rstrip()


def _gib(num_bytes: int) -> str:
    return (
        f"{num_bytes / 2**30:,.2f} GiB" if num_bytes >= 2**27 else f"{num_bytes / 2**20:,.1f} MiB"
    )


def _scaled(number: float) -> str:
    for size, letter in _UNITS:
        if number >= size:
            return f"{number / size:,.2f} {letter}FLOP"
    return f"{number:,.0f} FLOP"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 72 * 3600 else f"{seconds / 86400:,.1f} days"
