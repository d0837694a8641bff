"""A model pruned by language cuts real text in the script of that language as before."""

import pytest
from tokenizers import Tokenizer

from labse.corpus.languages import find_language
from labse.encoder.check.sample import sample_languages
from labse.encoder.export.pieces import changed_tokens, pieces_of_langs, shrink_tokenizer
from labse.model_folder.folder import read_model_folder
from labse.model_folder.hub import locate_model

TEXTS = {
    "ja": ["時々人々は「ラーメン」を食べる。", "ﾗｰﾒﾝ々ヶ月〆切ゞ"],
    "uk": ["Пʼять обʼєктів, сім’я.", "10 µ і 5 м²"],
    "de": ["5 µ, 20 m², x³, 1ª, nº 2, ﬁnden", "ʻokina und ʼn"],
    "el": ["το ´α΄ και µέτρα"],
    "zh": ["人人々〇ㄅㄆㄇ"],
    "hi": ["हिन्दी ॐ १२³"],
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return read_model_folder(locate_model("default")).tokenizer


def test_text_in_the_script_of_the_language_keeps_its_tokens(tokenizer: Tokenizer) -> None:
    texts = {lang: [text for text in rows if text] for lang, rows in sample_languages().items()}
    one_of_each = {find_language(lang).script: lang for lang in texts}
    for lang in [*one_of_each.values(), *TEXTS]:
        small, _ = shrink_tokenizer(tokenizer, pieces_of_langs(tokenizer, [lang]))
        changed, num_tokens = changed_tokens(tokenizer, small, TEXTS.get(lang) or texts[lang])
        assert num_tokens > 0
        assert changed == 0, lang
