"""The card of a release: what it holds, and what was left out at each stage.

Takes: the counts of a release and the folders of the earlier stages. Gives: Markdown, a picture.
"""

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

from labse import __version__
from labse.cleaning.bounds import FilterBounds
from labse.files.atomic import MANIFEST_NAME, read_json
from labse.runtime import require

if TYPE_CHECKING:
    from labse.web.bitext import WebBitext

__all__ = ["draw_drops", "render_card"]

_MAX_HOSTS = 50


def render_card(
    out: Path,
    result: "WebBitext",
    folders: Iterable[tuple[str, Path]],
    bounds: FilterBounds,
    min_bead_score: float | None,
    model_sha256: str,
) -> str:
    """Returns the card as Markdown; `folders` are those of the stages, each with its name."""
    total = sum(result.num_pairs.values())
    lines = [
        f"# {out.name}",
        "",
        f"{total:,} sentence pairs from web pages, made by labse {__version__} "
        f"with the model {model_sha256[:12] or '(its own)'}.",
        "",
        "The texts are those of their sites and have their licences; each pair names the addresses "
        "it stands under. `labse web bitext --exclude-urls FILE` takes pages out.",
        "",
        "| languages | pairs |",
        "|---|---|",
        *(f"| {langs} | {number:,} |" for langs, number in result.num_pairs.items()),
        "",
        "## Stages",
        "",
    ]
    for name, folder in folders:
        lines += _tell_stage(name, read_json(folder / MANIFEST_NAME))
    lines += _table("sentence pairs left out of the release", "reason", result.drops)
    shown = dict(list(result.hosts.items())[:_MAX_HOSTS])
    lines += _table(f"pairs by host ({len(result.hosts):,} hosts)", "host", shown)
    told = {name: value for name, value in bounds if value not in (None, False)}
    lines += ["## Bounds", "", *(f"- {name}: {value}" for name, value in told.items())]
    lines += [f"- min_bead_score: {min_bead_score}", ""]
    return "\n".join(lines)


def _tell_stage(name: str, manifest: Mapping[str, object]) -> list[str]:
    """Returns the tables of a stage."""
    if name == "pages":
        title = f"pages: {manifest['num_pages']:,} of {manifest['num_sites']:,} sites"
        return [
            *_table(title, "language", manifest["langs"]),
            *_table("left out", "reason", manifest["drops"]),
        ]
    if name == "pairs":
        return [
            *_table("document pairs", "languages", manifest["num_pairs"]),
            *_table("signals that spoke for them", "signal", manifest["signals"]),
            *_table("pages not looked at", "reason", manifest["drops"]),
            *_table("candidates that are no pairs", "reason", manifest["rejects"]),
        ]
    if name == "mine":
        return [
            *_table("sentences mined without documents", "language", manifest["num_sentences"]),
            *_table("pairs found among them", "languages", manifest["num_beads"]),
            *_table("left out of mining", "reason", manifest["drops"]),
        ]
    title = f"beads of {manifest['num_documents']:,} document pairs"
    return [
        *_table(title, "languages", manifest["num_beads"]),
        *_table("lines without one", "reason", manifest["drops"]),
    ]


def _table(title: str, header: str, counts: object) -> list[str]:
    rows = [(name, n) for name, n in cast("dict[str, int]", counts).items() if n]
    if not rows:
        return []
    found = [f"| {name} | {number:,} |" for name, number in rows]
    return [
        f"### {title[0].upper()}{title[1:]}",
        "",
        f"| {header} | number |",
        "|---|---|",
        *found,
        "",
    ]


def draw_drops(result: "WebBitext", folders: Iterable[tuple[str, Path]]) -> bytes:
    """Returns a picture, PNG, of what was left out at each stage and what stays."""
    require("matplotlib", "corpus").use("Agg")
    figure = require("matplotlib.figure", "corpus").Figure(figsize=(9, 0.5), layout="constrained")
    stages: list[tuple[str, dict[str, int]]] = []
    titles = {
        "pages": ("pages", "drops"),
        "pairs": ("candidates", "rejects"),
        "align": ("lines", "drops"),
        "mine": ("sentences", "drops"),
    }
    for name, folder in folders:
        label, field = titles[name]
        stages.append((label, cast("dict[str, int]", read_json(folder / MANIFEST_NAME)[field])))
    kept = {"in the release": sum(result.num_pairs.values())}
    stages.append(("sentence pairs", {**result.drops, **kept}))
    stages = [(label, {k: v for k, v in counts.items() if v}) for label, counts in stages]
    stages = [(label, counts) for label, counts in stages if counts] or [
        ("sentence pairs", {"none": 0})
    ]
    heights = [len(counts) + 1 for _, counts in stages]
    figure.set_size_inches(9, 0.4 * sum(heights) + 0.6)
    axes = figure.subplots(len(stages), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (label, counts) in zip(axes, stages, strict=True):
        names = list(counts)
        colours = ["tab:green" if name in kept else "tab:gray" for name in names]
        bars = ax.barh(names, [counts[name] for name in names], color=colours)
        ax.bar_label(bars, labels=[f" {counts[name]:,}" for name in names])
        ax.invert_yaxis()
        ax.set_title(label, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.12)
    stream = BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
