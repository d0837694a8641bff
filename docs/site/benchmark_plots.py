"""Draws the recorded benchmarks as bars, and says what each means for a user.

Takes: benchmarks/results. Gives: Markdown with inline SVG, the raw records folded below.
"""

import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
_OURS = "labse"  # A bar whose label begins so has the colour of the site.
_WIDTH, _BAR, _LABEL = 760, 26, 290

Record = list[dict[str, Any]]
Bars = list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of one file of results."""

    title: str
    file: str
    unit: str
    bars: Callable[[Record], Bars]
    meaning: str
    machine: str


def write_benchmarks() -> list[str]:
    """Gives the page: a part for each plot, then every record."""
    lines: list[str] = []
    for plot in PLOTS:
        bars = plot.bars(read_records(RESULTS / plot.file))
        lines += [f"## {plot.title}", "", plot.meaning, "", draw_bars(bars, plot.unit), ""]
        lines += [f"Measured on {plot.machine}. Recorded in `benchmarks/results/{plot.file}`.", ""]

    lines += [
        "## All records",
        "",
        "Each file in `benchmarks/results`, as its script wrote it.",
        "",
    ]
    for path in sorted(RESULTS.glob("*.json*")):
        text = "\n".join(json.dumps(row, indent=1)[:6000] for row in read_records(path))
        lines += [f"<details><summary>{path.name}</summary>"]
        lines += [f"<pre><code>{html.escape(text)}</code></pre></details>", ""]
    return lines


def read_records(path: Path) -> Record:
    """Gives the records of a .json or .jsonl file."""
    text = path.read_text(encoding="utf-8")
    parsed = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else None
    parsed = json.loads(text) if parsed is None else parsed
    return parsed if isinstance(parsed, list) else [parsed]


def draw_bars(bars: Bars, unit: str) -> str:
    """Gives an SVG of horizontal bars, which takes its colours from the page."""
    longest = max(value for _, value in bars)
    room = _WIDTH - _LABEL - 80
    parts = [f'<text x="{_LABEL}" y="{_BAR * 0.62:.1f}">{html.escape(unit)}</text>']
    for row, (label, value) in enumerate(bars):
        y, width = (row + 1) * _BAR, max(2.0, room * value / longest)
        kind = "ours" if label.startswith(_OURS) else "other"
        middle = f"{y + _BAR * 0.62:.1f}"
        parts.append(
            f'<text x="{_LABEL - 8}" y="{middle}" text-anchor="end">{html.escape(label)}</text>'
        )
        parts.append(
            f'<rect class="{kind}" x="{_LABEL}" y="{y + 4}" width="{width:.1f}" height="{_BAR - 8}"/>'
        )
        parts.append(f'<text x="{_LABEL + width + 8:.1f}" y="{middle}">{_show(value)}</text>')
    size = f'viewBox="0 0 {_WIDTH} {(len(bars) + 1) * _BAR}"'
    title = html.escape(
        f"Bars: {'; '.join(f'{name} {_show(value)} {unit}' for name, value in bars)}"
    )
    svg = f'<svg role="img" aria-label="{title}" {size} xmlns="http://www.w3.org/2000/svg">'
    return f'<div class="bars">{svg}{"".join(parts)}</svg></div>'


def _show(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rates(record: Record, key: str = "per_second") -> Bars:
    return [(name, _middle(value)) for name, value in record[0][key].items()]


def _middle(value: float | list[float]) -> float:
    return sorted(value)[len(value) // 2] if isinstance(value, list) else value


def _requests(record: Record) -> Bars:
    rates = record[0]["rates"].items()
    return [(name, _middle([row["requests_per_second"] for row in rows])) for name, rows in rates]


def _recall(record: Record) -> Bars:
    rows = [row for row in record if row.get("rows") == 200000 and "cpu_ms" in row]
    return [(f"{row['what']}, recall {row['recall_at_10']:.3f}", row["cpu_ms"]) for row in rows]


def _alignment(record: Record) -> Bars:
    def pairs() -> Iterator[tuple[str, float]]:
        for row in record:
            name = f"{row['data'].partition('.')[0]}, {row['lines_before_construction']} lines"
            for program in ("labse", "vecalign"):
                yield f"{program}: {name}", row[program]["milliseconds_per_document"]

    return list(pairs())


_QUIET = "two cores of an AMD EPYC with AVX-512, BF16 and VNNI, nothing beside (2026-11-23)"
_BUSY = "two cores with AVX2 alone, busy with other programs (2026-11-30)"

PLOTS = [
    Plot(
        "Vectors with a model of BERT-Base's size",
        "encode_base.json",
        "sentences a second",
        _rates,
        "More is better. With int8 the same two cores embed about fifteen times as many sentences as "
        "sentence-transformers in float32. The vectors have a mean cosine of .9996 with the exact ones. "
        "The model has LaBSE's twelve layers of 768 and random weights; a sentence has 28 tokens.",
        _QUIET,
    ),
    Plot(
        "Lines of mixed lengths",
        "encode_mixed.json",
        "sentences a second",
        _rates,
        "More is better. Real files have short and long lines. labse pads nothing, so it gains most there. It is "
        "seven times as fast as sentence-transformers, and four times if that sorts the lines by length.",
        "two cores of an AMD EPYC, nearly quiet; which instruction set was not recorded",
    ),
    Plot(
        "Training a dual encoder",
        "training_120000.json",
        "pairs a second",
        lambda record: _rates(record, "median"),
        "More is better. Both programs train six layers of 384 on the same batches of 128 pairs. "
        "What takes a week with the other program takes a day and a half here, with less memory. "
        "In float32, on processors without bfloat16, labse is 1.7 times as fast.",
        _QUIET,
    ),
    Plot(
        "Pre-training a BERT",
        "pretraining.json",
        "tokens a second",
        lambda record: _rates(record, "median"),
        "More is better. Six layers of 384 and 120,000 pieces, on the same masked batches. "
        "In float32 labse is three and a half times as fast as transformers' Trainer.",
        _QUIET,
    ),
    Plot(
        "A server with 64 clients",
        "serving.json",
        "requests a second",
        _requests,
        "More is better; the middle one of three rounds. Both serve the same small model and give the same "
        "vectors. labse puts the requests that wait into one batch.",
        _BUSY,
    ),
    Plot(
        "A question to an index of 200,000 rows",
        "index.jsonl",
        "ms of processor time",
        _recall,
        "Less is better. Recall says which share of the ten nearest rows is found. The compacted index takes "
        "a third of the time of the exact scan, and misses three rows in a thousand.",
        _BUSY,
    ),
    Plot(
        "Aligning documents",
        "align.jsonl",
        "ms a document",
        _alignment,
        "Less is better. On the same vectors labse takes a quarter of the time of vecalign, and finds at least "
        "as many beads that are right to the line ([alignment](alignment.md#how-good-is-it)).",
        "one thread of two cores, busy with other programs (2026-11-22)",
    ),
    Plot(
        "Counting words for a vocabulary",
        "vocab_counting.json",
        "MB a second of processor time",
        lambda record: _rates(record, "megabytes_per_cpu_second"),
        "More is better. Counting is what takes longest when a vocabulary is learnt from much text.",
        "one core of a machine of 2026-11; which instruction set was not recorded",
    ),
]
