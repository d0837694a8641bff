import bz2
from collections import Counter
from pathlib import Path

import pytest

from labse.corpus.records import Document
from labse.corpus.wikipedia import read_wikipedia
from labse.errors import LabseError

pytest.importorskip("mwparserfromhell")
FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "wikipedia"
SITE = (
    '<siteinfo><namespaces><namespace key="0"/><namespace key="6">Файл</namespace>'
    '<namespace key="14">Категория</namespace></namespaces></siteinfo>'
)


def page(title: str, text: str, ns: int = 0, extra: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{ns}</ns><id>1</id>{extra}<revision><id>2</id>"
        f"<contributor><username>Someone</username></contributor><comment>text</comment>"
        f"<text xml:space='preserve'>{text}</text></revision></page>"
    )


def dump(*pages: str, lang: str = "bg") -> str:
    return f'<mediawiki xml:lang="{lang}">{SITE}{"".join(pages)}</mediawiki>'


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    payload = text.encode(encoding)
    path.write_bytes(bz2.compress(payload) if path.suffix == ".bz2" else payload)
    return path


def read(path: Path, **options: str) -> tuple[list[Document], Counter[str]]:
    drops: Counter[str] = Counter()
    return list(read_wikipedia(path, drops=drops, **options)), drops


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", ["a.xml", "a.xml.bz2"])
def test_each_article_is_a_document_with_its_title(
    tmp_path: Path, name: str, encoding: str
) -> None:
    text = dump(page("Куче", "'''Куче''' е [[животно]]. [[Файл:a.jpg|куче]]\n[[Категория:Б]]"))
    documents, drops = read(write(tmp_path / name, text, encoding))
    assert documents == [Document("Куче е животно.\n", "bul", "Куче", name)]
    assert not drops


def test_other_pages_are_counted_by_reason(tmp_path: Path) -> None:
    text = dump(
        page("A", "#REDIRECT [[B]]", extra='<redirect title="B"/>'),
        page("Talk:A", "Hello", ns=1),
        page("Template:A", "Hello", ns=10),
        page("C", "{{stub}}"),
        page("D", "x", extra="<model>json</model>").replace("<id>2</id>", ""),
        page("E", "{{{" * 2_000 + "}}}" * 2_000),
        page("F", "Text."),
    )
    documents, drops = read(write(tmp_path / "a.xml", text))
    assert [document.document for document in documents] == ["F"]
    assert drops == {
        "redirect": 1,
        "namespace other than articles": 2,
        "no prose": 1,
        "not wikitext": 1,
        "the markup is nested too deep": 1,
    }


def test_the_language_can_be_given_and_an_unknown_one_is_undetermined(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", dump(page("A", "Text."), lang="tokipona"))
    assert read(path)[0][0].lang == "und"
    assert read(path, lang="en")[0][0].lang == "eng"


def test_streams_one_after_the_other_are_one_dump(tmp_path: Path) -> None:
    text = dump(page("A", "Eins."), page("B", "Zwei."))
    middle = text.index("<page><title>B")
    path = tmp_path / "a-multistream.xml.bz2"
    path.write_bytes(bz2.compress(text[:middle].encode()) + bz2.compress(text[middle:].encode()))
    assert [document.text for document in read(path)[0]] == ["Eins.\n", "Zwei.\n"]


def test_a_dump_that_is_damaged_or_cut_short_is_one_error(tmp_path: Path) -> None:
    payload = b"".join(bz2.compress(dump(page("A", "Text.")).encode()) for _ in range(1))
    path = tmp_path / "a.xml.bz2"
    for broken in (payload[:-10], payload + b"garbage", payload[:50] + b"x" + payload[51:], b""):
        path.write_bytes(broken)
        with pytest.raises(LabseError, match=r"a\.xml\.bz2"):
            read(path)


def test_what_is_no_dump_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="not a dump: its outermost element is 'html'"):
        read(write(tmp_path / "a.xml", "<html></html>"))
    bomb = '<!DOCTYPE mediawiki [<!ENTITY a "b">]>' + dump(page("A", "&a;"))
    with pytest.raises(LabseError, match="declares the entity 'a'"):
        read(write(tmp_path / "b.xml", bomb))


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="no real dumps here")
def test_a_real_dump_in_utf16_gives_clean_prose() -> None:
    (path,) = FIXTURES.glob("bgwiki*")
    (document,), drops = read(path)
    assert (document.document, document.lang) == ("Григориански календар", "bul")
    assert document.text.startswith("Григорианският календар (понякога наричан")
    assert not any(mark in document.text for mark in ("[[", "{{", "}}", "{|", "<ref", "=="))
    assert drops == {"namespace other than articles": 2}
