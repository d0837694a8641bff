"""The command `labse compare`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, print_table, say
from labse.cli.options import JsonOption
from labse.evaluation.compare import compare_reports, comparison_table, read_report

__all__ = ["compare"]

_REPORT = "Report of one system: report.json, or the folder that labse evaluate --out wrote."


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help=_REPORT)],
    second: Annotated[Path, typer.Argument(metavar="B", help=_REPORT)],
    level: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Level of the confidence interval.")
    ] = 0.95,
    resamples: Annotated[
        int, typer.Option(min=1, help="Number of resamples of the bootstrap.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 1,
    json: JsonOption = False,
) -> None:
    """Tell which of two systems is better, and whether that is more than chance.

    Every score that both reports have on the same sentences is compared, by a paired bootstrap over
    the sentences of each language. Where the interval of B - A leaves out zero, one is better.

    [bold]Examples[/bold]

    labse compare reports/base.json reports/new.json
    """
    reports = read_report(first), read_report(second)
    found = compare_reports(*reports, num_resamples=resamples, level=level, seed=seed)
    if left_out := len(reports[0].scores) - len(found):
        say(f"{left_out} scores of {first} left out: {second} has none of the same sets")
    if json:
        rows = [each.to_dict() for each in found]
        print_json({"level": level, "resamples": resamples, "seed": seed, "scores": rows})
    else:
        names = (str(reports[0].path), str(reports[1].path))
        table = comparison_table(found, names, level)
        print_table(table.headers, table.rows, align=table.align, title=table.title)
