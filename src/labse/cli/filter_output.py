"""What `labse filter` leaves: kept pairs, rejected ones with their reasons, and the report."""

from collections.abc import Iterator
from pathlib import Path

from labse.cli.console import print_json, print_table, say
from labse.corpus.writers import choose_layout, write_rows
from labse.errors import LabseError, UsageError
from labse.mining.filter import FilterReport

__all__ = ["show_report", "write_kept"]


def write_kept(
    kept: Iterator[tuple[str, str]], out: Path | None, langs: tuple[str, str] | None
) -> None:
    """Writes the pairs that are kept, or only counts them.

    Raises:
        UsageError: the format needs languages.
    """
    if out is None:
        for _ in kept:
            pass
        return

    columns: tuple[str, ...] = ("source", "target")
    if choose_layout(out) == "tmx" and langs is None:
        raise UsageError(f"--out {out}: TMX needs --source-lang and --target-lang")
    columns += ("source_lang", "target_lang") if langs else ()
    written = write_rows(out, columns, ((*pair, *(langs or ())) for pair in kept))
    if written.num_altered:
        say(
            f"{written.num_altered:,} pairs hold a character that the format cannot; another is in "
            "its place"
        )


def show_report(report: FilterReport, *, as_json: bool) -> None:
    """Prints the counts; the sums hold, or it is our fault.

    Raises:
        LabseError: the counts do not add up.
    """
    num_dropped = report.num_read - report.num_kept
    if num_dropped < report.only.total() or num_dropped > report.broken.total():
        raise LabseError("the counts of dropped pairs do not add up; please report this")
    if as_json:
        print_json(
            {
                "read": report.num_read,
                "kept": report.num_kept,
                "dropped": num_dropped,
                "broken": dict(report.broken),
                "only": dict(report.only),
            }
        )
        return

    headers = ("bound", "pairs that break it", "and no other")
    broken = report.broken.most_common()
    rows = [(name, f"{count:,}", f"{report.only[name]:,}") for name, count in broken]
    counts = {"read": report.num_read, "dropped": num_dropped, "kept": report.num_kept}
    print_table(headers, [*rows, (), *((name, f"{n:,}", "") for name, n in counts.items())])
