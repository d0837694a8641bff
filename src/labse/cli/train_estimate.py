"""What `--dry-run` of `labse train` and `labse pretrain` prints: sizes, memory, work and time."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from labse.cli.console import print_json, say
from labse.errors import UsageError
from labse.pretraining.estimate import StageEstimate
from labse.training.estimate import Machine, RunEstimate

__all__ = [
    "DevicesOption",
    "DryRunOption",
    "HardwareOption",
    "TflopsOption",
    "check_is_dry_run",
    "print_estimate",
    "print_stages",
]

_PANEL = "Dry run"
_UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))

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
    ),
]
HardwareOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="h100, a100, v100, tpu-v3, or this-cpu, which is measured.",
        rich_help_panel=_PANEL,
    ),
]
DevicesOption = Annotated[
    int, typer.Option(min=1, help="Devices that share a batch.", rich_help_panel=_PANEL)
]


def check_is_dry_run(tflops: float | None, hardware: str | None, devices: int) -> None:
    """Refuses to run where a machine is described.

    Raises:
        UsageError: one is.
    """
    if tflops is not None or hardware is not None or devices != 1:
        raise UsageError("--tflops, --hardware and --devices are for --dry-run")


def print_estimate(estimate: RunEstimate, machine: Machine, *, json: bool) -> None:
    """Prints an estimate as a table, or as JSON."""
    if machine.tflops and not estimate.has_time:
        say("no time is told: a model without layers waits for memory, not for operations")
    if json:
        print_json(_facts(estimate, machine))
        return
    for line in [*_lines(estimate, machine, "sentences"), *_times(machine, estimate)]:
        print(line)


def print_stages(stages: Sequence[StageEstimate], machine: Machine, *, json: bool) -> None:
    """Prints the estimates of the stages of a run and of all together, or JSON."""
    costs = [stage.cost for stage in stages]
    train_steps = sum(cost.train_steps for cost in costs)
    run_flops = sum(cost.run_flops for cost in costs)
    if json:
        facts = [{"num_layers": s.num_layers, **_facts(s.cost, machine)} for s in stages]
        totals = {"train_steps": train_steps, "run_flops": run_flops, "devices": machine.devices}
        print_json({"stages": facts, **totals, "seconds": machine.seconds(*costs)})
        return
    for number, stage in enumerate(stages, 1):
        print(f"stage {number} of {len(stages)}, layers: {stage.num_layers}")
        for line in [*_lines(stage.cost, machine, "examples"), *_times(machine, stage.cost), ""]:
            print(line)
    print("the run")
    for line in [*_work(train_steps, run_flops), *_times(machine, *costs)]:
        print(line)


def _facts(estimate: RunEstimate, machine: Machine) -> dict[str, object]:
    return {
        **asdict(estimate),
        "memory": {**asdict(estimate.memory), "total": estimate.memory.total},
        "num_parameters": estimate.num_parameters,
        "run_flops": estimate.run_flops,
        "devices": machine.devices,
        "seconds": machine.seconds(estimate),
    }


def _lines(estimate: RunEstimate, machine: Machine, unit: str) -> list[str]:
    lines = [_line("parameters", f"{estimate.num_parameters:,}")]
    for part, count in estimate.parameters.items():
        lines.append(_line("", f"{count:,}", f"{part}, {count / estimate.num_parameters:.1%}"))
    lines.append(_line("memory", _gib(estimate.memory.total), _tell_devices(machine)))
    for part, num_bytes in asdict(estimate.memory).items():
        lines.append(_line("", _gib(num_bytes), part))
    told = f"tokens, if all {unit} are the longest"
    lines.append(_line("a step", f"{estimate.step_tokens:,}", told))
    lines.append(_line("", _scaled(estimate.step_flops), "operations"))
    return lines + _work(estimate.train_steps, estimate.run_flops)


def _tell_devices(machine: Machine) -> str:
    told = "at most"
    if machine.devices > 1:
        told += f", on each of {machine.devices} devices"
    if machine.hardware and machine.hardware.memory_bytes:
        told += f"; {machine.hardware.name} has {machine.hardware.memory_bytes / 2**30:.0f} GiB"
    return told


def _work(train_steps: int, run_flops: float) -> list[str]:
    return [_line("all steps", f"{train_steps:,}"), _line("", _scaled(run_flops), "operations")]


def _times(machine: Machine, *estimates: RunEstimate) -> list[str]:
    times = machine.seconds(*estimates).items()
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
