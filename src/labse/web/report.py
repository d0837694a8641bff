"""What became of pages and sentences, stage by stage, and how much each language has.

Takes: folders of the stages and reports of releases. Gives: counts by pair of languages after each
    stage and by language, as Markdown, JSON and a picture.
Source: Feng et al. 2020: figure 1, monolingual sentences and pairs of each language; section 3.1,
    what is left of mined pairs. All of it stands in the manifests; no text is read.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from labse.corpus.languages import find_language
from labse.corpus.statistics import CorpusStatistics, LangStatistics, draw_sizes
from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, read_json

__all__ = [
    "RELEASE_KIND",
    "REPORT_SUFFIX",
    "WebReport",
    "draw_report",
    "render_report",
    "web_report",
]

RELEASE_KIND = "web_release"
REPORT_SUFFIX = ".report.json"
"""Of the file beside a release that has its counts."""

_PAIR_STAGES = {
    "web_pairs": ("document pairs", "num_pairs"),
    "web_align": ("aligned", "num_beads"),
    "web_mine": ("mined", "num_beads"),
    RELEASE_KIND: ("in the release", "num_pairs"),
}
"""The columns of the table of language pairs: by kind, what it is called and where it is told."""


@dataclass(frozen=True, slots=True)
class WebReport:
    """Counts of all stages that were given.

    Attributes:
        lang_pairs: by pair of languages, as `deu-eng`, and stage; the largest first.
        num_pages: by language.
        num_sentences: monolingual ones by language: those of pages and of cleaned corpora.
        num_pairs: of the releases, by language of either side.
    """

    lang_pairs: dict[str, dict[str, int]]
    num_pages: dict[str, int]
    num_sentences: dict[str, int]
    num_pairs: dict[str, int]

    @property
    def langs(self) -> list[str]:
        """All languages, those with the most sentences and pairs first."""
        totals = Counter(self.num_sentences)
        totals.update(self.num_pairs)
        return sorted(totals, key=lambda lang: (-totals[lang], lang))


def web_report(paths: Iterable[str | Path]) -> WebReport:
    """Adds up what the stages have counted.

    Args:
        paths: folders of `web_run`; folders of single stages, of `labse corpus clean` or
            `labse corpus dedup` (their sentences are monolingual); or the `.report.json` beside a
            release.

    Raises:
        LabseError: one of them is none of these, or not finished.
    """
    pairs: dict[str, Counter[str]] = {}
    totals = {name: Counter[str]() for name in ("pages", "sentences", "pairs")}
    for manifest in _read_manifests(list(map(Path, paths))):
        kind = str(manifest.get("kind"))
        if kind == "web_pages":
            totals["pages"].update(_counts(manifest, "langs"))
            totals["sentences"].update(_counts(manifest, "num_sentences"))
        elif kind in _PAIR_STAGES:
            stage, name = _PAIR_STAGES[kind]
            for langs, number in _counts(manifest, name).items():
                pairs.setdefault(langs, Counter())[stage] += number
                if kind == RELEASE_KIND:
                    totals["pairs"].update(dict.fromkeys(_split(langs), number))
        else:
            totals["sentences"].update(_count_corpus(manifest))
    last = [stage for stage, _ in reversed(_PAIR_STAGES.values())]
    ordered = sorted(pairs, key=lambda langs: ([-pairs[langs][stage] for stage in last], langs))
    return WebReport(
        {langs: dict(pairs[langs]) for langs in ordered},
        *(dict(totals[name].most_common()) for name in ("pages", "sentences", "pairs")),
    )


def _read_manifests(paths: Sequence[Path]) -> list[dict[str, object]]:
    """Returns the manifests of folders and releases; of a folder of `web_run` those inside."""
    found: list[Path] = []
    for path in paths:
        inside = [folder / MANIFEST_NAME for folder in sorted(path.glob("*")) if folder.is_dir()]
        inside = [manifest for manifest in inside if manifest.is_file()]
        if path.is_file() and path.name.endswith(REPORT_SUFFIX):
            found.append(path)
        elif (path / MANIFEST_NAME).is_file():
            found.append(path / MANIFEST_NAME)
        elif inside:
            found += [*inside, *sorted(path.glob(f"*{REPORT_SUFFIX}"))]
        else:
            raise LabseError(
                f"{path}: give a finished folder of labse web or labse corpus, or the "
                f"{REPORT_SUFFIX} of a release"
            )
    manifests = [read_json(path) for path in dict.fromkeys(found)]
    for path, manifest in zip(dict.fromkeys(found), manifests, strict=True):
        is_known = manifest.get("kind") in (*_PAIR_STAGES, "web_pages", "web_scores")
        if not (is_known or _count_corpus(manifest)):
            raise LabseError(f"{path}: holds no counts by language that labse web report knows")
    return [manifest for manifest in manifests if manifest.get("kind") != "web_scores"]


def _counts(manifest: Mapping[str, object], name: str) -> dict[str, int]:
    return cast("dict[str, int]", manifest.get(name, {}))


def _count_corpus(manifest: Mapping[str, object]) -> Counter[str]:
    """Returns the rows by language that cleaning or deduplication has kept."""
    kept: Counter[str] = Counter()
    counts, report = manifest.get("counts"), manifest.get("report")
    if isinstance(counts, dict) and "bounds" in manifest:
        for langs in counts.values():
            kept.update({lang: reasons.get("kept", 0) for lang, reasons in langs.items()})
    if isinstance(report, dict) and isinstance(report.get("kept"), dict):
        kept.update(report["kept"])
    return kept


def _split(langs: str) -> list[str]:
    """Returns the tags of a pair of languages, `zho-Hant-eng` included."""
    parts = langs.split("-")
    edges = [n for n, part in enumerate(parts) if n and part.islower() and len(part) in (2, 3)]
    edge = edges[0] if edges else len(parts)
    return ["-".join(parts[:edge]), "-".join(parts[edge:])]


def render_report(report: WebReport) -> str:
    """Returns the two tables as Markdown."""
    told = [stage for stage, _ in _PAIR_STAGES.values()]
    stages = [stage for stage in told if any(stage in row for row in report.lang_pairs.values())]
    pairs = [[langs, *(row.get(s, 0) for s in stages)] for langs, row in report.lang_pairs.items()]
    pairs.append(
        ["all", *(sum(cast("int", row[n + 1]) for row in pairs) for n in range(len(stages)))]
    )
    columns = (report.num_pages, report.num_sentences, report.num_pairs)
    langs = [
        [lang, find_language(lang).name, *(column.get(lang, 0) for column in columns)]
        for lang in report.langs
    ]
    return "\n\n".join(
        (
            "Pairs after each stage",
            _render_table(["languages", *stages], pairs),
            "Text of each language",
            _render_table(["language", "name", "pages", "sentences", "pairs"], langs),
        )
    )


def _render_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    ruler = ["---" if isinstance(name, str) else "" for name in header]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ruler, *cells))


def draw_report(report: WebReport) -> bytes:
    """Draws monolingual sentences and pairs by language, as `labse corpus stats` does, as a PNG.

    Raises:
        ResourceError: matplotlib is not installed.
    """
    langs = {
        lang: LangStatistics(report.num_sentences.get(lang, 0), report.num_pairs.get(lang, 0))
        for lang in report.langs
    }
    return draw_sizes(CorpusStatistics(langs, {}, {}))
