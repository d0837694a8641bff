"""The command `labse languages`."""

from dataclasses import asdict
from typing import Annotated

import typer

from labse import model_languages
from labse.cli.console import count, print_json, print_table, say
from labse.cli.options import JsonOption, ModelOption
from labse.corpus.languages import canonical_tag, find_language

__all__ = ["languages"]


def languages(
    langs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LANG]...", help="Only these, such as de or swahili; without, all judged ones."
        ),
    ] = None,
    model: ModelOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that no test set judges.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the languages of a model: pairs trained on, scores in tests, and whether it serves.

    A score is P@1 in percent: how often the nearest sentence is the translation, among the
    sentences of the test set. The verdict goes by the lower score: good from 60, weak from 30.

    [bold]Examples[/bold]

    labse languages

    labse languages swahili amharic somali

    labse languages --all --json
    """
    rows = model_languages(model)

    # Choose the rows: those named, or what a test set judges.
    if tags := [canonical_tag(lang) for lang in langs or ()]:
        shown = [row for row in rows if row.lang in tags]
    else:
        shown = [row for row in rows if json or everything or row.scores]
    if json:
        print_json({"languages": [asdict(row) for row in shown]})
        return
    sets = sorted({name for row in rows for name in row.scores})

    if shown:
        print_table(
            ["language", "code", "pairs", *sets, "verdict"],
            (
                (
                    row.name,
                    row.lang,
                    f"{row.num_pairs:,}",
                    *(
                        f"{100 * row.scores[name]:.1f}" if name in row.scores else ""
                        for name in sets
                    ),
                    row.verdict,
                )
                for row in shown
            ),
            align="ll" + "r" * (len(sets) + 1) + "l",
        )
    for tag in sorted(set(tags) - {row.lang for row in rows}):
        say(f"{find_language(tag).name} ({tag}): the model was not trained on it")
    if not tags and (num_left := len(rows) - len(shown)):
        say(f"{count(num_left, 'further language')} without a test set: --all lists them")
