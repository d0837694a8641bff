"""From a WARC of a small site to a release: the way of a user, with the model that is shipped."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.unit.web.site import DOCUMENTS, build_page, build_site, build_warc

import labse
from labse import SentenceEncoder
from labse.errors import InterruptedRunError, LabseError, UsageError
from labse.files.stage import open_stage
from labse.training.lineage import describe_folder
from labse.web.page_arrays import write_page_arrays
from labse.web.records import PageWriter, iter_groups
from labse.web.report import draw_report, render_report


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.from_pretrained()


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crawl") / "site.warc"
    path.write_bytes(build_warc(build_site()))
    return path


@pytest.fixture(scope="module")
def finished(
    crawl: Path, encoder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("run") / "W"
    labse.web_run([crawl], out, langs=["de", "en"], name="bitext.jsonl", encoder=encoder)
    return out


def test_documents_of_a_site_are_paired_whatever_their_addresses_say(finished: Path) -> None:
    rows = pq.read_table(finished / "pairs" / "part-00000.parquet").to_pylist()
    pairs = {(row["source_urls"][0], row["target_urls"][0]) for row in rows}
    root = "https://www.example.com"
    assert pairs == {(f"{root}/de/{name}.html", f"{root}/en/{name}.html") for name in DOCUMENTS}


def test_a_page_in_the_wrong_language_is_one_page_with_its_copy(finished: Path) -> None:
    manifest = json.loads((finished / "pairs" / "manifest.json").read_text())
    assert manifest["drops"] == {"copy of a page, kept as its address": 2}
    manifest = json.loads((finished / "pages" / "manifest.json").read_text())
    assert manifest["langs"] == {"eng": 8, "deu": 5}
    assert manifest["drops"] == {"no text": 1}


def test_the_release_names_all_addresses_of_a_sentence(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "bitext.jsonl").read_text().splitlines()]
    by_source = {row["source"]: row for row in rows}
    row = by_source["Er frisst zweimal am Tag."]
    assert row["target"] == "He eats twice a day."
    assert row["target_urls"] == [
        "https://www.example.com/en/dog.html",
        "https://www.example.com/en/dog.html?print=1",
    ]
    wanted = {pair for texts in DOCUMENTS.values() for pair in zip(*texts[::-1], strict=True)}
    found = {(row["source"], row["target"]) for row in rows}
    assert found <= wanted
    assert len(found) >= 23  # The model does not see that "Züge" are trains.
    assert "Example Ltd." not in by_source  # The menu is the same on both sides.


def test_the_same_run_gives_the_same_bytes(
    crawl: Path, finished: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    labse.web_run([crawl], tmp_path / "W", langs=["de", "en"], encoder=encoder, name="bitext.jsonl")
    names = ("pages/part-00000.parquet", "pairs/part-00000.parquet", "bitext.jsonl")
    for name in (*names, "bitext.card.md"):
        assert (tmp_path / "W" / name).read_bytes() == (finished / name).read_bytes()


def _with_lengths(records: bytes) -> bytes:
    """Returns WARC records whose lengths are those of what they hold now."""
    found = []
    for record in filter(None, records.split(b"WARC/1.0\r\n")):
        head, _, http = record.partition(b"\r\n\r\n")
        http = http.removesuffix(b"\r\n\r\n")
        head = head.rpartition(b"Content-Length")[0] + b"Content-Length: %d" % len(http)
        found.append(b"WARC/1.0\r\n" + head + b"\r\n\r\n" + http + b"\r\n\r\n")
    return b"".join(found)


def _stop_after(encoder: SentenceEncoder, num_calls: int) -> SentenceEncoder:
    """Returns the encoder of a user who presses Ctrl-C after so many calls."""
    stopped, calls = copy.copy(encoder), iter(range(num_calls))

    def encode(sentences: Sequence[str]) -> NDArray[np.float32]:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return encoder.encode(sentences)

    stopped.encode = encode  # type: ignore[method-assign, assignment]
    return stopped


def test_pairs_that_were_stopped_are_those_of_an_undisturbed_run(
    finished: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    for num_calls in (0, 1):
        stopped = _stop_after(encoder, num_calls)
        with pytest.raises(InterruptedRunError):
            labse.web_pairs(
                finished / "pages", tmp_path / "pairs", langs=["de", "en"], encoder=stopped
            )
    labse.web_pairs(finished / "pages", tmp_path / "pairs", langs=["de", "en"], encoder=encoder)
    for name in ("part-00000.parquet", "rejects-00000.parquet"):
        assert (tmp_path / "pairs" / name).read_bytes() == (finished / "pairs" / name).read_bytes()


def test_pages_of_two_sites_are_pairs_if_that_is_asked_for(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    pages = [
        (f"https://{lang}site.org/{number}", build_page(texts[number_of_side]))
        for number, texts in enumerate(DOCUMENTS.values())
        for number_of_side, lang in enumerate(("one", "other"))
    ]
    (tmp_path / "a.warc").write_bytes(build_warc(pages))
    labse.web_pages([tmp_path / "a.warc"], tmp_path / "pages")
    for across_hosts, number in ((False, {}), (True, {"deu-eng": 5})):
        done = labse.web_pairs(
            tmp_path / "pages",
            tmp_path / f"pairs-{across_hosts}",
            langs=["de", "en"],
            across_hosts=across_hosts,
            encoder=encoder,
        )
        assert done.num_pairs == number
    rows = pq.read_table(tmp_path / "pairs-True" / "part-00000.parquet").to_pylist()
    for row in rows:
        urls = [row[f"{side}_urls"][0] for side in ("source", "target")]
        assert [url.rpartition("/")[2] for url in urls] == [urls[0][-1]] * 2


def _scatter(tmp_path: Path) -> None:
    """Writes pages of two sites; no two of them have the same sentences in two languages."""
    english = [line for texts, _ in DOCUMENTS.values() for line in texts]
    german = [line for _, texts in DOCUMENTS.values() for line in texts]
    pages = [(f"https://one.org/{n}", build_page(english[n::4])) for n in range(4)]
    pages += [(f"https://other.org/{n}", build_page(german[n::3])) for n in range(3)]
    pages += [("https://other.org/again", build_page([german[1], "Noch eine Seite."]))]
    (tmp_path / "a.warc").write_bytes(build_warc(pages))


def test_sentences_are_mined_whatever_page_they_stand_on(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    _scatter(tmp_path)
    labse.web_pages([tmp_path / "a.warc"], tmp_path / "pages")
    done = labse.web_mine(
        tmp_path / "pages", tmp_path / "mined", langs=["de", "en"], min_score=1.3, encoder=encoder
    )
    # Headings of one or two words are beside the point.
    wanted = {pair for en, de in DOCUMENTS.values() for pair in zip(de[1:], en[1:], strict=True)}
    rows = pq.read_table(tmp_path / "mined" / "part-00000-00000.parquet").to_pylist()
    found = {(row["source"], row["target"]) for row in rows}
    assert len(found) == len(rows) == done.num_beads["deu-eng"]
    assert len(found & wanted) >= 18
    row = next(row for row in rows if row["source"] == DOCUMENTS["dog"][1][1])
    assert row["target"] == DOCUMENTS["dog"][0][1]
    assert row["source_urls"] == ["https://other.org/1", "https://other.org/again"]
    assert row["target_urls"] == ["https://one.org/1"]
    assert row["dates"] == ["2026-11-29"]


def test_a_release_joins_mined_pairs_with_beads_of_documents(
    crawl: Path, finished: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    done = labse.web_run(
        [crawl], tmp_path / "W", langs=["de", "en"], is_global=True, encoder=encoder
    )
    assert done.pairs is None
    assert done.mined is not None
    assert [*done.mined.min_scores] == ["deu-eng"]
    both = labse.web_bitext(
        [finished / "beads", tmp_path / "W" / "mined"], tmp_path / "both.jsonl", encoder=encoder
    )
    rows = [json.loads(line) for line in (tmp_path / "both.jsonl").read_text().splitlines()]
    assert both.num_beads == sum(
        len(pq.read_table(path)) for path in tmp_path.glob("both.jsonl.work/part-*.parquet")
    )
    texts = [(row["source"], row["target"]) for row in rows]
    assert len(set(texts)) == len(texts)
    assert {row["method"] for row in rows} >= {"url"}
    assert "Sentences mined without documents" in (tmp_path / "both.card.md").read_text()


def test_pages_that_are_excluded_are_taken_out_of_a_finished_release(
    finished: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.txt"
    gone.write_text("https://www.example.com/de/dog.html\n")
    labse.web_bitext(
        finished / "beads",
        tmp_path / "bitext.tmx",
        exclude_urls=gone,
        encoder=encoder,
        work=finished / "scores",
    )
    text = (tmp_path / "bitext.tmx").read_text()
    assert "dog.html" not in text
    assert '<prop type="source-document">https://www.example.com/de/train.html</prop>' in text
    assert "Er frisst zweimal am Tag." in (tmp_path / "bitext.removed.jsonl").read_text()


def test_a_release_as_a_table_has_the_addresses_of_a_row_in_one_cell(
    finished: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    for name in ("bitext.tsv", "bitext.parquet"):
        labse.web_bitext(
            finished / "beads", tmp_path / name, encoder=encoder, work=finished / "scores"
        )
    header, *rows = (tmp_path / "bitext.tsv").read_text().splitlines()
    cells = [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in rows]
    row = next(row for row in cells if row["source"] == "Er frisst zweimal am Tag.")
    page = "https://www.example.com/en/dog.html"
    assert row["target_urls"] == f"{page} {page}?print=1"
    table = pq.read_table(tmp_path / "bitext.parquet").to_pylist()
    assert table[cells.index(row)]["target_urls"] == row["target_urls"].split(" ")


def test_what_each_stage_counted_is_told_of_its_folder(finished: Path) -> None:
    kinds = {name: describe_folder(finished / name) for name in ("pages", "pairs", "beads")}
    assert [told.kind for told in kinds.values()] == ["web pages", "web pairs", "web align"]
    assert kinds["pages"].facts["langs: deu"] == 5
    assert kinds["pairs"].facts["pairs: deu-eng"] == 5


def test_a_report_adds_up_what_the_stages_have_counted(
    finished: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    labse.web_mine(finished / "pages", tmp_path / "mined", langs=["de", "en"], encoder=encoder)
    clean = tmp_path / "clean" / "manifest.json"
    clean.parent.mkdir()
    clean.write_text('{"bounds": {}, "counts": {"a.txt": {"deu": {"kept": 7, "short": 2}}}}')
    report = labse.web_report([finished, tmp_path / "mined", tmp_path / "clean"])

    # What the files of the stages hold.
    num_rows = {
        name: sum(len(pq.read_table(path)) for path in folder.glob("part-*.parquet"))
        for name, folder in (("aligned", finished / "beads"), ("mined", tmp_path / "mined"))
    }
    released = len((finished / "bitext.jsonl").read_text().splitlines())
    told = {"document pairs": 5, **num_rows, "in the release": released}
    assert report.lang_pairs == {"deu-eng": told}
    pages = pq.read_table(finished / "pages" / "part-00000.parquet").to_pylist()
    english = sum(len(page["sentences"]) for page in pages if page["lang"] == "eng")
    german = sum(len(page["sentences"]) for page in pages if page["lang"] == "deu")
    assert report.num_sentences == {"eng": english, "deu": german + 7}
    assert report.num_pages == {"eng": 8, "deu": 5}
    assert report.num_pairs == {"deu": released, "eng": released}
    assert f"| eng | English | 8 | {english} | {released} |" in render_report(report)
    assert draw_report(report).startswith(b"\x89PNG")


def test_a_report_of_other_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match=r"give a finished folder of labse web"):
        labse.web_report([tmp_path])


def test_links_pair_pages_that_stand_at_one_address_in_two_languages(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    # The language is in a cookie: both captures have one address.
    english, german = DOCUMENTS["bread"]
    pages = [("https://example.com/bread", build_page(text)) for text in (english, german)]
    (tmp_path / "a.warc").write_bytes(build_warc(pages))
    labse.web_pages([tmp_path / "a.warc"], tmp_path / "pages")
    done = labse.web_pairs(
        tmp_path / "pages", tmp_path / "pairs", langs=["de", "en"], encoder=encoder
    )
    assert done.num_pairs == {"deu-eng": 1}


def test_all_addresses_that_lead_to_a_page_are_its_own(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    english, german = DOCUMENTS["bread"]
    root = "https://example.com"
    true = f'<link rel=canonical href="{root}/bread">'
    pages = build_warc(
        [
            (f"{root}/page?id=7", build_page(english, head=true)),
            (f"{root}/brot", build_page(german)),
        ]
    )
    moved = b"".join(
        build_warc([(url, "")]).replace(b"200 OK", b"301 OK\r\nLocation: " + to)
        for url, to in (
            (f"{root}/old", b"/older"),
            (f"{root}/older", b"/brot"),
            (f"{root}/a", b"/b"),
            (f"{root}/b", b"/a"),
            (f"{root}/c", b"mailto:x"),
        )
    )
    (tmp_path / "a.warc").write_bytes(pages + _with_lengths(moved))
    done = labse.web_pages([tmp_path / "a.warc"], tmp_path / "pages")
    assert done.drops == {
        "redirect, an address of the page that it leads to": 4,
        "redirect to no address of the web": 1,
    }
    labse.web_pairs(tmp_path / "pages", tmp_path / "pairs", langs=["de", "en"], encoder=encoder)
    row = pq.read_table(tmp_path / "pairs" / "part-00000.parquet").to_pylist()[0]
    assert row["source_urls"] == [f"{root}/brot", f"{root}/old", f"{root}/older"]
    assert row["target_urls"] == [f"{root}/page?id=7", f"{root}/bread"]


def test_near_copies_give_their_addresses_to_the_best(
    finished: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    english = [*DOCUMENTS["train"][0]]
    german = [*DOCUMENTS["train"][1]]
    pages = []
    for number, word in enumerate(("Please show", "Please do show")):
        english[2] = f"{word} your ticket to the conductor of this train."
        german[2] = (
            f"Bitte zeigen Sie {'' if number else 'gern '}Ihre Fahrkarte dem Schaffner im Zug."
        )
        english[3], german[3] = f"Car {number} is green.", f"Wagen {number} ist grün."
        pages += [(f"https://a.com/en/{number}", build_page(english))]
        pages += [(f"https://a.com/de/{number}", build_page(german))]
    (tmp_path / "a.warc").write_bytes(build_warc(pages))
    labse.web_run([tmp_path / "a.warc"], tmp_path / "W", langs=["de", "en"], encoder=encoder)
    labse.web_bitext(
        tmp_path / "W/beads",
        tmp_path / "near.jsonl",
        min_similarity=0.7,
        encoder=encoder,
        work=tmp_path / "W/scores",
    )
    rows = [json.loads(line) for line in (tmp_path / "near.jsonl").read_text().splitlines()]
    tickets = [row for row in rows if "ticket" in row["target"]]
    assert len(tickets) == 1
    assert sorted(tickets[0]["source_urls"]) == ["https://a.com/de/0", "https://a.com/de/1"]


def test_vectors_of_scattered_pages_are_those_of_all(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    texts = [["A heading", f"This is page {number} of twenty."] for number in range(20)]
    pages = [(f"https://a.com/{number}", build_page(lines)) for number, lines in enumerate(texts)]
    (tmp_path / "a.warc").write_bytes(build_warc(pages))
    labse.web_pages([tmp_path / "a.warc"], tmp_path / "pages")
    tables = iter_groups([(path, None) for path in (tmp_path / "pages").glob("*.parquet")])
    groups = [("all", [page for table in tables for page in PageWriter.read(table)])]
    with open_stage(None, {}) as stage:
        arrays = write_page_arrays(tmp_path / "arrays", stage, groups, encoder)
    scattered = np.array([19, 0, 19])
    assert np.array_equal(arrays.vectors(scattered), arrays.vectors(np.arange(20))[scattered])
    assert arrays.vectors(scattered[:0]).shape == (0, 384)


def test_a_pair_of_numbers_alone_is_left_out_of_a_release(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    english, german = ([*texts, "5.1.4."] for texts in DOCUMENTS["train"])
    pages = [
        ("https://a.com/en/7", build_page(english)),
        ("https://a.com/de/7", build_page(german)),
    ]
    (tmp_path / "a.warc").write_bytes(build_warc(pages))
    done = labse.web_run([tmp_path / "a.warc"], tmp_path / "W", langs=["de", "en"], encoder=encoder)
    assert done.bitext.drops["no letter on a side"] == 1
    assert "5.1.4." not in (tmp_path / "W" / "bitext.tmx").read_text()


def test_a_site_without_one_of_the_languages_gives_an_empty_release(
    crawl: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    done = labse.web_run([crawl], tmp_path / "W", langs=["ja", "fr"], encoder=encoder)
    assert done.bitext.num_pairs == {}
    assert done.pairs.drops == {"language not asked for": 13}
    assert (tmp_path / "W" / "bitext.card.md").is_file()


def test_a_release_without_a_name_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot tell the format"):
        labse.web_bitext(tmp_path, "/")


def test_a_language_that_is_unknown_is_told_before_any_work(
    crawl: Path, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="unknown language 'xyzzy'"):
        labse.web_run([crawl], tmp_path / "W", langs=["de", "xyzzy"], encoder=encoder)
    assert not (tmp_path / "W").exists()
