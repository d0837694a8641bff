"""How many document pairs of real web sites are found, and how many of those found are right.

    python benchmarks/web.py SITE.warc.gz --gold SITE.pages.tsv
    python benchmarks/web.py FOLDER --base-url URL --gold SITE.pages.tsv
    python benchmarks/web.py --news NEWS

A site's gold is a table without header: address, language, document. Two pages are a pair if their
documents are equal and their languages differ. NEWS holds documents.parquet (site, lang, id, title,
text) and document_pairs.parquet (site, lang_a, lang_b, id_a, id_b): it becomes a site whose
addresses tell nothing. Prints precision, recall and time for all signals and for text alone.
"""

import argparse
import csv
import gzip
import hashlib
import html
import random
import tempfile
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pyarrow.parquet as pq

import labse
from labse.corpus.languages import canonical_tag
from labse.web.pair_records import read_rows

Pairs = set[frozenset[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("site", type=Path, nargs="?", help="WARC of a site, or folder of HTML")
    parser.add_argument("--base-url", help="address of the folder")
    parser.add_argument("--gold", type=Path, help="table of its pages")
    parser.add_argument("--news", type=Path, help="folder of documents and their pairs")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if arguments.news:
            site, gold, langs = write_news(arguments.news, work / "news.warc.gz")
            settings = {"text alone": ["text"]}
        else:
            site, (gold, langs) = arguments.site, read_gold(arguments.gold)
            settings = {"all signals": ["hreflang", "url", "text"], "text alone": ["text"]}
        start = time.perf_counter()
        pages = labse.web_pages(
            [site], work / "pages", base_url=arguments.base_url, workers=arguments.workers
        )
        seconds = time.perf_counter() - start
        print(f"{pages.num_pages:,} pages read in {seconds:.1f} s; languages {pages.langs}")
        for title, signals in settings.items():
            start = time.perf_counter()
            folder = work / title
            labse.web_pairs(work / "pages", folder, langs=langs, signals=signals)
            report(title, folder, gold, time.perf_counter() - start)


def read_gold(path: Path) -> tuple[Pairs, list[str]]:
    documents = defaultdict(list)
    for url, lang, document in csv.reader(path.open(encoding="utf-8"), delimiter="\t"):
        documents[document].append((url, canonical_tag(lang)))
    pairs = {
        frozenset((a, b))
        for pages in documents.values()
        for (a, lang), (b, other) in combinations(pages, 2)
        if lang != other
    }
    return pairs, sorted({lang for pages in documents.values() for _, lang in pages})


def write_news(folder: Path, out: Path) -> tuple[Path, Pairs, list[str]]:
    rows = pq.read_table(folder / "documents.parquet").to_pylist()
    random.Random(1).shuffle(rows)
    urls = {}
    with out.open("wb") as stream:
        for row in rows:
            name = hashlib.md5(f"{row['lang']} {row['id']}".encode()).hexdigest()[:12]
            url = urls[row["lang"], row["id"]] = f"https://news.example.org/story/{name}"
            title, text = html.escape(row["title"] or ""), html.escape(row["text"])
            page = f"<html><body><h1>{title}</h1><p>{text}</p></body></html>".encode()
            http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
            head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
            head += "Content-Type: application/http; msgtype=response\r\n"
            head += f"Content-Length: {len(http)}\r\n\r\n"
            stream.write(gzip.compress(head.encode() + http + b"\r\n\r\n"))
    pairs = {
        frozenset((urls[row["lang_a"], row["id_a"]], urls[row["lang_b"], row["id_b"]]))
        for row in pq.read_table(folder / "document_pairs.parquet").to_pylist()
    }
    return out, pairs, sorted({canonical_tag(row["lang"]) for row in rows})


def report(title: str, folder: Path, gold: Pairs, seconds: float) -> None:
    """Prints how many pairs are right, copies of a page counting as the page."""
    counts: Counter[str] = Counter()
    missing = set(gold)
    gold_pages = {url for pair in gold for url in pair}
    for path in sorted(folder.glob("part-*.parquet")):
        for row in read_rows(path):
            same = {frozenset((a, b)) for a in row["source_urls"] for b in row["target_urls"]}
            counts["pairs"] += 1
            counts["right"] += not same.isdisjoint(gold)
            # Gold that is not complete judges only pages that it names.
            counts["judged"] += not gold_pages.isdisjoint(
                {*row["source_urls"], *row["target_urls"]}
            )
            missing -= same
    found = len(gold) - len(missing)
    print(
        f"{title}: {counts['pairs']:,} pairs, precision {counts['right'] / counts['pairs']:.3f} "
        f"(of pairs with a page that gold names {counts['right'] / counts['judged']:.3f}), "
        f"recall {found / len(gold):.3f} ({found:,} of {len(gold):,}), {seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
