"""The warning about texts in a language that the model is not usable for."""

from pathlib import Path

import pytest

from labse.encoder.language_notice import LanguageNotice

SOMALI = [
    f"Waxaan jeclahay inaan akhriyo buugaagta maalin kasta oo aan fasax ahay, {number} jeer."
    for number in range(40)
]
ENGLISH = [f"I like to read books on each of my free days, {number} times." for number in range(40)]


@pytest.fixture
def notice(tmp_path: Path) -> LanguageNotice:
    (tmp_path / "languages.tsv").write_text(
        "lang\tname\tpairs\tTatoeba\tTICO-19\tverdict\n"
        "som\tSomali\t18568\t\t0.261\tnot usable\n"
        "eng\tEnglish\t1\t0.9\t\tgood\n"
    )
    return LanguageNotice(tmp_path)


def test_it_comes_once(notice: LanguageNotice, caplog: pytest.LogCaptureFixture) -> None:
    assert list(notice.watch(iter(SOMALI))) == SOMALI
    assert "Somali, where this model found only 26 of 100" in caplog.text
    caplog.clear()
    assert list(notice.watch(SOMALI)) == SOMALI
    assert not caplog.records


def test_it_comes_for_the_second_side_too(
    notice: LanguageNotice, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(notice.watch(ENGLISH)) == ENGLISH
    assert not caplog.records
    notice.watch(SOMALI)
    assert "Somali" in caplog.text


@pytest.mark.parametrize("texts", [SOMALI[:10], ["waa"] * 40, SOMALI[:20] + ENGLISH[:20]])
def test_few_short_or_mixed_texts_tell_nothing(
    notice: LanguageNotice, caplog: pytest.LogCaptureFixture, texts: list[str]
) -> None:
    assert list(notice.watch(texts)) == texts
    assert not caplog.records


def test_without_pycld2_there_is_none(
    notice: LanguageNotice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("labse.encoder.language_notice.has_module", lambda _: False)
    again = LanguageNotice(notice._folder)
    assert list(again.watch(SOMALI)) == SOMALI
    assert not caplog.records
