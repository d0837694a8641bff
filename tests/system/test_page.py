"""The page in a real browser: every tab is used as a person would, at two widths.

Needs Playwright and a Chromium, its own or the system's: `make browser` installs them. Without them
the tests are skipped. With LABSE_SCREENSHOTS=FOLDER the pictures of docs/serving.md are drawn.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.test_serving import serving

import labse
from labse import SentenceEncoder
from labse.encoder.check.sample import sample_languages
from labse.index.embedding_index import EmbeddingIndex
from labse.rating.calibration import fit_precision
from labse.rating.ratings import read_ratings

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright; make browser")
pytest.importorskip("qdrant_edge")
ROOT = Path(__file__).parents[2]
KEY = "a-key-of-more-than-sixteen"
LANGS = ("eng", "deu", "rus", "arb", "tur")
PAIRS = [
    ("Das ist ein Hund.", "That is a dog."),
    ("Es regnet seit drei Tagen.", "It has been raining for three days."),
    ("Wo ist der Bahnhof?", "Where is the station?"),
]
EVIL = "<img src=x onerror=alert(1)>"

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(240),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of texts in five languages, one of which looks like HTML."""
    folder = tmp_path_factory.mktemp("stores")
    rights = [(lang, text) for lang in LANGS for text in sample_languages()[lang]]
    texts = [*(text for pair in PAIRS for text in pair), f"مرحبا {EVIL}"]
    texts += [text for _, text in rights]
    langs = ["de", "en"] * 3 + ["ar"] + [lang for lang, _ in rights]
    encoder = SentenceEncoder.from_pretrained()
    with EmbeddingIndex.create(folder / "texts", encoder=encoder) as index:
        index.add(
            texts,
            ids=[f"t{number}" for number in range(len(texts))],
            langs=langs,
            metadata=[{"year": 2000 + number} for number in range(len(texts))],
        )
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    keys = folder / "keys.txt"
    keys.write_text(f"{KEY}\n")
    with serving("--stores", str(folder), "--api-key-file", str(keys)) as (_, port):
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as run:
        chromium = shutil.which("chromium") or run.chromium.executable_path
        if not Path(chromium).exists():
            pytest.skip("no Chromium is installed: make browser")
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[1200, 360])
def page(
    browser: "playwright.Browser", address: str, request: pytest.FixtureRequest
) -> Iterator["playwright.Page"]:
    """The page, with the key given; at the end nothing was wrong and nothing sticks out."""
    context = browser.new_context(viewport={"width": request.param, "height": 800})
    page = context.new_page()
    page.set_default_timeout(20_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda one: faults.append(one.text) if "Content Security" in one.text else 0)
    page.on("dialog", lambda one: faults.append("a script from data ran"))
    page.goto(address)
    page.fill("#key-input", KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-ready]")
    yield page
    assert faults == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def shoot(page: "playwright.Page", name: str) -> None:
    folder, viewport = os.environ.get("LABSE_SCREENSHOTS"), page.viewport_size
    if folder and viewport and viewport["width"] == 1200:
        page.screenshot(path=Path(folder) / f"serve-{name}.png", full_page=True)


def test_a_search_finds_across_languages_with_filters(page: "playwright.Page") -> None:
    page.fill("#search-query", "Where does the train stop? Wo ist der Bahnhof?")
    page.fill("#search-lang", "en")
    page.fill("#search-where", "year < 2007")
    page.click("#search-form button.primary")
    page.wait_for_selector("#search-hits li")
    assert page.locator("#search-hits li").count() == 3
    assert "Where is the station?" in page.locator("#search-hits li").first.inner_text()
    shoot(page, "search")

    page.fill("#search-where", "year <")
    page.click("#search-form button.primary")
    page.wait_for_selector("#panel-search > .alert:not([hidden])")
    assert page.locator("#search-hits li").count() == 0

    # Text of others is text, and runs from its own side.
    page.fill("#search-where", "")
    page.fill("#search-lang", "ar")
    page.fill("#search-query", f"مرحبا {EVIL}")
    page.click("#search-form button.primary")
    page.wait_for_selector("#search-hits li")
    first = page.locator("#search-hits li .text").first
    assert EVIL in first.inner_text()
    assert first.evaluate("one => getComputedStyle(one).direction") == "rtl"


def test_two_texts_are_mined_downloaded_and_rated(page: "playwright.Page", tmp_path: Path) -> None:
    page.click("#tab-mine")
    page.click("#mine-form button.primary")
    assert "The source is empty" in page.locator("#panel-mine > .alert").inner_text()
    page.fill("#mine-source", "\n".join(source for source, _ in PAIRS))
    page.fill("#mine-target", "\n".join([*(target for _, target in PAIRS[::-1]), EVIL]))
    page.select_option("#mine-margin", "absolute")
    page.click("#mine-form button.primary")
    page.wait_for_selector("#mine-table td")
    assert page.locator("#mine-table tbody tr").count() == 3
    shoot(page, "mine")

    # The files are those of the command.
    with page.expect_download() as saved:
        page.click("#save-tsv")
    saved.value.save_as(tmp_path / "pairs.tsv")
    rows = (tmp_path / "pairs.tsv").read_text("utf-8").split("\n")
    assert rows[0] == "margin_score\tsource\ttarget"
    assert rows[1].split("\t")[1:] == list(PAIRS[0])
    page.click("#save-tmx")
    assert "both languages" in page.locator("#panel-mine > .alert").inner_text()
    page.fill("#tmx-source", "de")
    page.fill("#tmx-target", "en")
    with page.expect_download() as saved:
        page.click("#save-tmx")
    assert saved.value.suggested_filename == "pairs.tmx"

    # In order, side by side.
    page.check('[value="align"]')
    page.fill("#mine-target", "\n".join(target for _, target in PAIRS))
    page.click("#mine-form button.primary")
    page.wait_for_selector("#mine-table tr:nth-child(3)")
    assert page.locator("#mine-table tbody tr").count() == 3
    page.click("#to-review")
    page.wait_for_selector("#review-work:not([hidden])")
    assert "Pair 1 of 3" in page.locator("#review-place").inner_text()


def test_pairs_are_rated_by_keyboard_and_calibrated(
    page: "playwright.Page", tmp_path: Path
) -> None:
    mined = tmp_path / "mined.tsv"
    pairs = (ROOT / "recipes/tiny/data/hidden.tsv").read_text("utf-8").splitlines()[:40]
    rows = [f"{1 + number / 50}\t{pair}" for number, pair in enumerate(pairs)]
    mined.write_text("\n".join(["margin_score\tsource\ttarget", *rows, ""]))
    page.click("#tab-review")
    page.set_input_files("#file-review", mined)
    page.wait_for_selector("#review-work:not([hidden])")
    for number in range(40):
        place = page.locator("#review-place").inner_text()
        assert f"Pair {number + 1} of 40" in place
        score = float(page.locator("#review-score").inner_text().split()[1])
        page.keyboard.press("g" if score >= 1.2 else "b")
        if number == 29:
            shoot(page, "review")
    page.keyboard.press("u")

    # The last pair is corrected before it is accepted.
    page.keyboard.press("e")
    page.fill("#edit-target", "A better target")
    page.click("#review-edit button.primary")
    page.keyboard.press("g")
    with page.expect_download() as saved:
        page.click("#save-rated")
    saved.value.save_as(tmp_path / "rated.tsv")
    ratings = read_ratings(tmp_path / "rated.tsv")
    assert len(ratings.scores) == 40
    page.wait_for_selector(f"#fact-good:text-is('{ratings.is_good.sum()}')")
    page.wait_for_selector("#fact-rated:text-is('40, 0 skipped')")
    bound = fit_precision(ratings, 0.8).min_score
    assert page.locator("#fact-bound").inner_text() == f"{bound:.4f}"
    with page.expect_download() as saved:
        page.click("#save-accepted")
    saved.value.save_as(tmp_path / "accepted.tsv")
    assert "\tA better target\n" in (tmp_path / "accepted.tsv").read_text()

    # What was rated is there again after a reload.
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.set_input_files("#file-review", mined)
    page.wait_for_selector("#review-work:not([hidden])")
    assert page.locator("#review-place").inner_text() == "All pairs are rated"


def test_cosines_a_store_and_the_model_are_shown(page: "playwright.Page") -> None:
    page.click("#tab-map")
    page.click("#heat-form button.primary")
    page.wait_for_selector("#heat td.best")
    assert page.locator("#heat td.best").count() == 3
    page.click("#cloud-form button.primary")
    page.wait_for_selector("#cloud circle")
    assert page.locator("#cloud circle").count() > 60
    page.focus("#cloud svg")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "Point at a dot" not in page.locator("#cloud-text").inner_text()
    shoot(page, "map")

    page.focus("#tab-map")
    page.keyboard.press("ArrowRight")
    page.fill("#lang-filter", "germ")
    assert "German" in page.locator("#lang-table tbody tr").first.inner_text()
    shoot(page, "model")


def test_contrasts_of_both_schemes_are_at_least_4_5() -> None:
    style = Path(labse.__file__).parent / "serving/page/style.css"
    schemes = [part.split("}")[0] for part in style.read_text().split(":root {")[1:]]
    for scheme in schemes:
        colours = dict(
            line.strip().rstrip(";").split(": ") for line in scheme.splitlines() if "#" in line
        )
        for ink, ground in (
            *(("--ink", name) for name in ("--paper", "--card", "--tint")),
            *(("--soft", name) for name in ("--paper", "--card")),
            *(("--accent", name) for name in ("--card", "--paper")),
            *(("--good", "--good-tint"), ("--bad", "--bad-tint"), ("--warn", "--warn-tint")),
            *(("--on-accent", "--accent"), ("--warn", "--card")),
        ):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        assert contrast(colours["--field"], colours["--card"]) >= 3


def contrast(one: str, other: str) -> float:
    """Returns the contrast of two colours, WCAG 2.1."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
