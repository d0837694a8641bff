"""The folder that ships: the model in 4 bits, its card, its lineage without the maker's paths.

Use: python recipes/default/package.py RUN_FOLDER TARGET_FOLDER CARD.md

RUN_FOLDER is that of run.sh: int4/, pairs/, report.json, reports/tatoeba and reports/tico19. The
card goes into TARGET_FOLDER/README.md and into CARD.md. At most 64 MB are written, or nothing is.
"""

import csv
import shutil
import sys
from collections import Counter
from pathlib import Path, PurePath
from string import Template
from typing import Any

import pyarrow.parquet as pq

from labse.corpus.languages import canonical_tag, find_language
from labse.files.atomic import read_json, sha256_file, write_atomic, write_json
from labse.model_folder.languages import LANGUAGES_NAME, ModelLanguage, Verdict

MAX_BYTES = 64_000_000
SETS = ("Tatoeba", "TICO-19")
WEAK, FAIR = 0.30, 0.60  # P@1 below which a language is called not usable, or weak.
HERE = Path(__file__).parent


def main() -> None:
    """Parses the arguments, writes the card and the folder."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    run, target, card_path = map(Path, sys.argv[1:])
    manifest: dict[str, Any] = dict(read_json(run / "int4" / "manifest.json"))
    shorten_paths(manifest)
    data = read_json(run / "report.json")
    manifest["prepared_from"] = data["inputs"]
    tatoeba = read_json(run / "reports/tatoeba/report.json")
    languages = list_languages(
        count_pairs(run / "pairs"),
        {canonical_tag(row["lang"]): row["p_at_1"] for row in tatoeba["langs"]},
        english_scores(read_json(run / "reports/tico19/report.json")),
    )
    texts = {
        "README.md": build_card(manifest, data=data, tatoeba=tatoeba, languages=languages),
        LANGUAGES_NAME: language_lines(languages),
    }

    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(run / "int4", temporary)
    for name, text in texts.items():
        (temporary / name).write_text(text, encoding="utf-8")
        manifest["files"][name] = sha256_file(temporary / name)
    write_json(temporary / "manifest.json", manifest)
    num_bytes = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file())
    if num_bytes > MAX_BYTES:
        sys.exit(f"{temporary}: {num_bytes:,} bytes, more than {MAX_BYTES:,}")
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    with write_atomic(card_path) as stream:
        stream.write(texts["README.md"].encode())
    print(f"{target}: {num_bytes:,} bytes")


def shorten_paths(manifest: dict[str, Any]) -> None:
    """Keeps `pairs/NAME` of each input; where the maker's disk had it says nothing to others."""
    for lineage in (manifest, manifest["vocabulary"]):
        for file in lineage["inputs"]:
            file["path"] = short(file["path"])
    data = manifest["run_config"]["data"]
    data["pairs"] = [short(path) for path in data["pairs"]]


def short(path: str) -> str:
    """Returns the last two parts of a path."""
    return "/".join(PurePath(path).parts[-2:])


def count_pairs(folder: Path) -> Counter[str]:
    """Returns the pairs of each language in all sources, by its canonical tag."""
    langs: Counter[str] = Counter()
    for file in sorted(folder.glob("*.parquet")):
        langs.update(pq.read_table(file, columns=["lang"])["lang"].to_pylist())
    tagged: Counter[str] = Counter()
    for lang, count in langs.items():
        tagged[canonical_tag(lang)] += count
    return tagged


def list_languages(
    num_pairs: Counter[str], tatoeba: dict[str, float], tico: dict[str, float]
) -> list[ModelLanguage]:
    """Returns all languages that were trained on or judged, by name."""
    found = []
    for tag in {*num_pairs, *tatoeba, *tico}:
        scores = {
            name: by_tag[tag]
            for name, by_tag in zip(SETS, (tatoeba, tico), strict=True)
            if tag in by_tag
        }
        name = find_language(tag).name
        found.append(ModelLanguage(tag, name, num_pairs[tag], judge(scores), scores))
    return sorted(found, key=lambda language: (language.name, language.lang))


def judge(scores: dict[str, float]) -> Verdict:
    """Says what the lower score means for a user."""
    if not scores:
        return "not judged"
    least = min(scores.values())
    return "good" if least >= FAIR else "weak" if least >= WEAK else "not usable"


def language_lines(languages: list[ModelLanguage]) -> str:
    """Returns `languages.tsv`, which `labse.model_folder.languages` reads."""
    header = ["lang", "name", "pairs", *SETS, "verdict"]
    rows = [
        [
            row.lang,
            row.name,
            str(row.num_pairs),
            *(f"{row.scores[name]:.3f}" if name in row.scores else "" for name in SETS),
            row.verdict,
        ]
        for row in languages
    ]
    return "".join("\t".join(row) + "\n" for row in [header, *rows])


def build_card(
    manifest: dict[str, Any],
    *,
    data: Any,  # noqa: ANN401
    tatoeba: Any,  # noqa: ANN401
    languages: list[ModelLanguage],
) -> str:
    """Returns the model card."""
    bert, train = manifest["config"]["bert"], manifest["run_config"]["train"]
    groups = {group["name"]: group for group in tatoeba["groups"]}
    judged = [row for row in languages if row.scores]
    others = [row for row in languages if not row.scores]
    tico = [row.scores["TICO-19"] for row in languages if "TICO-19" in row.scores]
    first, *later = find_stages(manifest)
    values = {
        "layers": bert["num_hidden_layers"],
        "width": bert["hidden_size"],
        "vocab": f"{bert['vocab_size']:,}",
        "version": manifest["labse_version"],
        "device": manifest["device"],
        "first": describe_stage(first),
        **{f"stage{number}": describe_stage(stage) for number, stage in enumerate(later, start=2)},
        "pairs": f"{data['total']['kept']:,}",
        "scale": f"{train['logit_scale']:g}",
        "margin": f"{train['logit_margin']:g}",
        **{f"tatoeba{name}": percent(groups[name]["p_at_1"]) for name in ("14", "36", "82", "112")},
        "num_tico": len(tico),
        "tico": percent(sum(tico) / len(tico)),
        "signature": groups["112"]["signature"],
        "fair": f"{100 * FAIR:.0f}",
        "weak": f"{100 * WEAK:.0f}",
        "languages": language_rows(judged),
        "others": ", ".join(f"{row.name} ({row.num_pairs:,})" for row in others),
        "drops": drops(data["total"]),
        "sources": source_rows(data["sources"]),
    }
    return Template((HERE / "card.md").read_text("utf-8")).substitute(values)


def find_stages(manifest: Any) -> list[Any]:  # noqa: ANN401
    """Returns the manifests of the trainings that a model went through, first to last."""
    earlier = find_stages(manifest["start"]) if manifest.get("start") else []
    return [*earlier, manifest] if manifest.get("run_config") else earlier


def describe_stage(manifest: Any) -> str:  # noqa: ANN401
    """Returns the length of a training, for people; one that was stopped has fewer steps."""
    train = manifest["run_config"]["train"]
    steps, batch = manifest["step"], train["global_batch_size"]
    drawn_from = sum(file["num_rows"] for file in manifest["inputs"])
    return (
        f"seed {train['seed']}, {steps:,} steps of {batch:,} pairs "
        f"({steps * batch / 1e6:.1f} million drawn, from {drawn_from:,})"
    )


def english_scores(tico: Any) -> dict[str, float]:  # noqa: ANN401
    """Returns the mean of both directions with English of each language, by its canonical tag."""
    langs, scores = tico["langs"], tico["p_at_1"]
    english = langs.index("eng")
    return {
        canonical_tag(lang): (scores[row][english] + scores[english][row]) / 2
        for row, lang in enumerate(langs)
        if row != english
    }


def language_rows(judged: list[ModelLanguage]) -> str:
    """Returns a row a language, by name."""
    return "\n".join(
        f"| {row.name} | {row.num_pairs:,} | "
        + "".join(f"{percent(row.scores[name]) if name in row.scores else ''} | " for name in SETS)
        + f"{row.verdict} |"
        for row in judged
    )


def source_rows(sources: Any) -> str:  # noqa: ANN401
    """Returns a row a source, the largest first."""
    with (HERE / "sources.tsv").open(encoding="utf-8", newline="") as stream:
        known = {row["source"]: row for row in csv.DictReader(stream, delimiter="\t")}
    by_size = sorted(sources, key=lambda name: -sources[name]["kept"])
    return "\n".join(
        f"| {name} | {sources[name]['kept']:,} | {row['licence']} | {row['origin']} |"
        for name in by_size
        for row in [known[name]]
    )


def drops(total: dict[str, int]) -> str:
    """Returns the reasons and counts of what was left out."""
    return ", ".join(f"{count:,} {reason}" for reason, count in total.items() if reason != "kept")


def percent(share: float) -> str:
    """Returns a share as a percentage with one decimal."""
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    main()
