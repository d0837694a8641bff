"""Documents as files: which belong together, where their alignments go, what is done already.

Takes: two files, folders or lists of files, and an encoder. Gives: jobs, and their alignments.
Source: docs/design.md, promises: a killed run goes on and gives the same bytes.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from labse import __version__
from labse.alignment.accuracy import AlignmentCounts, count_right
from labse.alignment.align import SKIP_PERCENTILE, align_documents
from labse.alignment.formats import (
    BeadFormat,
    FormattedBeads,
    format_beads,
    link_lines,
    read_links,
)
from labse.encoder.protocol import Encoder
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import MANIFEST_NAME, read_json, write_atomic, write_json
from labse.files.text import read_lines

__all__ = [
    "AlignOptions",
    "AlignedJob",
    "AlignmentJob",
    "align_job",
    "claim_options",
    "is_done",
    "pair_folders",
    "pair_lists",
]


@dataclass(frozen=True, slots=True)
class AlignmentJob:
    """Two documents, their gold alignment if there is one, and the file to write if there is."""

    source: Path
    target: Path
    gold: Path | None
    out: Path | None


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """What an alignment depends on beside the model and the documents.

    See `align_documents` and `format_beads`.
    """

    bead_format: BeadFormat = "ladder"
    max_size: int = 4
    skip_percentile: float = SKIP_PERCENTILE
    seed: int = 1
    ids: bool = False
    langs: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class AlignedJob:
    """What became of a job: its file, which is written if the job has an `out`, and counts.

    `counts` are zero without gold.
    """

    formatted: FormattedBeads
    num_beads: int
    counts: AlignmentCounts


def align_job(encoder: Encoder, job: AlignmentJob, options: AlignOptions) -> AlignedJob:
    """Aligns two files.

    Raises:
        LabseError: a file cannot be read, or the gold alignment is not one of these documents.
        ResourceError: the alignment cannot be written.
    """
    source_lines, target_lines = list(read_lines(job.source)), list(read_lines(job.target))
    gold = None
    if job.gold:
        num_source, num_target = len(source_lines), len(target_lines)
        gold = read_links(job.gold, num_source=num_source, num_target=num_target)
    beads = align_documents(
        encoder,
        source_lines,
        target_lines,
        max_size=options.max_size,
        skip_percentile=options.skip_percentile,
        seed=options.seed,
    )
    formatted = format_beads(
        beads,
        source_lines,
        target_lines,
        options.bead_format,
        ids=options.ids,
        langs=options.langs,
    )
    if job.out:
        with write_atomic(job.out) as stream:
            stream.write(formatted.payload)
    counts = AlignmentCounts() if gold is None else count_right(map(link_lines, beads), gold)
    return AlignedJob(formatted, len(beads), counts)


def pair_folders(
    source: Path, target: Path, gold: Path | None, out: Path | None, bead_format: BeadFormat
) -> list[AlignmentJob]:
    """Pairs the files of two folders by name, or by name without suffix (`a.de`, `a.en`).

    Raises:
        LabseError: a file without counterpart, or no file at all.
        UsageError: two files of a folder have one name.
    """
    names = {folder: _list_stems(folder) for folder in (source, target, gold) if folder}
    for empty in (folder for folder, files in names.items() if not files):
        raise LabseError(f"{empty}: holds no file; there is nothing to align")
    for files in names.values():
        for other, other_files in names.items():
            if missing := sorted(files.keys() - other_files.keys()):
                raise LabseError(
                    f"{other}: no counterpart of {files[missing[0]]} ({len(missing)} such files); "
                    "documents go together by their names without suffix"
                )
    return [
        AlignmentJob(
            names[source][stem],
            names[target][stem],
            names[gold][stem] if gold else None,
            out / f"{stem}.{bead_format}" if out else None,
        )
        for stem in sorted(names[source])
    ]


def _list_stems(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; give folders or files for all documents")
    stems: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == MANIFEST_NAME or not path.is_file():
            continue
        name = path.stem if path.suffix in (".gz", ".zst", ".bz2") else path.name
        stem = name.rpartition(".")[0] or name
        if stem in stems:
            raise UsageError(f"{stems[stem]} and {path} have one name without suffix; rename one")
        stems[stem] = path
    return stems


def pair_lists(
    source: Path, target: Path, gold: Path | None, out: Path | None, bead_format: BeadFormat
) -> list[AlignmentJob]:
    """Pairs the files that two lists name, line by line; relative names start at the list's folder.

    The alignment of line 7 is `000007-NAME`, NAME that of the source without suffix.

    Raises:
        LabseError: lists of different lengths, an empty line, or a list that cannot be read.
    """
    lists = {path: _read_list(path) for path in (source, target, gold) if path}
    for path, names in lists.items():
        if len(names) != len(lists[source]):
            raise LabseError(
                f"{source} names {len(lists[source])} documents and {path} {len(names)}; "
                "line i of one must be the counterpart of line i of the other"
            )
    return [
        AlignmentJob(
            lists[source][n],
            lists[target][n],
            lists[gold][n] if gold else None,
            out / f"{n + 1:06d}-{lists[source][n].name.split('.')[0]}.{bead_format}"
            if out
            else None,
        )
        for n in range(len(lists[source]))
    ]


def _read_list(path: Path) -> list[Path]:
    names: list[Path] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            raise LabseError(f"{path}, line {number}: blank; each line names a document")
        names.append(path.parent / line)
    if not names:
        raise LabseError(f"{path}: empty; each line names a document")
    return names


def claim_options(out: Path, options: AlignOptions, model_sha256: str | None) -> None:
    """Makes the folder of a batch, or checks that the one there was begun with these options.

    Raises:
        UsageError: other options or another version. ResourceError: it cannot be made.
    """
    manifest: dict[str, object] = {
        "kind": "alignment",
        "labse_version": __version__,
        "model_sha256": model_sha256,
        **asdict(options),
        "langs": list(options.langs),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{out}: cannot be made: {error.strerror}") from None
    path = out / MANIFEST_NAME
    if not path.exists():
        write_json(path, manifest)
        return
    before = read_json(path)
    for name in sorted(manifest.keys() | before.keys()):
        if before.get(name) != manifest.get(name):
            raise UsageError(
                f"{out} was begun with {name} {before.get(name)!r}, now it is "
                f"{manifest.get(name)!r}; give the same options or another --out"
            )


def is_done(job: AlignmentJob) -> bool:
    """Tells whether the alignment stands there and is newer than both documents."""
    if job.out is None or not job.out.exists():
        return False
    written = job.out.stat().st_mtime_ns
    return all(
        path.exists() and path.stat().st_mtime_ns <= written for path in (job.source, job.target)
    )
