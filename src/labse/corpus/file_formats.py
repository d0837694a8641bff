"""The one table of formats: what the suffix of a file says, for every command.

Takes: paths. Gives: whether a file is lines of text, a table, or nothing that is read; and the
format in which a command writes it.
Source: docs/corpus.md, "Raw material".
"""

from pathlib import Path
from typing import Literal

from labse.corpus.languages import canonical_tag, find_language, is_language
from labse.errors import UsageError
from labse.files.text import format_suffix

__all__ = [
    "Layout",
    "RowKind",
    "check_readable",
    "choose_layout",
    "default_column",
    "file_lang",
    "is_pairs",
    "is_table",
    "is_text",
    "is_units",
]

Layout = Literal["txt", "tsv", "jsonl", "parquet", "tmx", "ladder"]
RowKind = Literal["rows", "records", "pairs", "found", "beads", "scores", "negatives", "release"]
"""What is written: any rows; text with its origin; pairs; pairs that a search found; beads of
documents; scores of pairs; pairs with hard negatives; pairs with their addresses."""

_TEXT = ("", ".txt")
# Tables by the column that a command takes if none is named.
_TABLES = {
    ".tsv": "text",
    ".jsonl": "text",
    ".parquet": "text",
    ".srt": "text",
    ".vtt": "text",
    ".xlf": "source",
    ".xliff": "source",
    ".po": "source",
    ".pot": "source",
}
# `labse corpus` reads them, and they are no lines of text.
_RAW = {
    ".tmx": "labse corpus convert makes a table of it",
    ".xml": "labse corpus split reads dumps of Wikipedia",
    ".wet": "labse corpus split reads it",
    ".warc": "labse corpus split reads it",
}
# A line of these is no sentence; read as text they would give vectors of markup. Many are codes of
# languages too (`.doc` is Northern Dong), which these suffixes do not mean.
_NO_TEXT = frozenset(
    """
    .csv .json .ndjson .yaml .yml .toml .ini .xls .xlsx .ods .sqlite .db .arrow .feather .h5
    .pkl .html .htm .xhtml .mhtml .doc .docx .odt .rtf .pdf .ps .epub .mobi .azw3 .fb2 .ppt
    .pptx .odp .tex .bib .md .rst .adoc .djvu .ass .ssa .sub .idx .sbv .smi .ttml .dfxp .stl
    .lrc .sup .sdlxliff .mqxliff .mxliff .sdltm .sdlppx .txlf .ttx .xlz .tbx .ts .qm .mo .gmo
    .properties .resx .resw .strings .stringsdict .xcstrings .arb .ftl .lang .dtd .rc .sgml
    .sgm .xhb .npy .npz .pt .bin .safetensors .onnx .model .zip .tar .tgz .tbz .tbz2 .txz .xz
    .lz4 .lzma .br .7z .rar .z .png .jpg .jpeg .gif .svg .mp3 .mp4 .mkv .wav .ogg .webm .avi
    .py .js .css .sh .exe .log
    """.split()  # noqa: SIM905
)

# Sides of a corpus as machine translation names its files; some are codes of languages too.
_SIDES = (".src", ".tgt", ".trg", ".ref", ".hyp")

# What can be written, by the suffixes that name it.
_WRITTEN: dict[RowKind, tuple[Layout, ...]] = {
    "rows": ("txt", "tsv", "jsonl", "parquet", "tmx"),
    "records": ("jsonl", "tsv", "parquet", "txt"),
    "pairs": ("tsv", "jsonl", "parquet", "tmx"),
    "found": ("tsv", "jsonl", "parquet", "tmx"),
    "beads": ("tsv", "jsonl", "parquet", "tmx", "ladder"),
    "scores": ("txt", "tsv", "jsonl", "parquet"),
    "negatives": ("parquet", "jsonl", "tsv"),
    "release": ("tmx", "tsv", "jsonl", "parquet"),
}
# Standard output, where it has a format without being asked for one.
_STREAMED: dict[RowKind, Layout] = {
    "records": "jsonl",
    "pairs": "tsv",
    "found": "tsv",
    "beads": "tsv",
    "scores": "txt",
}
# A name without suffix, and `.txt`.
_PLAIN: dict[RowKind, Layout] = {
    "rows": "txt",
    "records": "txt",
    "found": "tsv",
    "beads": "tsv",
    "scores": "txt",
}


def is_text(path: str | Path) -> bool:
    """Tells whether a file is read as text: no suffix, `.txt`, a language code, or `-`."""
    suffix = format_suffix(path)
    if suffix in _TEXT:
        return True
    return not _is_taken(suffix) and is_language(suffix[1:])


def is_table(path: str | Path) -> bool:
    """Tells whether a file has rows and columns: `labse.corpus.tables` opens it."""
    return format_suffix(path) in _TABLES


def is_units(path: str | Path) -> bool:
    """Tells whether a file has units of translation with the columns `source` and `target`."""
    return _TABLES.get(format_suffix(path)) == "source"


def is_pairs(path: str | Path) -> bool:
    """Tells whether a file may hold pairs in rows: a table, or TMX."""
    return is_table(path) or format_suffix(path) == ".tmx"


def default_column(path: str | Path) -> str:
    """Returns the column of a table whose texts a command takes if none is named."""
    return _TABLES[format_suffix(path)]


def file_lang(path: str | Path) -> str | None:
    """Returns the canonical tag of the language that the name of a text file ends in, if any.

    `.src` and `.tgt` are the sides of a corpus, not Logudorese and Central Tagbanwa.
    """
    suffix = format_suffix(path)
    if suffix in (*_TEXT, *_SIDES) or not is_text(path):
        return None
    return canonical_tag(suffix[1:])


def check_readable(path: str | Path, *, pairs: bool = False) -> None:
    """Checks that a file may hold texts: lines, or a table; sides of pairs are in TMX too.

    A suffix that is not known is text.

    Raises:
        UsageError: its suffix is that of a format that is not read.
    """
    suffix = format_suffix(path)
    if not _is_taken(suffix) or suffix in _TABLES or (pairs and is_pairs(path)):
        return
    hint = _RAW.get(suffix, "")
    if not hint and len(code := suffix[1:]) == 2 and is_language(code):  # `.ts` is Tsonga.
        name = find_language(code).name
        hint = f"lines of text in the language {name} are read from a file named .txt"
    raise UsageError(
        f"{path}: {suffix} files are not read; give lines of text, subtitles (.srt, .vtt), "
        "units of .xlf, .xliff or .po, or .tsv, .jsonl or .parquet with a column of texts"
        + (f"; {hint}" if hint else "")
    )


def choose_layout(path: str | Path, kind: RowKind, layout: Layout | None = None) -> Layout:
    """Returns the format in which rows are written: the one asked for, or that of the suffix.

    Args:
        path: the file; `-` is standard output.
        kind: what the rows are.
        layout: the format that is asked for; None: that of the suffix.

    Raises:
        UsageError: these rows are not written in it, or the suffix is not known.
    """
    known = _WRITTEN[kind]
    is_stream = str(path) == "-"
    suffix = "" if is_stream else format_suffix(path)
    if layout is None:
        by_suffix: dict[str, Layout] = {f".{name}": name for name in known}
        plain = _STREAMED.get(kind) if is_stream else _PLAIN.get(kind)
        layout = plain if suffix in _TEXT else by_suffix.get(suffix)
    if layout not in known:
        packed = [f".{name}" for name in known if name != "parquet"]
        raise UsageError(
            f"{path}: cannot tell the format from {suffix or 'a name without suffix'!r}; known: "
            f"{', '.join(packed)}, each also .bz2, .gz or .zst, and .parquet"
        )
    if layout == "parquet" and (is_stream or Path(path).suffix.lower() != ".parquet"):
        raise UsageError(
            f"{path}: Parquet is compressed inside, and goes to a file whose name ends in .parquet"
        )
    return layout


def _is_taken(suffix: str) -> bool:
    """Tells whether a suffix means a format, so that it means no language.

    Parts of a dump are named `.xml-p1p41242`.
    """
    return suffix in _TABLES or suffix in _NO_TEXT or suffix in _RAW or suffix.startswith(".xml-")
