"""The card of a release: what it holds, and what was left out at each stage.

Takes: the counts of a release and the folders of the earlier stages. Gives: Markdown, a picture.
"""

from collections.abc import Mapping
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
    folders: Mapping[str, Path],
    bounds: FilterBounds,
    min_bead_score: float | None,
    model_sha256: str,
) -> str:
    """Returns the card as Markdown."""
    manifests = {name: read_json(folder / MANIFEST_NAME) for name, folder in folders.items()}
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
    if "pages" in manifests:
        pages = manifests["pages"]
        lines += _table(
            f"pages: {pages['num_pages']:,} of {pages['num_sites']:,} sites",
            "language",
            pages["langs"],
        )
        lines += _table("left out", "reason", pages["drops"])
    if "pairs" in manifests:
        pairs = manifests["pairs"]
        lines += _table("document pairs", "languages", pairs["num_pairs"])
        lines += _table("signals that spoke for them", "signal", pairs["signals"])
        lines += _table("pages not looked at", "reason", pairs["drops"])
        lines += _table("candidates that are no pairs", "reason", pairs["rejects"])
    beads = manifests["align"]
    lines += _table(
        f"beads of {beads['num_documents']:,} document pairs", "languages", beads["num_beads"]
    )
    lines += _table("lines without one", "reason", beads["drops"])
    lines += _table("beads left out of the release", "reason", result.drops)
    shown = dict(list(result.hosts.items())[:_MAX_HOSTS])
    lines += _table(f"pairs by host ({len(result.hosts):,} hosts)", "host", shown)
    told = {name: value for name, value in bounds if value not in (None, False)}
    lines += ["## Bounds", "", *(f"- {name}: {value}" for name, value in told.items())]
    lines += [f"- min_bead_score: {min_bead_score}", ""]
    return "\n".join(lines)


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


def draw_drops(result: "WebBitext", folders: Mapping[str, Path]) -> bytes:
    """Returns a picture, PNG, of what was left out at each stage and what stays."""
    require("matplotlib", "corpus").use("Agg")
    figure = require("matplotlib.figure", "corpus").Figure(figsize=(9, 0.5), layout="constrained")
    stages: list[tuple[str, dict[str, int]]] = []
    titles = {
        "pages": ("pages", "drops"),
        "pairs": ("candidates", "rejects"),
        "align": ("lines", "drops"),
    }
    for name, (label, field) in titles.items():
        if name in folders:
            manifest = read_json(folders[name] / MANIFEST_NAME)
            stages.append((label, cast("dict[str, int]", manifest[field])))
    kept = {"in the release": sum(result.num_pairs.values())}
    stages.append(("beads", {**result.drops, **kept}))
    stages = [(label, {k: v for k, v in counts.items() if v}) for label, counts in stages]
    stages = [(label, counts) for label, counts in stages if counts] or [("beads", {"none": 0})]
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
