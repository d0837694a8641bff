"""What `labse train --dry-run` tells: sizes, memory, arithmetic and time."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from labse.cli.console import print_json

if TYPE_CHECKING:
    from labse.training.cost import RunEstimate
    from labse.training.hardware import Hardware

__all__ = ["Machine", "print_estimate"]

_USUAL_SHARE = 0.4  # Of a peak; what well-tuned runs reach.
_UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run would be on: the speed of a device, or its name, and how many there are."""

    tflops: float | None
    hardware: str | None
    devices: int


def print_estimate(
    estimate: "RunEstimate",
    machine: "Machine",
    *,
    precision: Literal["float32", "bfloat16"],
    json: bool,
) -> None:
    """Prints an estimate as a table, or as JSON.

    Raises:
        UsageError: unknown hardware.
    """
    from labse.training.hardware import find_hardware

    devices, tflops = machine.devices, machine.tflops
    hardware = None if machine.hardware is None else find_hardware(machine.hardware, precision)
    speeds: dict[str, float] = {} if tflops is None else {f"at {tflops:g} TFLOP/s": tflops}
    if hardware is not None:
        peak = hardware.tflops[precision]
        told = f"{hardware.name}, {peak:.3g} TFLOP/s in {precision}"
        speeds |= {
            f"at the peak of {told}": peak,
            f"at {_USUAL_SHARE:.0%} of it": _USUAL_SHARE * peak,
        }
    seconds = {told: estimate.seconds(speed, devices=devices) for told, speed in speeds.items()}
    if json:
        memory = {**asdict(estimate.memory), "total": estimate.memory.total}
        derived = {
            "num_parameters": estimate.num_parameters,
            "run_flops": estimate.run_flops,
            "devices": devices,
            "seconds": seconds,
        }
        print_json({**asdict(estimate), "memory": memory, **derived})
        return
    for line in _lines(estimate, devices, hardware):
        print(line)
    for told, duration in seconds.items():
        print(f"{'time':12}  {_duration(duration):>12}  {told}")


def _lines(estimate: "RunEstimate", devices: int, hardware: "Hardware | None") -> list[str]:
    lines = [f"{'parameters':12}  {estimate.num_parameters:>12,}"]
    for part, count in estimate.parameters.items():
        lines.append(f"{'':12}  {count:>12,}  {part}, {count / estimate.num_parameters:.1%}")
    memory = estimate.memory
    told = "at most" if devices == 1 else f"at most, on each of {devices} devices"
    if hardware is not None and hardware.memory_bytes:
        told += f"; {hardware.name} has {hardware.memory_bytes / 2**30:.0f} GiB"
    lines.append(f"{'memory':12}  {_gib(memory.total):>12}  {told}")
    for part, num_bytes in asdict(memory).items():
        lines.append(f"{'':12}  {_gib(num_bytes):>12}  {part}")
    lines.append(
        f"{'a step':12}  {estimate.step_tokens:>12,}  tokens, if all sentences are the longest"
    )
    lines.append(f"{'':12}  {_scaled(estimate.step_flops):>12}  operations")
    lines.append(f"{'all steps':12}  {estimate.train_steps:>12,}")
    lines.append(f"{'':12}  {_scaled(estimate.run_flops):>12}  operations")
    return lines


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
