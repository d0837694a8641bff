import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.corpus.languages import Language, all_languages, canonical_tag, find_language
from labse.errors import UsageError


def words(text: str) -> list[str]:
    return text.split()


# LaBSE, arXiv 2007.01852, table of the supported languages.
PAPER = words("""
af am ar as az be bg bn bo bs ca ceb co cs cy da de el en eo es et eu fa fi fr fy ga gd
gl gu ha haw he hi hmn hr ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk
ml mn mr ms mt my ne nl no ny or pa pl pt ro ru rw si sk sl sm sn so sq sr st su sv sw ta te tg th
tk tl tr tt ug uk ur uz vi wo xh yi yo zh zu""")
# The test sets of LASER (facebookresearch/LASER, data/tatoeba/v1).
TATOEBA = words("""
afr amh ang ara arq arz ast awa aze bel ben ber bos bre bul cat cbk ceb ces cha cmn cor
csb cym dan deu dsb dtp ell epo est eus fao fin fra fry gla gle glg gsw heb hin hrv hsb hun hye ido
ile ina ind isl ita jav jpn kab kat kaz khm kor kur kzj lat lfn lit lvs mal mar max mhr mkd mon nds
nld nno nob nov oci orv pam pes pms pol por ron rus slk slv spa sqi srp swe swg swh tam tat tel tgl
tha tuk tur tzl uig ukr urd uzb vie war wuu xho yid yue zsm""")
TICO19 = words("""
am ar bn ckb eng es_LA fa fr ha hi id km ku lg ln mr ms my ne om ps pt_BR ru rw so sw ta
ti tl ur zh zu""")
ISO639_1 = words("""
aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv
cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy
hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln
lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl
ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl
tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu""")


@pytest.mark.parametrize(
    ("codes", "tag"),
    [
        ("deu de ger DE de-DE de_AT deu_Latn German german de-1996", "deu"),
        ("zho zh chi cmn zh-CN zh_Hans zho-Hans cmn_Hans zh-Hans-SG Chinese Mandarin", "zho"),
        (
            "zh-TW zh_TW zh-Hant zho-Hant cmn-Hant zho_Hant zh-HK zh-MO zh-Hant-HK ZH-hant",
            "zho-Hant",
        ),
        ("sr srp scc sr-Cyrl srp_Cyrl sr-RS Serbian sr@cyrillic", "srp"),
        ("sr-Latn srp-Latn sr_Latn_RS sr@latin", "srp-Latn"),
        ("pt por pt_BR pt-BR pt-PT Portuguese", "por"),
        ("no nb nob nor nb_NO no-NO", "nob"),
        ("nn nno nn_NO", "nno"),
        ("ku kur kmr ku-TR Kurdish kmr_Latn", "kmr"),
        ("fa fas per pes pes_Arab Farsi Persian", "fas"),
        ("sw swa swh", "swa"),
        ("et est ekk", "est"),
        ("az aze azj az-Latn", "aze"),
        ("ms msa may zsm", "msa"),
        ("lv lav lvs", "lav"),
        ("ar ara arb", "ara"),
        ("he heb iw", "heb"),
        ("yi yid ji ydd", "yid"),
        ("tl tgl fil fil-PH Tagalog Filipino", "tgl"),
        ("el ell gre Greek", "ell"),
        ("mi mri mao Māori Maori", "mri"),
        ("tok toki", "tok"),
        ("ace ace-Latn", "ace"),
        ("kas ks kas-Arab", "kas"),
        ("kas-Deva ks_Deva", "kas-Deva"),
        ("ca ca@valencia ca-ES-valencia cat", "cat"),
        ("be-Latn bel-Latn be@latin", "bel-Latn"),
        ("uz-Cyrl uzb_Cyrl uz@cyrillic", "uzb-Cyrl"),
        ("es es-419 es_LA", "spa"),
        ("yue zh-yue", "yue"),
        ("ber", "ber"),
        ("und", "und"),
        ("ga", "gle"),
        ("ja-JP-x-lvariant-JP jp ja-u-ca-japanese ja-Jpan-JP ja_JP.eucJP", "jpn"),
        ("zh-Hans-CN-u-co-pinyin zh-CHS zho-CHN cn zh-cmn-Hans-CN", "zho"),
        ("zh-CHT zh-TWN zh_TW.Big5 zh_HK.UTF-8 zh-Hant-u-nu-hanidec", "zho-Hant"),
        ("sl-rozaj sl-rozaj-biske-1994 sl-nedis", "slv"),
        ("en_US.UTF-8 en_US_POSIX en-GB-oxendict en-t-ja", "eng"),
        ("es-ES_tradnl es_ES@euro es-419-u-sd-mxbcn", "spa"),
        ("sr_RS@latin sr_RS.UTF-8@latin sr-Latn-CS sr-SP-Latn", "srp-Latn"),
        ("az-AZ-Cyrl az-Cyrl-AZ", "aze-Cyrl"),
        ("apd", "apd"),
        ("zap", "zap"),
        ("nhe", "nhe"),
    ],
)
def test_every_way_to_write_a_language_has_one_tag(codes: str, tag: str) -> None:
    assert {code: canonical_tag(code) for code in codes.split()} == dict.fromkeys(
        codes.split(), tag
    )


@pytest.mark.parametrize(
    "name", ["Traditional Chinese", "chinese (traditional)", " Haitian Creole "]
)
def test_names_of_several_words_are_found(name: str) -> None:
    assert canonical_tag(name) in ("zho-Hant", "hat")


def test_the_table_has_sound_rows() -> None:
    languages = all_languages()
    tags = [language.tag for language in languages]
    assert tags == sorted(set(tags))
    assert len({language.name for language in languages}) == len(languages)
    for language in languages:
        assert find_language(language.tag) == language
        assert len(language.script) == 4
        assert language.name
        base, _, script = language.tag.partition("-")
        assert script in ("", language.script)
        assert len(base) == 3


def test_names_find_their_language_unless_they_are_the_code_of_another() -> None:
    assert [canonical_tag(name) for name in ("Fur", "Ga", "Ho", "Mon")] == words("fur gle hmo mon")
    for language in all_languages():
        if not 2 <= len(language.name) <= 4:
            assert canonical_tag(language.name) == language.tag


def test_exactly_the_languages_of_the_paper_are_marked() -> None:
    marked = {language.tag for language in all_languages() if language.in_paper}
    assert marked == {canonical_tag(code) for code in PAPER}
    assert len(marked) == len(PAPER) == 109


def test_the_test_sets_and_all_two_letter_codes_are_known() -> None:
    assert len({canonical_tag(code) for code in TATOEBA}) == 112
    assert len({canonical_tag(code) for code in TICO19}) == 32
    # `no` and `nb` are one language here.
    assert len({canonical_tag(code) for code in ISO639_1}) == len(ISO639_1) - 1 == 182


def test_a_language_carries_its_code_name_and_script() -> None:
    assert find_language("ja") == Language("jpn", "Japanese", "Jpan", "ja", in_paper=True)
    assert find_language("zh_TW") == Language(
        "zho-Hant", "Chinese (Traditional)", "Hant", "zh", in_paper=False
    )
    assert find_language("ang") == Language("ang", "Old English", "Latn", None, in_paper=False)


def test_a_known_language_in_another_known_script_gets_its_own_tag() -> None:
    assert find_language("ru-Latn") == Language(
        "rus-Latn", "Russian (Latn)", "Latn", "ru", in_paper=False
    )
    assert canonical_tag("rus-Latn") == "rus-Latn"


def test_private_codes_are_for_languages_without_a_code() -> None:
    assert [canonical_tag(code) for code in ("qaa", "QTZ", "qab-Latn")] == [
        "qaa",
        "qtz",
        "qab-Latn",
    ]
    with pytest.raises(UsageError):
        canonical_tag("qzz")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("Germn", r"unknown language 'Germn'; did you mean 'deu' \(German\)\?"),
        ("zho-Hantt", r"did you mean 'zho-Hant'"),
        ("", r"unknown language ''; give an ISO 639 code such as deu, or qaa to qtz"),
        ("zzzzzzzz", r"unknown language 'zzzzzzzz'"),
        ("sr-Latx", r"unknown language 'sr-Latx'"),
        ("x-mine", r"unknown language 'x-mine'"),
        ("de-x", r"unknown language 'de-x'"),
        ("de-", r"unknown language 'de-'"),
        ("../etc", r"unknown language '\.\./etc'"),
        ("de\n", None),
        ("\ud800", r"unknown language '\\ud800'"),
    ],
)
def test_an_unknown_code_names_the_nearest(code: str, message: str | None) -> None:
    if message is None:  # White space around a code is no mistake.
        assert canonical_tag(code) == "deu"
        return
    with pytest.raises(UsageError, match=message):
        canonical_tag(code)


codes = st.sampled_from(
    [*PAPER, *TATOEBA, *TICO19, *ISO639_1, *(language.tag for language in all_languages())]
)
scripts = st.sampled_from(["", *sorted({"-" + language.script for language in all_languages()})])
regions = st.sampled_from(["", "-TW", "_br", "-419", "-valencia"])


@given(code=codes, script=scripts, region=regions, upper=st.booleans())
def test_a_canonical_tag_is_its_own_tag(code: str, script: str, region: str, upper: bool) -> None:
    lang = code.replace("_", "-").partition("-")[0]
    written = lang + script + region if script or region else code
    if script == "-Zyyy":  # "Undetermined" is no script that a text is written in.
        return
    tag = canonical_tag(written.upper() if upper else written)
    assert canonical_tag(tag) == tag
    assert canonical_tag(tag.replace("-", "_").lower()) == tag
    assert find_language(tag) == find_language(written)


@given(st.text(max_size=12))
def test_any_text_is_a_language_or_a_usage_error(code: str) -> None:
    try:
        tag = canonical_tag(code)
    except UsageError:
        return
    assert canonical_tag(tag) == tag


def test_the_table_is_not_read_at_import() -> None:
    check = (
        "import labse.corpus.languages as l, labse.corpus.readers, sys; "
        "assert l._table.cache_info().currsize == 0; "
        "assert not {'torch', 'pyarrow', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
