"""Cleaning whole files: what `labse corpus clean` and `decide` do, as one call each.

Takes: files of text or pairs and bounds.
Gives: a folder with shards of the kept rows, scores to decide anew from, and counts by reason.
Source: docs/cleaning.md.

    OUT/shards/NAME/part-00000.parquet   the rows of the file NAME as they came
    OUT/scores/NAME/...                  normalised, with a column for each score
    OUT/kept/NAME/...                    the rows that the bounds keep
    OUT/rejects/NAME/...                 the others with a reason, if asked for
    OUT/manifest.json                    what was done to what, and the counts
    OUT/progress.jsonl                   what is done, for the same command to go on

In an object store a part has a longer name, which OUT/manifest.json tells under `parts`; what is
done stands in another folder, on a disk.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from labse import __version__
from labse.cleaning.bounds import KEPT, PairBounds, TextBounds
from labse.cleaning.steps import cut_step, decide_step, score_step
from labse.cluster.run import OnProgress, count_rows, find_parts, name_run, run_tasks
from labse.cluster.tasks import Executor, Task
from labse.corpus.inputs import hash_files
from labse.corpus.languages import canonical_tag, canonical_tags
from labse.corpus.pair_files import holds_pairs
from labse.corpus.shards import ROWS_PER_SHARD, CorpusKind, expand_folders, pair_files
from labse.corpus.tables import ColumnNames
from labse.errors import LabseError, UsageError
from labse.files.atomic import (
    MANIFEST_NAME,
    check_writable,
    listed_file,
    read_json,
    sha256_file,
    write_json,
)
from labse.files.object_store import find_url
from labse.files.objects import check_object_free, keep_pins, list_parts, remove_strays
from labse.files.stage import Result, Stage, open_stage
from labse.files.text import format_suffix
from labse.runtime import require, resumable

__all__ = ["CleaningReport", "clean", "decide", "read_kind"]

_Counts = dict[str, dict[str, dict[str, int]]]


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What became of the rows.

    Attributes:
        kind: what the rows are.
        bounds: the bounds that decided.
        counts: rows by source (name of the file), language and reason; `kept` among the reasons.
    """

    kind: CorpusKind
    bounds: Mapping[str, object]
    counts: _Counts

    def total(self) -> Counter[str]:
        """Returns rows by reason."""
        return sum(
            (Counter(r) for langs in self.counts.values() for r in langs.values()), Counter()
        )


def clean(
    files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    bounds: TextBounds | None = None,
    lang: str | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
    identify: bool = True,
    quality: str | Path | None = None,
    rejects: bool = False,
    work: str | Path | None = None,
    workers: int | Executor = 1,
    rows_per_shard: int = ROWS_PER_SHARD,
    on_progress: OnProgress = lambda *_: None,
) -> CleaningReport:
    """Cuts, scores and decides; a run that was killed goes on, to the same bytes.

    Args:
        files: text, tables, or folders of shards; of pairs also TMX, or two aligned text files.
        out: the folder to make, or to go on in; or a place in an object store.
        bounds: `labse.PairBounds` if the files hold pairs, else `labse.TextBounds`; None takes
            their defaults.
        lang: the language of text files and of tables without the column `lang`.
        langs: of source and target of pairs, where no column tells.
        columns: where tables of others have their columns.
        skip_unknown: whether rows of a language that is not known are left out, not an error.
        identify: whether to identify languages.
        quality: the folder of a quality model; None leaves its score out.
        rejects: whether to write the dropped rows too.
        work: a folder on a disk that knows what is done, where `out` is in an object store.
        workers: processes, or what runs the tasks elsewhere.
        rows_per_shard: rows of a shard at most.
        on_progress: called with the rows done and their number, of each step anew.

    Raises:
        LabseError: broken data.
        UsageError: an option that does not fit the files or what stands in `out`.
        ResourceError: `out` cannot be written, or a package is missing.
    """
    out, lang = Path(out), None if lang is None else canonical_tag(lang)
    url = find_url(out)
    folder = _choose_folder(out, url, work)
    check_writable(out / MANIFEST_NAME)
    packages = ["pyarrow.parquet", *(["pycld2"] if identify else [])]
    for package in [*packages, *([] if quality is None else ["scipy.sparse"])]:
        require(package, "corpus")
    if bounds is None:
        hold_pairs = langs != (None, None) or holds_pairs(expand_folders(files)[0], columns=columns)
        bounds = PairBounds() if hold_pairs else TextBounds()
    # All that the scores depend on is the key of the folder.
    kind: CorpusKind = "pairs" if isinstance(bounds, PairBounds) else "mono"
    langs = canonical_tags(langs)
    paths = expand_folders(files)
    targets = pair_files(paths, kind, lang, langs, columns)
    hashes = hash_files(paths)
    names = _name_sources([*targets])
    settings: dict[str, object] = {
        "kind": kind,
        "lang": lang,
        "identify": identify,
        "quality": None if quality is None else sha256_file(Path(quality) / MANIFEST_NAME),
        "inputs": hashes,
        "rows_per_shard": rows_per_shard,
    }
    settings |= {} if langs == (None, None) else {"langs": list(langs)}
    settings |= {"columns": dict(columns)} if columns else {}
    settings |= {"skip_unknown": True} if skip_unknown else {}
    settings |= {"out": url} if url else {}
    _check_scored(bounds, settings)
    with resumable(folder), open_stage(folder, settings, section=None) as stage:
        if url and not stage.results:
            check_object_free(url)

        # Cut the files into shards.
        tasks = _cut_tasks(out, names, targets, settings)
        cut = run_tasks(tasks, stage, workers=workers, on_result=count_rows(on_progress))

        # Score each shard, and list the scores with their hashes.
        tasks = _score_tasks(out, names, settings, cut, quality)
        num_rows = sum(cast("int", result["num_rows"]) for result in cut)
        count = count_rows(on_progress, num_rows)
        scored = run_tasks(tasks, stage, workers=workers, on_result=count)
        shards = (task.name.removeprefix("score/") for task in tasks)
        sums = {shard: r["sha256"] for shard, r in zip(shards, scored, strict=True)}
        (folder / "scores").mkdir(exist_ok=True)
        write_json(folder / "scores" / MANIFEST_NAME, {"kind": kind, "shards": sums})

        # Decide what is kept.
        head = {"labse_version": __version__, **settings}
        return _decide(stage, head, bounds, rejects, workers, on_progress)


def decide(
    out: str | Path,
    *,
    bounds: TextBounds,
    rejects: bool = False,
    workers: int | Executor = 1,
    on_progress: OnProgress = lambda *_: None,
) -> CleaningReport:
    """Decides, from the scores that stand in a folder of `clean`, what is kept.

    Where they are in an object store, `out` is the folder that was given as `work`.

    Raises:
        LabseError: `out` has no scores.
        UsageError: bounds of pairs for text, or the other way round.
        ResourceError: `out` cannot be written.
    """
    read_kind(out := Path(out))
    with resumable(out), open_stage(out, None, section=None) as stage:
        head = read_json(out / MANIFEST_NAME) if (out / MANIFEST_NAME).is_file() else {}
        _check_scored(bounds, head)
        return _decide(stage, head, bounds, rejects, workers, on_progress)


def _check_scored(bounds: TextBounds, settings: Mapping[str, object]) -> None:
    """Refuses a bound that was asked for and has no score: it would drop nothing.

    Raises:
        UsageError: there is one.
    """
    asked = bounds.model_fields_set
    if "min_quality_prob" in asked and bounds.min_quality_prob and not settings.get("quality", 1):
        raise UsageError("min_quality_prob: needs the score of a quality model; give --quality")
    is_asked = "min_language_match" in asked and bounds.min_language_match
    if is_asked and not settings.get("identify", True):
        raise UsageError("min_language_match: needs languages; leave out --no-language-id")


def _decide(
    stage: Stage,
    head: Mapping[str, object],
    bounds: TextBounds,
    rejects: bool,
    workers: int | Executor,
    on_progress: OnProgress,
) -> CleaningReport:
    """Writes what the bounds keep, and the manifest, which begins with `head`."""
    out = stage.folder
    url = find_url(str(head.get("out", "")))
    kind = read_kind(out)
    if (kind == "pairs") != isinstance(bounds, PairBounds):
        raise UsageError(f"{out} has scores of {kind}; give bounds for {kind}")
    if not rejects:  # They told of other bounds.
        shutil.rmtree(out / "rejects", ignore_errors=True)

    keep_pins(find_parts(stage))
    limits = bounds.model_dump(mode="json")
    sums = _read_sums(out / "scores")
    tasks = []
    for shard, digest in sums.items():
        name, _, part = shard.partition("/")
        kept = _made(url or out, "kept", name, part)
        dropped = _made(url or out, "rejects", name, part) if rejects else None
        arguments = {"kind": kind, "bounds": limits}
        where = {"scored": f"{url or out}/scores/{shard}", "sha256": digest}
        places = {**where, "kept": kept, "rejects": dropped}
        outputs = (kept, dropped) if dropped else (kept,)
        tasks.append(Task(f"decide/{shard}", decide_step, arguments, digest, outputs, places))
    results = run_tasks(tasks, stage, workers=workers, on_result=count_rows(on_progress))

    report = CleaningReport(kind, limits, _merge(sums, results))
    manifest = {**head, "bounds": limits, "counts": report.counts}
    if url:
        parts = find_parts(stage)
        manifest["parts"] = list_parts(url, parts)
        write_json(f"{url}/{MANIFEST_NAME}", manifest)
        remove_strays(url, name_run(stage), (pin["url"] for pin in parts.values()))
    stage.finish(manifest, keep_journal=True)
    return report


def _choose_folder(out: Path, url: str | None, work: str | Path | None) -> Path:
    """Returns the folder that knows what is done."""
    if url is None and work is not None:
        raise UsageError("--work is for an --out in an object store; a folder knows what is done")
    if url is not None and work is None:
        raise UsageError(
            f"--out {url}: give --work too, a folder on a disk that knows what is done, for the "
            "same command to go on"
        )
    return out if work is None else Path(work)


def _read_sums(scores: Path) -> dict[str, str]:
    """Returns the SHA-256 of each scored shard by its name, SOURCE/part-00000.parquet."""
    sums = read_json(scores / MANIFEST_NAME).get("shards")
    if not isinstance(sums, dict):
        raise LabseError(f"{scores / MANIFEST_NAME}: damaged; run labse corpus clean again")
    for shard in sums:
        listed_file(scores, shard)  # The rows that are kept go to a file of that name too.
        if len(Path(shard).parts) != 2 or not isinstance(sums[shard], str):
            raise LabseError(f"{scores / MANIFEST_NAME}: {shard!r} is not SOURCE/PART")
    return sums


def read_kind(out: str | Path) -> CorpusKind:
    """Returns what the rows are of which a folder has the scores.

    Raises:
        LabseError: it has no scores.
    """
    path = Path(out) / "scores" / MANIFEST_NAME
    if not path.is_file():
        raise LabseError(f"{out}: no whole scores in it; run labse corpus clean first")
    kind = read_json(path).get("kind")
    if kind not in get_args(CorpusKind):
        raise LabseError(f"{path}: damaged; run labse corpus clean again")
    return cast("CorpusKind", kind)


def _name_sources(paths: Sequence[str]) -> dict[str, str]:
    """Names each file by its stem, with that of its folder in front where two are alike."""
    stems = {path: Path(path).name.removesuffix("".join(_suffixes(path))) for path in paths}
    seen = Counter(stems.values())
    names: dict[str, str] = {}
    for path, stem in stems.items():
        name = stem if seen[stem] == 1 else f"{Path(path).absolute().parent.name}_{stem}"
        if name in names:
            raise UsageError(f"{names[name]} and {path} would both be {name}; rename one")
        names[name] = path
    return dict(sorted(names.items()))


def _suffixes(path: str) -> list[str]:
    compression = [s for s in (Path(path).suffix,) if s in (".gz", ".zst", ".bz2")]
    return [format_suffix(path), *compression]


def _cut_tasks(
    out: Path,
    names: Mapping[str, str],
    targets: Mapping[str, str | None],
    settings: Mapping[str, object],
) -> list[Task]:
    hashes = cast("dict[str, str]", settings["inputs"])
    shared = {key: settings[key] for key in ("kind", "lang", "rows_per_shard")}
    shared["langs"] = settings.get("langs", [None, None])
    shared |= {key: settings[key] for key in ("columns", "skip_unknown") if key in settings}
    tasks = []
    for name, path in names.items():
        target = targets[path]
        origin = " ".join(hashes[file] for file in (path, target) if file is not None)
        places = {"path": path, "target": target, "folder": f"{find_url(out) or out}/shards/{name}"}
        arguments = {"origin": origin, **shared}
        tasks.append(Task(f"cut/{name}", cut_step, arguments, places=places))
    return tasks


def _score_tasks(
    out: Path,
    names: Mapping[str, str],
    settings: Mapping[str, object],
    cut: Sequence[Result],
    quality: str | Path | None,
) -> list[Task]:
    """Returns a task for each shard that was cut, named `score/NAME/part-00000.parquet`."""
    hashes = cast("dict[str, str]", settings["inputs"])
    arguments = {"kind": settings["kind"], "identify": settings["identify"]}
    model = None if quality is None else str(quality)
    tasks = []
    for (name, path), result in zip(names.items(), cut, strict=True):
        told = [hashes[path], *(settings[key] for key in ("lang", "quality", "rows_per_shard"))]
        told += [*hashes.values(), settings["langs"]] if "langs" in settings else []
        told += [settings[key] for key in ("columns", "skip_unknown") if key in settings]
        for number in range(cast("int", result["num_shards"])):
            part = f"part-{number:05}.parquet"
            scores = _made(out, "scores", name, part)
            shard = f"{find_url(out) or out}/shards/{name}/{part}"
            places = {"shard": shard, "out": scores, "quality": model}
            task = f"score/{name}/{part}"
            tasks.append(Task(task, score_step, arguments, str(told), (scores,), places))
    return tasks


def _made(out: str | Path, step: str, name: str, part: str) -> str:
    if url := find_url(out):
        return f"{url}/{step}/{name}/{part}"
    folder = Path(out, step, name)
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / part)


def _merge(shards: Mapping[str, str], results: Sequence[Result]) -> _Counts:
    counts: _Counts = {}
    for shard, result in zip(shards, results, strict=True):
        source = counts.setdefault(shard.partition("/")[0], {})
        for lang, reasons in cast("dict[str, dict[str, int]]", result["counts"]).items():
            merged = Counter(source.get(lang, {})) + Counter(reasons)
            order = sorted(merged, key=lambda reason: (reason != KEPT, reason))
            source[lang] = {reason: merged[reason] for reason in order}
    return {name: dict(sorted(langs.items())) for name, langs in counts.items()}
