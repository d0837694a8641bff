"""The files of the page: complete, from this package alone, and without a way in for HTML."""

import re
from pathlib import Path

from tests.unit.serving.conftest import Call

import labse

PAGE = Path(labse.__file__).parent / "serving/page"


def test_every_file_of_the_page_is_served(call: Call) -> None:
    page = call("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    loaded = set(re.findall(r'"/page/([\w.]+)"', page.text))
    for path in PAGE.glob("*.js"):
        loaded.update(re.findall(r'from "/page/([\w.]+)"', path.read_text()))
    assert loaded | {"index.html"} == {path.name for path in PAGE.iterdir()}
    for name in loaded:
        assert call(f"/page/{name}").status_code == 200
    assert call("/page/%2e%2e/app.py").status_code == 404


def test_nothing_is_loaded_from_elsewhere_and_no_data_becomes_html() -> None:
    for path in PAGE.iterdir():
        text = path.read_text()
        addresses = set(re.findall(r"https?://[^\"'\s)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
        assert not re.search(r"\son\w+=|\sstyle=", text) or path.suffix != ".html"


def test_scripts_ask_for_elements_that_are_there() -> None:
    ids = set(re.findall(r'\bid="([\w-]+)"', (PAGE / "index.html").read_text()))
    offenders = [
        f"{path.name}: {name}"
        for path in PAGE.glob("*.js")
        for name in re.findall(r'\$\("([\w-]+)"\)', path.read_text())
        if name not in ids
    ]
    assert offenders == []


def test_the_page_names_the_languages_of_the_model(call: Call) -> None:
    languages = {one["language"]: one for one in call("/card").json()["languages"]}
    assert {one["verdict"] for one in languages.values()} <= {
        "good",
        "weak",
        "not usable",
        "not judged",
    }
    assert set(languages["Amharic"]["scores"]) == {"Tatoeba", "TICO-19"}
