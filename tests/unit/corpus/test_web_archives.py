import bz2
import gzip
import zlib
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labse.corpus.records import Document
from labse.corpus.web_archives import read_warc, read_wet
from labse.errors import LabseError, UsageError

pytest.importorskip("fastwarc")
FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "warc"
PAGE = (
    "<html lang='de-AT'><head><title>x</title></head><body><nav><a href=/>Start</a></nav><main>"
    "<p>Das ist ein langer Absatz über das Wetter in den Bergen, der genug Wörter hat.</p>"
    "<p>Und hier folgt gleich noch einer, damit es auch wirklich ein Text ist.</p></main>"
    "</body></html>"
)


def record(body: bytes, kind: str = "conversion", **headers: str) -> bytes:
    lines = [f"WARC-Type: {kind}", "WARC-Record-ID: <urn:uuid:1>"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}"]
    return b"WARC/1.0\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + body + b"\r\n\r\n"


def wet(*texts: str | bytes) -> list[bytes]:
    bodies = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return [
        record(body, WARC_Target_URI=f"https://a.b/{n}", WARC_Identified_Content_Language="deu,eng")
        for n, body in enumerate(bodies)
    ]


def response(body: bytes, head: str = "HTTP/1.1 200 OK\r\nContent-Type: text/html") -> bytes:
    return record(
        head.encode() + b"\r\n\r\n" + body,
        "response",
        WARC_Target_URI="https://a.b/page",
        Content_Type="application/http; msgtype=response",
    )


def write(path: Path, records: list[bytes]) -> Path:
    packed = [gzip.compress(one) for one in records] if path.suffix == ".gz" else records
    path.write_bytes(b"".join(packed))
    return path


def read(path: Path, **options: str) -> tuple[list[Document], Counter[str]]:
    drops: Counter[str] = Counter()
    reader = read_warc if ".warc" in path.suffixes else read_wet
    return list(reader(path, drops=drops, **options)), drops


# ---- WET ----


@pytest.mark.parametrize("name", ["a.wet", "a.wet.gz"])
def test_each_page_is_a_document_with_its_address(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [record(b"x", "warcinfo"), *wet("eins\nzwei\n", "drei")])
    documents, drops = read(path)
    assert documents == [
        Document("eins\nzwei\n", "deu", "https://a.b/0", name),
        Document("drei", "deu", "https://a.b/1", name),
    ]
    assert not drops
    assert [document.lang for document in read(path, lang="ru")[0]] == ["rus", "rus"]


def test_a_language_that_is_missing_or_strange_is_undetermined(tmp_path: Path) -> None:
    strange = record(b"x", WARC_Identified_Content_Language="zzz,eng")
    documents, _ = read(write(tmp_path / "a.wet", [record(b"x"), strange]))
    assert [(one.lang, one.document) for one in documents] == [("und", "<urn:uuid:1>"[1:-1])] * 2


def test_a_page_that_is_not_utf8_is_dropped_and_counted(tmp_path: Path) -> None:
    texts = (b"good", b"\xff\xfeb\x00", "ä".encode("utf-16"), b"\xed\xa0\x80", b"last")
    documents, drops = read(write(tmp_path / "a.wet", wet(*texts)))
    assert [document.text for document in documents] == ["good", "last"]
    assert drops == {"not UTF-8": 3}


def test_odd_characters_stay_inside_their_page(tmp_path: Path) -> None:
    odd = "nul\x00 c0\x01\x1f sep\u2028 crlf\r\n WARC/1.0\r\n\r\n" + "x" * 1_000_000
    documents, _ = read(write(tmp_path / "a.wet.gz", wet("\ufeff" + odd, "", "next")))
    assert [document.text for document in documents] == [odd, "", "next"]


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_text_comes_back(tmp_path: Path, texts: list[str]) -> None:
    for name in ("a.wet", "a.wet.gz"):
        documents, _ = read(write(tmp_path / name, wet(*texts)))
        assert [one.text for one in documents] == [text.removeprefix("\ufeff") for text in texts]


@pytest.mark.parametrize("is_one_member", [False, True])
def test_a_cut_anywhere_is_an_error_or_loses_no_page(tmp_path: Path, is_one_member: bool) -> None:
    records = wet("eins " * 40, "zwei " * 40, "drei")
    packed = [gzip.compress(b"".join(records))] if is_one_member else map(gzip.compress, records)
    payload = b"".join(packed)
    expected = [document.text for document in read(write(tmp_path / "b.wet", records))[0]]
    path = tmp_path / "a.wet.gz"
    ends = (
        {0}
        if is_one_member
        else {sum(map(len, list(map(gzip.compress, records))[:n])) for n in range(3)}
    )
    for cut in range(1, len(payload), 3):
        path.write_bytes(payload[:cut])
        if cut in ends:  # The end of a member: nothing shows that another was to follow.
            continue
        with pytest.raises(LabseError, match=r"cut short|no WARC"):
            read(path)
    path.write_bytes(payload)
    assert [document.text for document in read(path)[0]] == expected


def test_a_plain_archive_cut_inside_a_page_is_an_error(tmp_path: Path) -> None:
    payload = b"".join(wet("eins", "zwei" * 100))
    path = tmp_path / "a.wet"
    for cut in (10, 200, len(payload) - 50):
        path.write_bytes(payload[:cut])
        with pytest.raises(LabseError, match="cut short"):
            read(path)


def test_pages_before_the_damage_are_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wet.gz", wet("eins", "zwei"))
    payload = bytearray(path.read_bytes())
    payload[-30] ^= 0xFF
    path.write_bytes(payload)
    documents = read_wet(path, drops=Counter())
    assert next(documents).text == "eins"
    with pytest.raises(LabseError, match=r"a\.wet\.gz"):
        list(documents)


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_noise_is_an_error_or_nothing(tmp_path: Path, noise: bytes) -> None:
    for payload in (noise, b"WARC/1.0\r\n" + noise, gzip.compress(noise), b"\x1f\x8b" + noise):
        path = tmp_path / "a.wet"
        path.write_bytes(payload)
        try:
            assert read(path)[0] == []
        except LabseError:
            continue


@pytest.mark.parametrize("length", ["-5", "abc", "99999999999", "100"])
def test_a_wrong_length_is_an_error(tmp_path: Path, length: str) -> None:
    first, second = wet("x" * 300, "y")
    path = write(
        tmp_path / "a.wet", [first.replace(b"Length: 300", f"Length: {length}".encode()), second]
    )
    with pytest.raises(LabseError, match=r"a\.wet"):
        read(path)


def test_an_empty_file_has_no_pages(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.wet", [])) == ([], Counter())
    (tmp_path / "a.wet.gz").write_bytes(b"")
    with pytest.raises(LabseError, match="0 bytes"):
        read(tmp_path / "a.wet.gz")


def test_an_archive_in_another_compression_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wet.bz2"
    path.write_bytes(bz2.compress(b"".join(wet("eins"))))
    with pytest.raises(LabseError, match=r"no WARC, begins with b'BZh9'; archives are"):
        read(path)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match=r"a\.wet: no such file"):
        read(tmp_path / "a.wet")
    with pytest.raises(LabseError, match="a folder, not a file"):
        list(read_wet(tmp_path, drops=Counter()))
    with pytest.raises(UsageError, match="not standard input"):
        list(read_wet("-", drops=Counter()))


def test_a_name_that_climbs_out_of_its_folder_is_text(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.wet"
    path.parent.mkdir()
    evil = record(b"x", WARC_Target_URI="file:///../../evil", WARC_Filename="../../evil.txt")
    documents, _ = read(write(path, [evil]))
    assert documents[0].document == "file:///../../evil"
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a.wet", "in"]


# ---- WARC ----


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_the_main_text_of_a_page_is_a_document(tmp_path: Path, name: str) -> None:
    (document,), drops = read(write(tmp_path / name, [response(PAGE.encode())]))
    assert (document.lang, document.document) == ("deu", "https://a.b/page")
    assert "Das ist ein langer Absatz über das Wetter" in document.text
    assert "Start" not in document.text
    assert not drops


def test_http_is_decoded(tmp_path: Path) -> None:
    body = PAGE.encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:99], body[99:], b""))
    html = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
    responses = [
        response(gzip.compress(body), html + "Content-Encoding: gzip"),
        response(zlib.compress(body), html + "Content-Encoding: deflate"),
        response(zstandard.compress(body), html + "Content-Encoding: zstd"),
        response(gzip.compress(zlib.compress(body)), html + "Content-Encoding: deflate, gzip"),
        response(chunked, html + "Transfer-Encoding: chunked"),
        response(PAGE.encode("latin-1"), html.replace("utf-8", "ISO-8859-1") + "X: y"),
        response(PAGE.encode("utf-16"), html + "X: y"),
        record(body, "resource", Content_Type="text/html", WARC_Target_URI="https://a.b/page"),
    ]
    documents, drops = read(write(tmp_path / "a.warc", responses))
    assert not drops
    assert len({document.text for document in documents}) == 1
    assert len(documents) == 8


def test_what_is_no_page_is_dropped_by_reason(tmp_path: Path) -> None:
    responses = [
        response(PAGE.encode(), "HTTP/1.1 404 Not Found\r\nContent-Type: text/html"),
        response(b"%PDF", "HTTP/1.1 200 OK\r\nContent-Type: application/pdf"),
        response(b"no headers at all", "garbage"),
        response(b"<html></html>"),
        response(
            b"x" * 500, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip"
        ),
        response(PAGE.encode()),
    ]
    documents, drops = read(write(tmp_path / "a.warc", responses))
    assert drops.total() + len(documents) == 6
    assert {"HTTP status other than 200", "not HTML", "no main text"} <= {*drops}
    assert documents[-1].text.startswith("Das ist")


def test_a_page_nested_50_000_deep_neither_crashes_nor_hangs(tmp_path: Path) -> None:
    deep = b"<div>" * 50_000 + b"Text" + b"</div>" * 50_000
    documents, drops = read(write(tmp_path / "a.warc", [response(deep), response(PAGE.encode())]))
    assert len(documents) == 1
    assert drops == {"nested deeper than 1,000": 1}


@pytest.mark.parametrize("length", [10**9, 2**63, 2**64 - 1])
def test_a_record_that_states_a_length_beyond_any_file_is_cut_short(
    tmp_path: Path, length: int
) -> None:
    head = f"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: {length}\r\n\r\n"
    (tmp_path / "a.wet").write_bytes(head.encode() + b"Das ist ein Hund.")
    with pytest.raises(LabseError, match="cut short in or after the record at byte 0"):
        list(read_wet(tmp_path / "a.wet", drops=Counter()))


def test_a_page_cut_short_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.warc", [response(PAGE.encode())])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LabseError, match="cut short"):
        next(read_warc(path, drops=Counter()))


# ---- real ones ----


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="no real archives here")
@pytest.mark.parametrize("path", sorted(FIXTURES.rglob("*.warc*")), ids=lambda path: path.name)
def test_a_real_archive_gives_pages_or_one_error(path: Path) -> None:
    reader = read_wet if ".wet" in path.name else read_warc
    try:
        documents = list(reader(path, drops=Counter()))
    except LabseError:
        assert path.name == "example-trunc.warc"
        return
    assert all(document.text.strip() and document.document for document in documents)
    if "whirlwind" in path.name and ".wat" not in path.name:
        assert "Escopete" in documents[0].text
