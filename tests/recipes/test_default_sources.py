"""The sources of the default model's recipe, read from archives made here."""

import hashlib
import io
import json
import lzma
import struct
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "default"))

import fetch
import formats

from labse.errors import LabseError

# ---- Builders ----


def build_tar(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def build_json_tar(files: Mapping[str, object]) -> bytes:
    return build_tar({name: json.dumps(tree).encode() for name, tree in files.items()})


def build_deb(files: Mapping[str, bytes]) -> bytes:
    """An ar archive; a member of odd length is padded."""
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": b""}
    members["data.tar.xz"] = lzma.compress(build_tar(files, "w"))
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        parts += [header.encode(), content, b"\n" * (len(content) % 2)]
    return b"".join(parts)


def build_pak(texts: Mapping[int, str], encoding: str = "utf-8") -> bytes:
    contents = [text.encode(encoding) for text in texts.values()]
    start = 12 + 6 * (len(texts) + 1)
    header = struct.pack("<IB3xHH", 5, 1 if encoding == "utf-8" else 2, len(texts), 0)
    entries = b""
    for key, content in zip([*texts, 0], [*contents, b""], strict=True):
        entries += struct.pack("<HI", key, start)
        start += len(content)
    return header + entries + b"".join(contents)


def build_string_pool(texts: list[str], *, is_utf8: bool) -> bytes:
    offsets, strings = [], b""
    for text in texts:
        offsets.append(len(strings))
        if is_utf8:
            content = text.encode()
            for length in (len(text), len(content)):
                long = bytes([0x80 | length >> 8, length & 0xFF])
                strings += long if length > 0x7F else bytes([length])
            strings += content + b"\0"
        else:
            strings += struct.pack("<H", len(text)) + text.encode("utf-16-le") + b"\0\0"
    strings += b"\0" * (-len(strings) % 4)
    index = struct.pack(f"<{len(offsets)}I", *offsets)
    size = 28 + len(index) + len(strings)
    flags = 0x100 if is_utf8 else 0
    head = struct.pack("<HHIIIIII", 1, 28, size, len(texts), 0, flags, 28 + len(index), 0)
    return head + index + strings


def build_type(
    type_number: int,
    language: bytes,
    region: bytes,
    script: bytes,
    values: list[int | list[int] | None],
) -> bytes:
    """A chunk of entries of one locale: a number of a string, numbers of a plural, or no entry."""
    config = struct.pack("<I4x2s2s", 48, language, region).ljust(36, b"\0") + script
    config = config.ljust(48, b"\0")
    entries, offsets = b"", []
    for value in values:
        offsets.append(0xFFFFFFFF if value is None else len(entries))
        if isinstance(value, int):
            entries += struct.pack("<HHI", 8, 0, 0) + struct.pack("<HBBI", 8, 0, 3, value)
        elif value is not None:
            entries += struct.pack("<HHIII", 16, 1, 0, 0, len(value))
            for i, string in enumerate(value):
                entries += struct.pack("<IHBBI", 0x01000004 + i, 8, 0, 3, string)
    index = struct.pack(f"<{len(offsets)}I", *offsets)
    header = 20 + len(config)
    start = header + len(index)
    size = start + len(entries)
    head = struct.pack("<HHIBBHII", 0x0201, header, size, type_number, 0, 0, len(values), start)
    return head + config + index + entries


def build_resource_table(strings: list[str], types: list[bytes], *, is_utf8: bool) -> bytes:
    pool = build_string_pool(strings, is_utf8=is_utf8)
    names = build_string_pool(["id", "string", "plurals"], is_utf8=False)
    body = names + b"".join(types)
    header = 288
    head = struct.pack("<HHII", 0x0200, header, header + len(body), 1) + b"\0" * 256
    package = (head + struct.pack("<IIII", header, 3, 0, 0)).ljust(header, b"\0") + body
    return struct.pack("<HHII", 2, 12, 12 + len(pool) + len(package), 1) + pool + package


# ---- Formats ----


def test_cldr_gives_names_and_keywords_and_leaves_out_short_forms_and_formats() -> None:
    def annotations(names: Mapping[str, tuple[str, list[str]]]) -> object:
        texts = {c: {"tts": [name], "default": words} for c, (name, words) in names.items()}
        return {"annotations": {"annotations": texts}}

    def units(locale: str, name: str) -> object:
        forms = {"long": {"km": f"{{0}} {name}"}, "short": {"km": "{0} km"}}
        dates = {"timeFormats": {"full": "HH:mm"}}
        return {"main": {locale: {"identity": {"language": locale}, "units": forms | dates}}}

    archive = build_json_tar(
        {
            "package/annotations/en/annotations.json": annotations(
                {"🦠": ("microbe", ["amoeba", "virus"])}
            ),
            "package/annotations/so/annotations.json": annotations({"🦠": ("jeermi", ["fayras"])}),
            "package/main/en/units.json": units("en", "kilometers"),
            "package/main/so/units.json": units("so", "kiiloomitir"),
            "package/main/so/numbers.json": {"main": {"so": {"numbers": {"x": "rubbish"}}}},
            "package/package.json": {"name": "cldr"},
        }
    )
    pairs = fetch.pair_messages(formats.read_cldr([archive]))
    assert pairs == {
        ("som", "microbe", "jeermi"),
        ("som", "amoeba, virus", "fayras"),
        ("som", "kilometers", "kiiloomitir"),
    }


@given(st.dictionaries(st.integers(0, 0xFFFF), st.text(max_size=40), max_size=20))
def test_data_packs_give_back_what_was_put_in(texts: dict[int, str]) -> None:
    assert dict(formats.read_pak(build_pak(texts))) == texts
    assert dict(formats.read_pak(build_pak(texts, "utf-16-le"))) == texts


def test_data_packs_skip_what_is_no_text_and_refuse_other_versions() -> None:
    pak = build_pak({1: "one", 2: "xx", 3: "three"}).replace(b"xx", b"\xff\xfe")
    assert dict(formats.read_pak(pak)) == {1: "one", 3: "three"}
    with pytest.raises(ValueError, match="version 4, not 5"):
        list(formats.read_pak(struct.pack("<I", 4) + pak[4:]))


def test_chromium_pairs_the_packs_of_two_packages_without_the_gendered_ones() -> None:
    folder = "./usr/lib/chromium/locales/"
    common = build_deb({f"{folder}en-US.pak": build_pak({7: "Living room", 8: "Only English"})})
    others = build_deb(
        {
            f"{folder}am.pak": build_pak({7: "ሳሎን", 9: "only Amharic"}),
            f"{folder}am_FEMININE.pak": build_pak({7: "x"}),
            f"{folder}pt-BR.pak": build_pak({7: "Sala"}),
            f"{folder}pt-PT.pak": build_pak({7: "Sala de estar"}),
            "./usr/lib/chromium/resources.pak": build_pak({7: "no message"}),
        }
    )
    pairs = fetch.pair_messages(formats.read_chromium([common, others]))
    assert pairs == {("amh", "Living room", "ሳሎን"), ("por", "Living room", "Sala")}


@pytest.mark.parametrize("is_utf8", [True, False])
def test_resource_tables_give_strings_and_plurals_of_each_locale(is_utf8: bool) -> None:
    strings = ["Never", "one day", "days", "Nie", "ein Tag", "Tage", "Hindi kailanman", "ü" * 200]
    packed_fil = bytes([0x80 | (ord("l") - 97) << 2 | (8 >> 3), (8 & 7) << 5 | (ord("f") - 97)])
    table = build_resource_table(
        strings,
        [
            build_type(2, b"\0\0", b"\0\0", b"", [0, None, 7]),
            build_type(3, b"\0\0", b"\0\0", b"", [[1, 2]]),
            build_type(2, b"de", b"\0\0", b"", [3]),
            build_type(3, b"de", b"\0\0", b"", [[4, 5]]),
            build_type(2, packed_fil, b"\0\0", b"", [6]),
            build_type(2, b"de", b"AT", b"", [6]),
            build_type(2, b"sr", b"\0\0", b"Latn", [6]),
            build_type(1, b"de", b"\0\0", b"", [0]),  # An id is no text.
        ],
        is_utf8=is_utf8,
    )
    grouped = formats.group_by_locale(formats.read_resource_table(table))
    assert set(grouped) == {"en", "de", "fil", "de-AT", "sr-Latn"}
    assert sorted(grouped["en"].values()) == sorted(strings[i] for i in (0, 1, 2, 7))

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as apk:
        apk.writestr("resources.arsc", table)
    deb = build_deb({"./usr/share/framework-res.apk": buffer.getvalue()})
    assert fetch.pair_messages(formats.read_android([deb])) == {
        ("deu", "Never", "Nie"),
        ("deu", "one day", "ein Tag"),
        ("deu", "days", "Tage"),
        ("tgl", "Never", "Hindi kailanman"),
        ("srp-Latn", "Never", "Hindi kailanman"),
    }


@pytest.mark.parametrize("container", ["tar", "zip"])
def test_trees_of_json_are_read_from_both_kinds_of_package(container: str) -> None:
    files = {
        "package/editor/a/en.json": {"menu": {"file": "<b>Open</b>\n the  file", "n": 3}},
        "package/editor/a/ha.json": {"menu": {"file": "Buɗe fayil"}},
        "package/editor/b/en.json": {"menu": {"file": "{n, plural, one {# file} other {}}"}},
        "package/editor/b/ha.json": {"menu": {"file": "fayiloli"}},
        "package/README.json": {"menu": {"file": "no message"}},
    }
    archive = build_json_tar(files)
    if container == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as wheel:
            for name, tree in files.items():
                wheel.writestr(name, json.dumps(tree))
        archive = buffer.getvalue()
    pattern = r"package/editor/(?P<file>[^/]+)/(?P<locale>[^/]+)\.json"
    pairs = fetch.pair_messages(formats.read_json_tree([archive], pattern))
    assert pairs == {("hau", "Open the file", "Buɗe fayil")}


# ---- Choices ----


def test_one_locale_a_language_is_chosen_and_unknown_ones_are_left_out() -> None:
    locales = ["en", "en-GB", "es", "es-419", "pt-BR", "pt-PT", "zh-CN", "zh-TW", "fil", "xx-Yyyy"]
    locales += ["sr", "sr-Latn", "bg-BG", "ja", "ja-Hira", "zzz"]
    assert fetch.choose_locales(locales) == {
        "es": "spa",
        "pt-BR": "por",
        "zh-CN": "zho",
        "zh-TW": "zho-Hant",
        "fil": "tgl",
        "sr": "srp",
        "sr-Latn": "srp-Latn",
        "bg-BG": "bul",
        "ja": "jpn",
    }


# ---- Fetching ----


def archive_of(content: bytes, file: Path) -> fetch.Archive:
    """An archive of this content, which a copy of the file stands for."""
    return fetch.Archive(
        "a.tgz", hashlib.sha256(content).hexdigest(), ("cp", str(file), "some.tgz")
    )


def test_an_archive_is_fetched_once_by_the_command_of_its_package(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"content")
    archive = archive_of(b"content", there)
    (tmp_path / "out").mkdir()
    path = fetch.fetch(archive, tmp_path / "out")
    assert path.read_bytes() == b"content"
    there.unlink()
    assert fetch.fetch(archive, tmp_path / "out") == path

    path.write_bytes(b"damaged")
    with pytest.raises(LabseError, match=r"a\.tgz: cp .*there some\.tgz failed: .*No such file"):
        fetch.fetch(archive, tmp_path / "out")


def test_a_client_that_is_not_installed_is_named(tmp_path: Path) -> None:
    archive = fetch.Archive("a.tgz", "0" * 64, ("no-such-client", "pack"))
    with pytest.raises(LabseError, match=r"a\.tgz: no-such-client is not installed"):
        fetch.fetch(archive, tmp_path)


def test_another_archive_than_the_pinned_one_is_refused_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    archive = archive_of(b"content", tmp_path / "other")
    (tmp_path / "out").mkdir()
    with pytest.raises(LabseError, match="not the file that was pinned"):
        fetch.fetch(archive, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_the_script_writes_pairs_and_what_they_were_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = build_json_tar({"m/en.json": {"a": "water"}, "m/so.json": {"a": "biyo"}})
    (tmp_path / "a.tgz").write_bytes(content)

    def read(archives: object) -> object:
        return formats.read_json_tree(archives, r"m/(?P<locale>\w+)\.json")  # type: ignore[arg-type]

    archive = archive_of(content, tmp_path / "a.tgz")
    source = fetch.Source("MIT", (archive,), read)  # type: ignore[arg-type]
    monkeypatch.setattr(fetch, "SOURCES", {"tiny": source})
    monkeypatch.setattr(sys, "argv", ["fetch.py", str(tmp_path / "out")])
    fetch.main()
    rows = pq.read_table(tmp_path / "out" / "tiny.parquet").to_pylist()
    assert rows == [{"lang": "som", "english": "water", "text": "biyo"}]
    record = json.loads((tmp_path / "out" / "fetched.json").read_text())
    assert record["tiny"]["pairs"] == 1
    assert record["tiny"]["archives"]["a.tgz"] == archive.sha256
    assert "tiny: 1 pairs in 1 languages" in capsys.readouterr().err

    (tmp_path / "a.tgz").unlink()
    (tmp_path / "out" / "archives" / "a.tgz").unlink()
    with pytest.raises(SystemExit, match=r"a\.tgz"):
        fetch.main()
