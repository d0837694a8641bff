"""How many document pairs of real web sites are found, and how many of those found are right.

    python benchmarks/web.py SITE.warc.gz --gold SITE.pages.tsv
    python benchmarks/web.py FOLDER --base-url URL --gold SITE.pages.tsv
    python benchmarks/web.py --news NEWS
    python benchmarks/web.py --made-up 10000

A site's gold is a table without header: address, language, document. Two pages are a pair if their
documents are equal and their languages differ. NEWS holds documents.parquet (site, lang, id, title,
text) and document_pairs.parquet (site, lang_a, lang_b, id_a, id_b): it becomes a site whose
addresses tell nothing. Prints precision, recall and time for all signals and for text alone.

Made-up pages are of one host, half German and half English, in 14 sentences of a few patterns each;
one document in ten stands in one language alone. Each stage is a process of its own, whose largest
memory and processor time are printed.
"""

import argparse
import csv
import gzip
import hashlib
import html
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
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
    parser.add_argument("--made-up", type=int, help="number of pages")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if arguments.made_up:
            measure_made_up(arguments.made_up, work, arguments.workers)
            return
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
    pages = []
    for row in rows:
        name = hashlib.md5(f"{row['lang']} {row['id']}".encode()).hexdigest()[:12]
        url = urls[row["lang"], row["id"]] = f"https://news.example.org/story/{name}"
        pages.append((url, row["title"] or "", [row["text"]]))
    write_warc(pages, out)
    pairs = {
        frozenset((urls[row["lang_a"], row["id_a"]], urls[row["lang_b"], row["id_b"]]))
        for row in pq.read_table(folder / "document_pairs.parquet").to_pylist()
    }
    return out, pairs, sorted({canonical_tag(row["lang"]) for row in rows})


def write_warc(pages: Iterable[tuple[str, str, list[str]]], out: Path) -> None:
    """Writes pages: address, heading and paragraphs of each."""
    with out.open("wb") as stream:
        for url, title, paragraphs in pages:
            body = "".join(f"<p>{html.escape(text)}</p>" for text in paragraphs)
            page = f"<html><body><h1>{html.escape(title)}</h1>{body}</body></html>".encode()
            http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
            head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
            head += "Content-Type: application/http; msgtype=response\r\n"
            head += f"Content-Length: {len(http)}\r\n\r\n"
            stream.write(gzip.compress(head.encode() + http + b"\r\n\r\n", 1))


# ---- made-up pages -----------------------------------------------------------------------------

MADE_UP = "https://www.example.com"
PARTS = [
    [
        ("The old bridge", "Die alte Brücke"), ("Our school", "Unsere Schule"),
        ("The town council", "Der Stadtrat"), ("A farmer", "Ein Bauer"),
        ("The museum", "Das Museum"), ("The new railway", "Die neue Eisenbahn"),
        ("The library", "Die Bibliothek"), ("A young doctor", "Eine junge Ärztin"),
        ("The fire brigade", "Die Feuerwehr"), ("The choir", "Der Chor"),
        ("The football club", "Der Fußballverein"), ("A baker", "Ein Bäcker"),
    ],
    [
        ("was praised", "wurde gelobt"), ("was shown to visitors", "wurde Gästen gezeigt"),
        ("received a letter", "bekam einen Brief"), ("bought a boat", "kaufte ein Boot"),
        ("lost the match", "verlor das Spiel"), ("was painted green", "wurde grün gestrichen"),
        ("asked for money", "bat um Geld"), ("planted trees", "pflanzte Bäume"),
        ("sold the garden", "verkaufte den Garten"), ("found a coin", "entdeckte eine Münze"),
        ("needed a new roof", "brauchte ein neues Dach"), ("sang all night", "sang bis zum Morgen"),
    ],
    [
        ("by the lake", "am See"), ("behind the church", "hinter der Kirche"),
        ("in the forest", "im Wald"), ("on the market square", "auf dem Marktplatz"),
        ("at the harbour", "am Hafen"), ("near the border", "nahe der Grenze"),
        ("in the mountains", "in den Bergen"), ("beside the mill", "neben der Mühle"),
        ("on the island", "auf der Insel"), ("in the capital", "in der Hauptstadt"),
        ("under the castle", "unter dem Schloss"), ("along the river", "entlang des Flusses"),
    ],
]  # fmt: skip


def measure_made_up(num_pages: int, work: Path, workers: int) -> None:
    """Prints what `labse web pages` and `labse web pairs` take for the pages of one host."""
    gold: Pairs = set()
    write_warc(make_pages(num_pages, gold), work / "site.warc.gz")
    pages, pairs = work / "pages", work / "pairs"
    crawl = [str(work / "site.warc.gz"), "--workers", str(workers)]
    for title, *command in (
        ["pages", *crawl, "--out", str(pages)],
        ["pairs", str(pages), "--langs", "de,en", "--out", str(pairs)],
    ):
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "labse", "web", title, *command])
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"labse web {title} ended with {os.waitstatus_to_exitcode(status)}")
        print(
            f"web {title}: {num_pages:,} pages, {usage.ru_maxrss / 1024:,.0f} MiB at most, "
            f"{usage.ru_utime + usage.ru_stime:.1f} s of processor time, "
            f"{time.perf_counter() - start:.1f} s",
            flush=True,
        )
    report("all signals", pairs, gold, time.perf_counter() - start)


def make_pages(num_pages: int, gold: Pairs) -> Iterable[tuple[str, str, list[str]]]:
    """Yields pages in pairs, and adds their addresses to the gold."""
    draws = random.Random(1)
    for number in range(num_pages // 2):
        text = [[draws.choice(part) for part in PARTS] for _ in range(14)]
        years = [draws.randrange(1000, 3000) for _ in text]
        urls = [f"{MADE_UP}/{lang}/page-{number}.html" for lang in ("en", "de")]
        if number % 10:
            gold.add(frozenset(urls))
        else:  # The German page is about something else.
            urls[1] = f"{MADE_UP}/de/nur-{number}.html"
        for side, (url, preposition) in enumerate(zip(urls, ("in", "im Jahr"), strict=True)):
            if side and not number % 10:
                text = [[draws.choice(part) for part in PARTS] for _ in text]
                years = [draws.randrange(1000, 3000) for _ in text]
            sentences = [
                f"{' '.join(words[side] for words in sentence)} {preposition} {year}."
                for sentence, year in zip(text, years, strict=True)
            ]
            yield url, sentences[0], sentences[1:]


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
            # Gold that is not complete judges only pairs of pages that it names.
            sides = row["source_urls"], row["target_urls"]
            counts["judged"] += not any(gold_pages.isdisjoint(urls) for urls in sides)
            missing -= same
    found = len(gold) - len(missing)
    print(
        f"{title}: {counts['pairs']:,} pairs, precision {counts['right'] / counts['pairs']:.3f} "
        f"(of pairs of pages that gold names {counts['right'] / counts['judged']:.3f}), "
        f"recall {found / len(gold):.3f} ({found:,} of {len(gold):,}), {seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
