"""A number is a value in the notation of its language; another value is a mismatch."""

import pytest

from labse.cleaning.numbers import number_mismatch
from labse.cleaning.pair_scores import flag_pair

SAME = [
    # Dates.
    ("Paris, 30 October 2007", "Paris, 30.10.2007"),
    ("on October 30th, 2007", "am 30. Oktober 2007"),
    ("2007-10-30", "30 октября 2007 г."),
    ("30 October 2007", "2007. gada 30. oktobris"),
    ("30 October 2007", "2007. október 30."),
    ("30 October 2007", "2007年10月30日"),
    ("30 October 2007", "2007년 10월 30일"),
    ("30 October 2007", "٣٠ أكتوبر ٢٠٠٧"),
    ("30 October 2007", "३० अक्तूबर २००७"),
    ("30 October 2007", "30 ב-אוקטובר 2007"),
    ("30 October 2007", "30 ตุลาคม 2550"),  # Years of Buddha.
    ("30 October 2007", "ngày 30 tháng 10 năm 2007"),
    ("30 October 2007", "30. lokakuuta 2007"),
    ("30 October 2007", "30 xxxxxxx 2007"),  # A month of a language without a table.
    ("2024-05-03", "3.5.2024"),
    ("2024-05-03", "3. 5. 2024"),
    ("3/5/2024", "5.3.2024"),  # The month may come first.
    ("3/5/2024", "3.5.2024"),
    ("10/30/07", "30.10.2007"),
    ("by 30 October", "bis zum 30.10."),
    ("in October 2007", "im Oktober 2007"),
    ("October 2007", "10/2007"),
    # Times.
    ("at 19:30", "um 19.30 Uhr"),
    ("at 7.30 pm", "um 19:30 Uhr"),
    ("at 7:30 p.m.", "à 19h30"),
    ("at 7 pm", "um 19 Uhr"),
    ("at 12:05 a.m.", "um 0:05 Uhr"),
    ("at 19:30", "19 時 30 分に"),
    ("at 7:30 pm", "下午7:30"),
    ("19:00", "19 Uhr"),
    ("John 3:16", "Johannes 3,16"),
    # Values.
    ("1,000.50", "1.000,50"),
    ("1,000.50", "1 000,50"),
    ("1,000.50", "1\u00a0000,50"),
    ("1,000.50", "1'000.50"),
    ("100,000 people", "1,00,000 लोग"),
    ("12,345,678", "1,23,45,678"),
    ("1,234.5", "١٬٢٣٤٫٥"),
    ("2.125", "٢٫١٢٥"),
    ("0.5 mg", "๐.๕ มก."),
    ("12,500", "\uff11\uff12\uff0c\uff15\uff10\uff10"),
    ("0.5 mg", "0,50 mg"),
    ("1½ cups", "1,5 Tassen"),
    (".5 and 3 of 8", "0,5 und 3 von 8"),
    ("62,000 men", "62٫000 باقاعدہ"),
    ("at 14:30", "ከ14፡30"),
    ("10 000 men", "10.000 Mann"),
    # As they are written, whatever they are.
    ("50 %", "50%"),
    ("the 1st", "der 1."),
    ("5-10 days", "5–10 Tage"),
    ("5-10 days", "5 bis 10 Tage"),
    ("+49 30 123456", "+49 30 123456"),
    ("version 1.2.3", "Version 1.2.3"),
    ("3/4 of 20", "3/4 von 20"),
]
OTHER = [
    ("Take 0.5 mg.", "Nehmen Sie 5 mg."),
    ("Take 0.05 mg.", "Nehmen Sie 0,5 mg."),
    ("1.5 g", "1,500 g"),
    ("1.000 kg", "1 kg"),
    ("since 1990", "seit 1991"),
    ("2024-05-03", "2024-03-05"),
    ("3 May 2024", "5.3.2024"),
    ("30 October 2007", "30. November 2007"),
    ("30 October 2007", "30.10.2008"),
    ("at 7:30 am", "um 19:30 Uhr"),
    ("at 19:30", "um 19.45 Uhr"),
    ("1,000 men", "10 000 Mann"),
    ("1,00,000", "10,000"),
    ("٣٠ أكتوبر ٢٠٠٧", "31 October 2007"),
]


@pytest.mark.parametrize(("source", "target"), SAME)
def test_one_value_in_two_notations_is_no_mismatch(source: str, target: str) -> None:
    assert number_mismatch(source, target) == number_mismatch(target, source) == 0


@pytest.mark.parametrize(("source", "target"), OTHER)
def test_another_value_is_a_mismatch(source: str, target: str) -> None:
    assert number_mismatch(source, target) == number_mismatch(target, source) > 0


def test_a_tenfold_dose_has_a_flag_and_a_date_in_other_words_has_none() -> None:
    assert flag_pair("Take 0.5 mg per day.", "Nehmen Sie 5 mg am Tag.") == ("number",)
    assert flag_pair("Signed on 30 October 2007.", "Unterzeichnet am 30.10.2007.") == ()


def test_words_that_are_also_months_make_no_date() -> None:
    source, target = "$1 may not be less than $2.", "$1 kan ikke være mindre enn $2."
    assert number_mismatch(source, target) == 0
    source, target = "5 levels of each of the 28 kits", "cinq niveaux de chacun des 28 éléments"
    assert number_mismatch(source, target) == 0
