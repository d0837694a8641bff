"""Pages and archives as the web has them: counted, with a reason, and never an end of the run."""

import gzip
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.unit.web.site import DOCUMENTS, build_page, build_site, build_warc

import labse
from labse import LabseError
from labse.corpus.html_blocks import parse_html
from labse.corpus.web_archives import iter_captures, read_warc
from labse.files.atomic import write_atomic
from labse.web.addresses import host_of, site_of, strip_language

ENGLISH, GERMAN = DOCUMENTS["bread"]


def test_an_archive_that_is_cut_short_gives_the_pages_before_the_cut(tmp_path: Path) -> None:
    pages = build_site()
    whole = b"".join(gzip.compress(build_warc([page])) for page in pages)
    (tmp_path / "cut.warc.gz").write_bytes(whole[:-20])
    done = labse.web_pages([tmp_path / "cut.warc.gz"], tmp_path / "pages")
    assert done.num_pages == 13
    assert done.drops["archive damaged or cut short"] == 1


def test_an_archive_in_one_member_that_is_cut_short_says_so(tmp_path: Path) -> None:
    (tmp_path / "cut.warc.gz").write_bytes(gzip.compress(build_warc(build_site()))[:-200])
    done = labse.web_pages([tmp_path / "cut.warc.gz"], tmp_path / "pages")
    assert done.drops["archive damaged or cut short"] == 1


def test_a_wrong_length_that_swallows_other_pages_is_told(tmp_path: Path) -> None:
    first, *rest = (build_warc([page]) for page in build_site()[:4])
    length = first.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    records = [first.replace(b"Length: " + length, b"Length: 90000"), *rest]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(map(gzip.compress, [*rest, *records])))
    done = labse.web_pages([tmp_path / "a.warc.gz"], tmp_path / "pages")
    assert (done.num_pages, done.drops) == (3, {"archive damaged or cut short": 1})


def test_damage_inside_a_page_is_that_of_the_archive(tmp_path: Path) -> None:
    numbers = [f"Line {number**3} of many." for number in range(9000)]
    packed = bytearray(gzip.compress(build_warc([("https://a.com/", build_page(numbers))])))
    packed[len(packed) // 2] ^= 0x55
    (tmp_path / "a.warc.gz").write_bytes(packed)
    with (
        pytest.raises(LabseError, match=r"a\.warc\.gz: damaged in the record at byte 0"),
        write_atomic(tmp_path / "out"),
    ):
        list(read_warc(tmp_path / "a.warc.gz", drops=Counter()))


def test_each_capture_of_no_use_has_a_reason(tmp_path: Path) -> None:
    record = build_warc([("https://example.com/", build_page(ENGLISH))])
    (tmp_path / "a.warc").write_bytes(
        record.replace(b"200 OK", b"404 No")
        + build_warc([("https://example.com/a.pdf", "%PDF")], content_type="application/pdf")
        + build_warc([("dns:example.com", build_page(ENGLISH))])
        + build_warc([("https://example.com/f", "<frameset><frame src=a></frameset>")])
        + build_warc([("https://example.com/b", "<b>" * 600_000)])
        + record
    )
    done = labse.web_pages([tmp_path / "a.warc"], tmp_path / "pages")
    assert done.num_pages == 1
    assert done.drops == {
        "HTTP status other than 200": 1,
        "not HTML": 1,
        "not an address of the web": 1,
        "frames, no text of its own": 1,
        "more than 500,000 tags": 1,
    }


@pytest.mark.parametrize(
    ("charset", "header"),
    [
        ("utf-8", "iso-8859-1"),
        ("iso-8859-1", "utf-8"),
        ("utf-16", ""),
        ("windows-1252", "nonsense"),
    ],
)
def test_an_encoding_that_is_named_wrong_is_found(charset: str, header: str) -> None:
    payload = build_page([*GERMAN, *DOCUMENTS["dog"][1], *DOCUMENTS["school"][1]]).encode(charset)
    page = parse_html(payload, "https://example.com/", charset=header or None)
    assert "Backen Sie ihn fünfzig Minuten im heißen Ofen." in page.blocks


def test_a_later_capture_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    old = build_warc([("https://example.com/", build_page(ENGLISH))])
    new = build_warc([("https://example.com/", build_page([*ENGLISH, "It keeps for a week."]))])
    late = new.replace(b"2026-11-29", b"2026-11-30")
    (tmp_path / "a.warc").write_bytes(late + old)
    done = labse.web_pages([tmp_path / "a.warc"], tmp_path / "pages")
    assert done.drops == {"older capture of an address": 1}
    row = pq.read_table(tmp_path / "pages" / "part-00000.parquet").to_pylist()[0]
    assert row["sentences"][-1] == "It keeps for a week."


def test_links_are_resolved_and_those_that_lead_nowhere_are_counted() -> None:
    head = (
        '<base href="/docs/"><link rel=alternate hreflang=de href="../de/a.html#top">'
        '<link rel="alternate" hreflang="fr" href="http://[broken"><link rel=canonical href=a.html>'
        '<meta name="robots" content="NoIndex, follow"><link rel=license href=//cc.org/by>'
    )
    html = build_page(["Title", '<a hreflang="ja" href="/ja/a.html">日本語</a>'], head=head)
    page = parse_html(html.encode(), "https://example.com/en/a.html")
    found = [(one.lang, one.url) for one in page.alternates]
    assert found == [
        ("de", "https://example.com/de/a.html"),
        ("ja", "https://example.com/ja/a.html"),
    ]
    assert page.num_bad_links == 1
    assert page.canonical == "https://example.com/docs/a.html"
    assert (page.robots, page.license) == ("noindex,follow", "https://cc.org/by")


def test_text_is_cut_at_blocks_and_nowhere_else() -> None:
    html = "<p>one <b>two</b>three<br>four<p>五\n六<script>no</script><pre>a\nb</pre>"
    html += "<li>x<li>y &amp; z"
    page = parse_html(html.encode(), "https://example.com/")
    assert page.blocks == ["one twothree four", "五六", "a", "b", "x", "y & z"]
    assert page.tags == ["p", "p", "pre", "pre", "li", "li"]


@pytest.mark.parametrize(
    "html",
    ["<div>" * 400_000, '<a b="' * 400_000, "<svg>" * 400_000, "<!--" * 400_000, "<" * 9, ""],
)
def test_markup_without_end_is_read_in_the_time_of_its_length(html: str) -> None:
    assert parse_html(html.encode(), "https://example.com/").problem in ("no text", None)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a/page.html",
        "http://www.example.com/de/a/page.html",
        "https://fr.example.com/a/page.html",
        "https://example.com/a/PT-BR/page.html",
        "https://example.com/zh-Hans/a/page.html",
        "https://example.com/a/page.html.de",
        "https://example.com/a/page.pt_BR.html",
        "https://example.com/a/page_de.html",
        "https://example.com/a/page.html?lang=ja",
        "https://example.com/a/page.html?hl=zh-CN&utm_source=x",
        "https://example.com/deutsch/a/page.html",
        "https://www.example.co.uk/a/page.html",
    ],
)
def test_an_address_without_its_language_is_the_same_for_all_languages(url: str) -> None:
    assert strip_language(url).key == "example/a/page.html"


def test_a_site_is_the_name_that_is_registered() -> None:
    urls = ("http://[::1]/a", "http://10.0.0.1/", "https://xn--mnchen-3ya.de")
    assert [site_of(host_of(url)) for url in urls] == ["::1", "10.0.0.1", "münchen"]


def test_a_damaged_archive_ends_where_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(build_warc(build_site()[:1]) + b"WARC/1.0\r\nContent-Length: 99\r\n\r\nshort")
    drops: Counter[str] = Counter()
    assert len(list(iter_captures(path, drops=drops))) == 1
