"""What `labse filter` leaves: kept pairs, rejected ones with their reasons, and the report."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from labse.cli.console import print_json, print_table, say
from labse.corpus.writers import choose_layout, open_output, write_rows
from labse.errors import LabseError, UsageError
from labse.mining.filter import Bounds, PairScores, broken_bounds

__all__ = ["FilterReport", "ScoredPair", "decide", "show_report", "write_kept"]


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A line of the corpus; `number` counts from 1."""

    number: int
    source: str
    target: str
    scores: "PairScores"


@dataclass(slots=True)
class FilterReport:
    """How many pairs each bound dropped.

    Attributes:
        num_read: all pairs.
        num_kept: those that break no bound.
        broken: for each bound the pairs that break it, perhaps with others.
        only: for each bound the pairs that break it alone.
    """

    num_read: int = 0
    num_kept: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    only: Counter[str] = field(default_factory=Counter)


def decide(
    pairs: Iterable[ScoredPair], bounds: "Bounds", report: FilterReport, rejects: Path | None
) -> Iterator[ScoredPair]:
    """Yields the pairs that keep all bounds, counts in `report`, and writes the others.

    Raises:
        LabseError: see `broken_bounds`. ResourceError: `rejects` cannot be written.
    """
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open_output(rejects)) if rejects else None
        for pair in pairs:
            reasons = broken_bounds(pair.scores, bounds)
            report.num_read += 1
            if not reasons:
                report.num_kept += 1
                yield pair
                continue
            report.broken.update(reasons)
            if len(reasons) == 1:
                report.only.update(reasons)
            if stream:
                _write_reject(stream, pair, reasons)


def _write_reject(stream: "IO[bytes]", pair: ScoredPair, reasons: tuple[str, ...]) -> None:
    record = {
        "line": pair.number,
        "reasons": reasons,
        "source": pair.source,
        "target": pair.target,
    }
    stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def write_kept(kept: Iterator[ScoredPair], out: Path | None, langs: tuple[str, str] | None) -> None:
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
    written = write_rows(out, columns, ((p.source, p.target, *(langs or ())) for p in kept))
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
