import bz2
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labse.corpus.gettext_catalogue import read_po
from labse.corpus.subtitles import read_cues
from labse.corpus.tmx import read_tmx
from labse.corpus.wikipedia import read_wikipedia
from labse.corpus.xliff import read_xliff
from labse.corpus.xml_stream import iter_xml
from labse.errors import LabseError

Reader = Callable[[Path], Iterator[object]]
BILLION_LAUGHS = (
    '<!DOCTYPE a [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;">]>'
    "<a><b>&lol2;</b></a>"
)


class Names:
    """Gathers the names of the elements with the text inside each, as they end."""

    def __init__(self) -> None:
        self.finished: list[str] = []
        self._pieces: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Nothing is told of it."""

    def end(self, name: str) -> None:
        self.finished.append(f"{name}:{''.join(self._pieces)}")
        self._pieces.clear()

    def text(self, text: str) -> None:
        self._pieces.append(text)

    def num_held(self) -> int:
        return sum(map(len, self._pieces))


def elements(path: Path) -> list[str]:
    return list(iter_xml(path, Names()))


def write(path: Path, payload: str | bytes) -> Path:
    path.write_bytes(payload if isinstance(payload, bytes) else payload.encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    text = "<a><b>äж你 &amp; &#x1F600;</b></a>"
    assert elements(write(tmp_path / "a.xml", text.encode(encoding))) == ["b:äж你 & 😀", "a:"]
    latin = '<?xml version="1.0" encoding="ISO-8859-1"?><a>ä</a>'.encode("latin-1")
    assert elements(write(tmp_path / "b.xml", latin)) == ["a:ä"]


def test_elements_come_out_before_the_rest_is_read(tmp_path: Path) -> None:
    text = "<a>" + "<b>x</b>" * 300_000 + "<broken>"
    names = Names()
    rows = iter_xml(write(tmp_path / "a.xml", text), names)
    assert next(rows) == "b:x"
    assert len(names.finished) < 200_000
    with pytest.raises(LabseError, match="line 1: not well-formed XML"):
        list(rows)


def test_concatenated_streams_are_one_document(tmp_path: Path) -> None:
    payload = b"".join(bz2.compress(part) for part in (b"<a><b>1", b"2</b>", b"", b"</a>"))
    assert elements(write(tmp_path / "a.xml.bz2", payload)) == ["b:12", "a:"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BILLION_LAUGHS, r"line 1: declares the entity 'lol'; entities are refused"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>', "the entity 'x'"),
        ('<!DOCTYPE a [<!ENTITY % x SYSTEM "http://a/">%x;]><a/>', "the entity 'x'"),
        ("<a>&nbsp;</a>", "not well-formed XML .undefined entity"),
        ("<a>\x00</a>", "not well-formed XML"),
        (b"<a>\xff\xfe</a>", "not well-formed XML"),
        ("<a><b></a>", "not well-formed XML .mismatched tag"),
        ("<a>", "not well-formed XML .no element found"),
        ("", "not well-formed XML .no element found"),
        ("<a>" * 100_001, "line 1: more than 100,000 elements stand one inside the other"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "encoding"),
    ],
)
def test_what_is_broken_or_dangerous_is_one_error(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(LabseError, match=message):
        elements(write(tmp_path / "a.xml", text))


def test_a_document_type_without_entities_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tmx", '<!DOCTYPE a SYSTEM "tmx14.dtd"><a>x</a>')
    assert elements(path) == ["a:x"]


def test_nesting_50_000_deep_is_parsed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", "<b>" * 50_000 + "</b>" * 50_000)
    assert len(elements(path)) == 50_000


def test_an_archive_cut_short_is_one_error(tmp_path: Path) -> None:
    payload = bz2.compress(b"<a>" + b"<b>x</b>" * 1000 + b"</a>")
    with pytest.raises(LabseError, match="cut short"):
        elements(write(tmp_path / "a.xml.bz2", payload[:-20]))


@pytest.mark.parametrize(
    ("read", "start"),
    [
        (lambda path: read_wikipedia(path, drops=Counter()), "<mediawiki><page><text>"),
        (lambda path: read_tmx(path, drops=Counter()), "<tmx><body><tu><tuv><seg>"),
        (lambda path: read_tmx(path, drops=Counter()), "<tmx><tu>" + "<seg>a</seg>" * 40),
        (read_xliff, "<xliff><file><trans-unit><source>"),
        (read_po, 'msgid ""\nmsgstr ""\n'),
        (read_cues, "1\n00:00:01,000 --> 00:00:02,000\n"),
    ],
)
def test_a_text_that_does_not_end_is_not_held_whole(
    tmp_path: Path, read: Reader, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABSE_MAX_LINE_BYTES", "1000")
    path = write(tmp_path / "a", start + "nine more\n" * 500)
    with pytest.raises(
        LabseError, match=r"a text of more than|more than 0 Mi characters|held whole"
    ):
        list(read(path))
