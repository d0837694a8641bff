"""A picture: the size of models against their P@1 on Tatoeba 36.

Use: python recipes/default/picture.py MODEL_FOLDER REPORT.json PICTURE.png

REPORT.json is that of `labse evaluate tatoeba`; the other models stand in peers.tsv. Needs the
extra plot.
"""

import csv
import sys
from pathlib import Path

from matplotlib.figure import Figure

from labse.files.atomic import files_in, read_json

HERE = Path(__file__).parent


def main() -> None:
    """Parses the arguments and draws."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, report, out = map(Path, sys.argv[1:])
    groups = {group["name"]: group["p_at_1"] for group in read_json(report)["groups"]}
    ours = sum(file.stat().st_size for file in files_in(folder)) / 1e6
    with (HERE / "peers.tsv").open(encoding="utf-8", newline="") as stream:
        peers = [
            (row["model"], float(row["megabytes"]), float(row["tatoeba36"]))
            for row in csv.DictReader(stream, delimiter="\t")
        ]

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, size, score in [("comes with labse", ours, 100 * groups["36"]), *peers]:
        is_ours = name == "comes with labse"
        axes.scatter(size, score, s=60, color="tab:red" if is_ours else "tab:grey")
        axes.annotate(
            f"{name}\n{size:,.0f} MB, {score:.1f}",
            (size, score),
            xytext=(7, -4),
            textcoords="offset points",
            fontsize=8,
            weight="bold" if is_ours else "normal",
        )
    axes.set(
        xscale="log",
        xlim=(40, 8000),
        ylim=(55, 100),
        xlabel="size of the files, MB",
        ylabel="P@1 on Tatoeba 36, percent",
    )
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main()
