"""A made-up site in German and English with the traps of real ones, as the bytes of a WARC file."""

from collections.abc import Iterable

# Each document in English and German, a sentence a paragraph.
DOCUMENTS = {
    "dog": (
        [
            "Our dog",
            "The dog sleeps under the kitchen table.",
            "He eats twice a day.",
            "On Sundays we walk to the lake with him.",
            "He is seven years old and afraid of cats.",
        ],
        [
            "Unser Hund",
            "Der Hund schläft unter dem Küchentisch.",
            "Er frisst zweimal am Tag.",
            "Sonntags gehen wir mit ihm zum See.",
            "Er ist sieben Jahre alt und hat Angst vor Katzen.",
        ],
    ),
    "train": (
        [
            "Trains",
            "The train to Berlin leaves at 8:15.",
            "Please show your ticket to the conductor.",
            "Bicycles cost five euros more.",
            "The restaurant is in coach 7.",
        ],
        [
            "Züge",
            "Der Zug nach Berlin fährt um 8:15 Uhr ab.",
            "Bitte zeigen Sie dem Schaffner Ihre Fahrkarte.",
            "Fahrräder kosten fünf Euro mehr.",
            "Das Restaurant ist in Wagen 7.",
        ],
    ),
    "weather": (
        [
            "The weather",
            "It has been raining for three days.",
            "Tomorrow the sun will shine again.",
            "In the mountains there is still snow.",
            "The wind comes from the north.",
        ],
        [
            "Das Wetter",
            "Es regnet seit drei Tagen.",
            "Morgen wird die Sonne wieder scheinen.",
            "In den Bergen liegt noch Schnee.",
            "Der Wind kommt aus Norden.",
        ],
    ),
    "bread": (
        [
            "How to bake bread",
            "Mix flour, water, salt and yeast.",
            "Let the dough rest for two hours.",
            "Bake it for fifty minutes in a hot oven.",
            "Fresh bread tastes best with butter.",
        ],
        [
            "Wie man Brot backt",
            "Mischen Sie Mehl, Wasser, Salz und Hefe.",
            "Lassen Sie den Teig zwei Stunden ruhen.",
            "Backen Sie ihn fünfzig Minuten im heißen Ofen.",
            "Frisches Brot schmeckt am besten mit Butter.",
        ],
    ),
    "school": (
        [
            "Our school",
            "The school was built in 1962.",
            "Four hundred children learn here.",
            "The library is open every afternoon.",
            "In summer there are six weeks of holidays.",
        ],
        [
            "Unsere Schule",
            "Die Schule wurde 1962 gebaut.",
            "Vierhundert Kinder lernen hier.",
            "Die Bibliothek ist jeden Nachmittag geöffnet.",
            "Im Sommer gibt es sechs Wochen Ferien.",
        ],
    ),
}
ENGLISH_ONLY = [
    "The history of our club",
    "The club was founded by nine fishermen.",
    "For many years it had no house of its own.",
    "Today it owns a boat and a small island.",
]


def build_page(lines: Iterable[str], *, lang: str = "", head: str = "") -> str:
    """Returns HTML: a menu that all pages share, a heading, paragraphs."""
    heading, *paragraphs = lines
    body = "".join(f"<p>{line}</p>" for line in paragraphs)
    start = f'<html lang="{lang}">' if lang else "<html>"
    menu = "<nav><a href=/>Example Ltd.</a></nav>"
    return f"<!doctype html>{start}<head>{head}</head><body>{menu}<h1>{heading}</h1>{body}</body>"


def build_warc(
    pages: Iterable[tuple[str, str | bytes]], *, content_type: str = "text/html; charset=utf-8"
) -> bytes:
    """Returns a WARC of pages: address and HTML of each."""
    records = []
    for url, html in pages:
        payload = html.encode() if isinstance(html, str) else html
        http = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode() + payload
        records.append(
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
            "WARC-Date: 2026-11-29T00:00:00Z\r\n"
            "Content-Type: application/http; msgtype=response\r\n"
            f"Content-Length: {len(http)}\r\n\r\n".encode()
            + http
            + b"\r\n\r\n"
        )
    return b"".join(records)


def build_site() -> list[tuple[str, str]]:
    """Returns five documents in both languages, and four pages that have no counterpart."""
    pages = []
    for name, (english, german) in DOCUMENTS.items():
        pages.append((f"https://www.example.com/en/{name}.html", build_page(english)))
        # The page says that it is English, as many do.
        pages.append((f"https://www.example.com/de/{name}.html", build_page(german, lang="en")))
    untranslated = build_page(ENGLISH_ONLY)
    pages.append(("https://www.example.com/en/history.html", untranslated))
    pages.append(("https://www.example.com/de/history.html", untranslated))  # Not German at all.
    pages.append(("https://www.example.com/en/dog.html?print=1", pages[0][1]))  # A copy.
    pages.append(("https://www.example.com/empty.html", "<html><body></body></html>"))
    return pages
