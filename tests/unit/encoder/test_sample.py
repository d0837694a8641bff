import pytest

from labse.encoder.check.sample import sample_languages, sample_sentences


def test_every_language_has_the_same_paragraphs() -> None:
    languages = sample_languages()
    assert len(languages) == 25
    assert {len(texts) for texts in languages.values()} == {32}
    assert (
        languages["deu"][1] == "Jeder hat das Recht auf Leben, Freiheit und Sicherheit der Person."
    )
    languages["deu"].clear()
    assert sample_languages()["deu"]


@pytest.mark.parametrize("num_sentences", [0, 8, 50])
def test_sentences_are_of_many_languages_and_distinct(num_sentences: int) -> None:
    sentences = sample_sentences(num_sentences)
    assert len(set(sentences)) == len(sentences) == num_sentences
