import io
from xml.etree import ElementTree

import pytest

from labse.corpus.languages import all_languages, canonical_tag
from labse.corpus.tmx_writer import write_tmx_rows
from labse.errors import UsageError

COLUMNS = ("source", "target", "source_lang", "target_lang")


def write(*rows: tuple[str | float, ...], columns: tuple[str, ...] = COLUMNS) -> tuple[bytes, int]:
    stream = io.BytesIO()
    num_rows, num_altered = write_tmx_rows(stream, columns, rows)
    assert num_rows == len(rows)
    return stream.getvalue(), num_altered


def test_an_independent_parser_reads_what_was_written() -> None:
    payload, num_altered = write(("a < b & c", "д\r\u2028", "eng", "rus"), ("", "x", "eng", "deu"))
    root = ElementTree.fromstring(payload)
    assert num_altered == 0
    assert (root.tag, root.get("version")) == ("tmx", "1.4")
    header = root.find("header")
    assert header is not None
    required = {"creationtool", "creationtoolversion", "segtype", "o-tmf", "adminlang", "srclang"}
    assert required <= {*header.keys()}
    units = [[segment.text for segment in unit.iter("seg")] for unit in root.iter("tu")]
    assert units == [["a < b & c", "д\r\u2028"], [None, "x"]]
    langs = [
        variant.get("{http://www.w3.org/XML/1998/namespace}lang") for variant in root.iter("tuv")
    ]
    assert langs == ["en", "ru", "en", "de"]


def test_characters_that_xml_forbids_are_replaced_and_counted_by_row() -> None:
    payload, num_altered = write(
        ("a\x00b\x0bc\ufffe", "\x1f", "eng", "deu"), ("fine", "gut", "eng", "deu")
    )
    assert num_altered == 1
    segments = [segment.text for segment in ElementTree.fromstring(payload).iter("seg")]
    assert segments == ["a\ufffdb\ufffdc\ufffd", "\ufffd", "fine", "gut"]


def test_another_column_is_a_property_of_the_unit() -> None:
    row = ("a", "b", "eng", "deu", 1.25)
    payload, _ = write(row, columns=(*COLUMNS, 'margin"<score'))
    (prop,) = ElementTree.fromstring(payload).iter("prop")
    assert (prop.get("type"), prop.text) == ('margin"<score', "1.25")


def test_every_language_has_a_code_that_reads_back() -> None:
    for language in all_languages():
        payload, _ = write(("a", "b", language.tag, "eng"))
        unit = next(ElementTree.fromstring(payload).iter("tu"))
        assert canonical_tag(str(unit.get("srclang"))) == language.tag


def test_a_missing_column_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="TMX needs the column target_lang"):
        write(("a", "b", "eng"), columns=("source", "target", "source_lang"))
