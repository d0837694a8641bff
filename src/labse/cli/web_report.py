"""The command `labse web report`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, print_lines, say
from labse.cli.options import JsonOption
from labse.corpus.writers import check_picture
from labse.files.atomic import write_atomic
from labse.web.report import draw_report, render_report, web_report

__all__ = ["report"]


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDERS...",
            help="Folders of labse web run, of its stages, of labse corpus clean or dedup (their "
            "text is monolingual), or the NAME.report.json of a release.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Picture to draw, .png: sentences and pairs by language. Needs matplotlib: the "
            "extra plot.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Tell the pairs of each two languages after each stage, and the text of each language.

    These are the paper's table and figure, from what the stages have counted; no text is read.

    [bold]Examples[/bold]

    labse web report W

    labse web report W clean/ --out sizes.png
    """
    check_picture(out)
    found = web_report(paths)
    if json:
        print_json(asdict(found))
    else:
        print_lines(render_report(found).split("\n"), None)
    if out is not None:
        with write_atomic(out) as stream:
            stream.write(draw_report(found))
        say(f"{out}")
