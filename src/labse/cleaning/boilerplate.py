"""Boilerplate and markup: what pages and programs put around their text.

Takes: texts. Gives: the share of each that stands in stock phrases, and the share that is markup.
Source: the navigation and footers of Common Crawl pages; the phrases are ours, in 22 languages.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.characters import HASH_FACTOR, TextBlock

__all__ = ["boilerplate_shares", "markup_shares"]

# Lower case. Phrases, not words: `cookies` alone may be on the table.
_PHRASES = """
all rights reserved|terms of use|terms of service|terms and conditions|privacy policy
cookie policy|uses cookies|use cookies|accept cookies|click here|read more|log in|sign up
sign in|subscribe to|powered by|enable javascript|lorem ipsum|skip to content|jump to navigation
add to cart|share on facebook|follow us|page not found|back to top|copyright ©|©
todos los derechos reservados|política de privacidad|iniciar sesión|leer más|haga clic aquí
tous droits réservés|politique de confidentialité|se connecter|lire la suite|cliquez ici
alle rechte vorbehalten|datenschutzerklärung|impressum|weiterlesen|klicken sie hier|nach oben
tutti i diritti riservati|informativa sulla privacy|leggi tutto|clicca qui|accedi
todos os direitos reservados|leia mais|clique aqui|iniciar sessão
alle rechten voorbehouden|privacybeleid|lees meer|klik hier
все права защищены|политика конфиденциальности|читать далее|нажмите здесь|войти
усі права захищені|читати далі|wszelkie prawa zastrzeżone|polityka prywatności|czytaj więcej
všechna práva vyhrazena|minden jog fenntartva|toate drepturile rezervate|med ensamrätt
tüm hakları saklıdır|gizlilik politikası|devamını oku|جميع الحقوق محفوظة|سياسة الخصوصية|اقرأ المزيد
تمامی حقوق محفوظ|כל הזכויות שמורות|सर्वाधिकार सुरक्षित|और पढ़ें|สงวนลิขสิทธิ์|อ่านต่อ
bản quyền|đọc thêm|hak cipta|selengkapnya|版权所有|版權所有|隐私政策|点击这里|阅读更多
無断転載|プライバシーポリシー|続きを読む|ログイン|저작권자|개인정보처리방침
"""
_NEEDLES = tuple(sorted({p.encode() for p in _PHRASES.strip().replace("\n", "|").split("|")}))
# A phrase is looked for where its first 8 bytes have the right 16 bits of hash; short ones by find.
_PREFIX = 8
_LONG = tuple(needle for needle in _NEEDLES if len(needle) >= _PREFIX)
_SHORT = tuple(needle for needle in _NEEDLES if len(needle) < _PREFIX)
# Tags, entities, placeholders of programs, addresses, wiki and template brackets.
_MARKUP = re.compile(
    r"</?[A-Za-z][^<>]{0,200}>|&(?:[A-Za-z]{2,8}|#\d{1,6}|#x[0-9A-Fa-f]{1,5});"
    r"|%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:l{0,2}[diuxsfgc]|\([A-Za-z_]\w*\)[sd])"
    r"|\$\{?\w+\}?|\{\{?[\w.:|$#/ -]{0,60}\}?\}|\[\[[^\[\]]{0,100}\]\]"
    r"|(?:https?|ftp)://\S+|\bwww\.\S+|\b[\w.+-]+@[\w-]+\.[\w.]+|\\[nt]"
)

# No markup is without one of these; the last place stands for all other characters.
_MARKUP_SIGNS = np.zeros(129, bool)
_MARKUP_SIGNS[list(b"<&%${[@\\/")] = True


def boilerplate_shares(texts: Sequence[str]) -> NDArray[np.float32]:
    """Returns (N,) the share of the bytes of each text that stand in a stock phrase, 1 at most."""
    joined = "\n".join([text.lower() for text in texts]).encode("utf-8", "surrogatepass")
    edges = np.flatnonzero(np.frombuffer(joined, np.uint8) == ord("\n"))
    starts = np.concatenate(([0], edges + 1))
    lengths = np.concatenate((edges, [len(joined)])) - starts
    covered = np.zeros(len(starts), np.float32)
    for place, length in _find_phrases(joined):
        covered[np.searchsorted(starts, place, side="right") - 1] += length
    shares: NDArray[np.float32] = np.minimum(covered / np.maximum(lengths, 1), 1)[: len(texts)]
    return shares.astype(np.float32)


def markup_shares(texts: Sequence[str], block: TextBlock) -> NDArray[np.float32]:
    """Returns (N,) the share of the characters of each text that are markup or addresses.

    Args:
        texts: N texts.
        block: the same texts as one array of characters.
    """
    shares = np.zeros(len(texts), np.float32)
    signs = _MARKUP_SIGNS[np.minimum(block.code_points, len(_MARKUP_SIGNS) - 1)]
    has_address = np.fromiter(("www." in text for text in texts), bool, len(texts))
    for row in np.flatnonzero(block.sum(signs).astype(bool) | has_address).tolist():
        num_covered = sum(map(len, _MARKUP.findall(texts[row])))
        shares[row] = num_covered / len(texts[row])
    return shares


def _find_phrases(joined: bytes) -> Iterator[tuple[int, int]]:
    """Yields place and length of every phrase."""
    for needle in _SHORT:
        place = joined.find(needle)
        while place >= 0:
            yield place, len(needle)
            place = joined.find(needle, place + 1)
    needles = _needles_by_hash()
    is_wanted = np.zeros(1 << 16, bool)
    is_wanted[list(needles)] = True
    for offset in range(_PREFIX):
        num_windows = (len(joined) - offset) // _PREFIX
        if num_windows <= 0:
            return
        hashes = _hash(np.frombuffer(joined, "<u8", num_windows, offset))
        windows = np.flatnonzero(is_wanted[hashes])
        for window, key in zip(windows.tolist(), hashes[windows].tolist(), strict=True):
            place = window * _PREFIX + offset
            for needle in needles[key]:
                if joined.startswith(needle, place):
                    yield place, len(needle)


@cache
def _needles_by_hash() -> dict[int, list[bytes]]:
    needles: dict[int, list[bytes]] = {}
    for needle in _LONG:
        (key,) = _hash(np.frombuffer(needle, "<u8", 1)).tolist()
        needles.setdefault(key, []).append(needle)
    return needles


def _hash(windows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (windows * HASH_FACTOR) >> np.uint64(48)
