"""Readers of the archives that `fetch.py` takes messages from.

Each yields (locale, key, text), the English messages among them: texts of one key translate each
other. Nothing is unpacked to disk.
"""

import io
import itertools
import json
import lzma
import re
import struct
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

Message = tuple[str, object, str]

_SHORT_FORMS = {"short", "narrow", "abbreviated", "numbers", "_cldrVersion"}
_LAST_LANGUAGE_BYTE_PACKED = 0x80
_CONTAINERS = {"string", "array", "plurals"}
_STRING_VALUE = 0x03
_CHUNK_PACKAGE, _CHUNK_TYPE = 0x0200, 0x0201


# ---- Archives ----


def read_tar(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of the files of a tar archive, whatever its compression."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            stream = files.extractfile(member) if member.isfile() else None
            if stream is not None:
                yield member.name, stream.read()


def read_deb(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a Debian package: an ar archive with data.tar.xz in it (deb(5))."""
    start = len(b"!<arch>\n")
    while start < len(archive):
        name, size = archive[start : start + 16], int(archive[start + 48 : start + 58])
        content = archive[start + 60 : start + 60 + size]
        if name.startswith(b"data.tar.xz"):
            yield from read_tar(lzma.decompress(content))
        start += 60 + size + size % 2


def read_zip(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of the files of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        for name in files.namelist():
            yield name, files.read(name)


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields the strings in nested objects of JSON, each with its keys."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, str):
        yield path, value


# ---- Sources ----


def read_cldr(archives: Iterable[bytes]) -> Iterator[Message]:
    """Names of characters, languages, places, currencies, units: the JSON packages of CLDR.

    A character brings its name, and its keywords as one text. Short forms and formats of dates are
    left out: they are no words.
    """
    for archive in archives:
        for name, content in read_tar(archive):
            path = PurePosixPath(name)
            if path.suffix != ".json" or len(path.parts) != 4:
                continue
            locale = path.parts[2]
            tree = json.loads(content)
            if path.name == "annotations.json":
                for character, texts in tree["annotations"].get("annotations", {}).items():
                    yield from (
                        (locale, ("name", character), text) for text in texts.get("tts", ())
                    )
                    yield locale, ("keywords", character), ", ".join(texts.get("default", ()))
            else:
                for keys, text in leaves(tree["main"][locale]):
                    if keys[0] != "identity" and _is_wording(path.stem, keys):
                        yield locale, (path.stem, keys), re.sub(r"\{\d\}", "", text).strip(" ,:-()")


def _is_wording(file: str, keys: tuple[str, ...]) -> bool:
    return not (
        file == "numbers"
        or _SHORT_FORMS.intersection(keys)
        or any("symbol" in key or key.endswith(("Formats", "Skeletons")) for key in keys)
    )


def read_json_tree(archives: Iterable[bytes], pattern: str) -> Iterator[Message]:
    """Files of JSON, one a locale: a package of npm or PyPI.

    Args:
        archives: tar or zip.
        pattern: of the names of files; its group `locale` is the locale, all other groups tell
            which files hold the same keys.
    """
    for archive in archives:
        read = read_zip if zipfile.is_zipfile(io.BytesIO(archive)) else read_tar
        for name, content in read(archive):
            if match := re.fullmatch(pattern, name):
                file = tuple(v for k, v in match.groupdict().items() if k != "locale")
                for keys, text in leaves(json.loads(content)):
                    yield match["locale"], (file, keys), text


def read_chromium(archives: Iterable[bytes]) -> Iterator[Message]:
    """Messages of a browser: locales/*.pak in packages of Debian."""
    for archive in archives:
        for name, content in read_deb(archive):
            path = PurePosixPath(name)
            if path.suffix == ".pak" and path.parent.name == "locales" and "_" not in path.stem:
                yield from ((path.stem, key, text) for key, text in read_pak(content))


def read_pak(content: bytes) -> Iterator[tuple[int, str]]:
    """Yields the texts of a data pack, version 5 (chromium, ui/base/resource/data_pack.cc).

    Little-endian: uint32 version, uint8 encoding (1 UTF-8, 2 UTF-16), 3 bytes, uint16 number of
    resources and of aliases; then for each resource and the end uint16 id and uint32 offset.
    """
    version, encoding, num_resources = struct.unpack_from("<IB3xH", content)
    if version != 5:
        raise ValueError(f"data pack of version {version}, not 5")
    entries = list(struct.iter_unpack("<HI", content[12 : 12 + 6 * (num_resources + 1)]))
    for (key, start), (_, end) in itertools.pairwise(entries):
        try:
            yield key, content[start:end].decode("utf-8" if encoding == 1 else "utf-16-le")
        except UnicodeDecodeError:
            continue  # An image or the like.


def read_android(archives: Iterable[bytes]) -> Iterator[Message]:
    """Messages of a telephone's system: framework-res.apk in a package of Debian."""
    for archive in archives:
        for name, content in read_deb(archive):
            if name.endswith(".apk"):
                with zipfile.ZipFile(io.BytesIO(content)) as package:
                    yield from read_resource_table(package.read("resources.arsc"))


def read_resource_table(table: bytes) -> Iterator[Message]:
    """Yields the texts of a compiled resource table (AOSP, androidfw/ResourceTypes.h).

    Chunks begin with uint16 type, uint16 size of the header and uint32 size. The table is a pool of
    strings and packages; a package is a pool of names of types and, for each type and locale, a
    chunk of entries. Regions are kept in the locale: `pt-BR`.
    """
    position = struct.unpack_from("<H", table, 2)[0]
    strings = _read_string_pool(table, position)
    position += struct.unpack_from("<I", table, position + 4)[0]
    while position < len(table):
        kind, header, size = struct.unpack_from("<HHI", table, position)
        if kind == _CHUNK_PACKAGE:
            types_start = struct.unpack_from("<I", table, position + 268)[0]
            types = _read_string_pool(table, position + types_start)
            inner = position + header
            while inner < position + size:
                inner_kind, _, inner_size = struct.unpack_from("<HHI", table, inner)
                if inner_kind == _CHUNK_TYPE:
                    yield from _read_type(table, inner, types, strings)
                inner += inner_size
        position += size


def _read_type(table: bytes, start: int, types: list[str], strings: list[str]) -> Iterator[Message]:
    header, type_number, flags, num_entries, entries = struct.unpack_from(
        "<2xH4xBB2xII", table, start
    )
    type_name = types[type_number - 1]
    if type_name not in _CONTAINERS:
        return
    locale = _read_locale(table[start + 20 : start + header])
    offsets = start + header
    if flags & 1:  # Sparse: number and offset of the entries that are there.
        sparse = struct.iter_unpack("<HH", table[offsets : offsets + 4 * num_entries])
        places = [(entry, 4 * offset) for entry, offset in sparse]
    else:
        dense = struct.unpack_from(f"<{num_entries}I", table, offsets)
        places = [(entry, offset) for entry, offset in enumerate(dense) if offset != 0xFFFFFFFF]
    for entry, offset in places:
        place = start + entries + offset
        size, is_map = struct.unpack_from("<HH", table, place)
        values = [(0, place + size)]
        if is_map & 1:
            count = struct.unpack_from("<I", table, place + 12)[0]
            members = [place + 16 + 12 * i for i in range(count)]
            values = [(struct.unpack_from("<I", table, m)[0], m + 4) for m in members]
        for member, value in values:
            kind, data = struct.unpack_from("<3xBI", table, value)
            if kind == _STRING_VALUE:
                yield locale, (type_name, entry, member), strings[data]


def _read_locale(config: bytes) -> str:
    """Returns the locale of a ResTable_config; `en` where none is set, as in Android's own."""
    size = struct.unpack_from("<I", config)[0]
    script = config[36:40].rstrip(b"\0").decode() if size >= 40 else ""
    parts = [_read_code(config[8:10], "a"), script, _read_code(config[10:12], "0")]
    return "-".join(part for part in parts if part) or "en"


def _read_code(packed: bytes, base: str) -> str:
    """Returns two letters as they are, three from five bits each, or nothing."""
    first, second = packed
    if not first & _LAST_LANGUAGE_BYTE_PACKED:
        return packed.rstrip(b"\0").decode()
    bits = (second & 0x1F, second >> 5 | (first & 0x03) << 3, (first & 0x7C) >> 2)
    return "".join(chr(ord(base) + value) for value in bits)


def _read_string_pool(table: bytes, start: int) -> list[str]:
    header, num_strings, flags, strings = struct.unpack_from("<2xH4xI4xII", table, start)
    is_utf8 = flags & 0x100
    texts = []
    for offset in struct.unpack_from(f"<{num_strings}I", table, start + header):
        place = start + strings + offset
        if is_utf8:
            _, place = _read_length(table, place, "<B", 8)  # Characters, then bytes.
            length, place = _read_length(table, place, "<B", 8)
            texts.append(table[place : place + length].decode(errors="replace"))
        else:
            length, place = _read_length(table, place, "<H", 16)
            texts.append(table[place : place + 2 * length].decode("utf-16-le", "replace"))
    return texts


def _read_length(table: bytes, place: int, unit: str, bits: int) -> tuple[int, int]:
    """Returns a length of one unit, or of two where its highest bit is set, and what follows."""
    width = struct.calcsize(unit)
    length = struct.unpack_from(unit, table, place)[0]
    if not length >> (bits - 1):
        return length, place + width
    low = struct.unpack_from(unit, table, place + width)[0]
    return (length & (1 << (bits - 1)) - 1) << bits | low, place + 2 * width


def group_by_locale(messages: Iterable[Message]) -> dict[str, dict[object, str]]:
    """Returns the messages of each locale by key; the last one of a key counts."""
    grouped: dict[str, dict[object, str]] = defaultdict(dict)
    for locale, key, text in messages:
        grouped[locale.replace("_", "-")][key] = text
    return grouped
