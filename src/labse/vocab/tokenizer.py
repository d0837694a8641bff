"""The tokenizer: BERT's, cased or not, on our vocabulary.

Takes: a vocabulary. Gives: a `tokenizers.Tokenizer` and the files that Hugging Face loads.
Source: BERT's FullTokenizer; transformers `BertTokenizerFast`, whose ids ours equal.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.processors import TemplateProcessing

from labse.errors import LabseError, is_panic
from labse.files.atomic import read_json, write_atomic, write_json
from labse.files.text import read_lines, read_whole
from labse.vocab.counts import build_normalizer, build_splitter

__all__ = [
    "CONTINUATION",
    "MAX_WORD_CHARS",
    "SPECIAL_TOKENS",
    "build_tokenizer",
    "load_equal_files",
    "load_tokenizer",
    "load_tokenizer_file",
    "save_vocabulary",
]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"  # Marks a piece that does not begin its word.
MAX_WORD_CHARS = 1000  # BERT: 100, see `build_tokenizer`.

_VOCAB_NAME = "vocab.txt"
_TOKENIZER_NAME = "tokenizer.json"
_ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def build_tokenizer(
    vocab: Sequence[str], *, max_word_chars: int = MAX_WORD_CHARS, uncased: bool = False
) -> Tokenizer:
    """Builds the tokenizer whose ids are the places in `vocab`.

    Args:
        vocab: the pieces; the five special tokens stand anywhere among them.
        max_word_chars: a longer word becomes [UNK]. BERT's limit of 100 loses most of Thai, Lao,
            Khmer and Burmese, whose phrases have no spaces. Google's LaBSE weights need 100.
        uncased: text is folded first, see `labse.vocab.counts.build_normalizer`.

    Raises:
        LabseError: a special token is missing, or a piece is empty, doubled or holds a line end.
    """
    _check_pieces(vocab, where="the vocabulary")
    ids = {piece: number for number, piece in enumerate(vocab)}
    tokenizer = Tokenizer(
        WordPiece(
            vocab=ids,
            unk_token="[UNK]",
            max_input_chars_per_word=max_word_chars,
            continuing_subword_prefix=CONTINUATION,
        )
    )
    tokenizer.normalizer = build_normalizer(uncased=uncased)
    tokenizer.pre_tokenizer = build_splitter()
    # Cleaning up turns "do not" into "don't"; without it, decoded text has the same ids again.
    tokenizer.decoder = WordPieceDecoder(prefix=CONTINUATION, cleanup=False)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def save_vocabulary(
    folder: str | Path,
    vocab: Sequence[str],
    *,
    max_word_chars: int = MAX_WORD_CHARS,
    uncased: bool = False,
) -> None:
    """Writes `vocab.txt`, `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`.

    transformers' `AutoTokenizer` gives our ids. The class it is told is the general one, because
    `BertTokenizerFast` of transformers 5 builds itself anew from the pieces with the limit of 100
    characters a word; on shorter words its ids are the same.

    Raises:
        LabseError: see `build_tokenizer`.
        ResourceError: the folder cannot be written.
    """
    folder = Path(folder)
    tokenizer = build_tokenizer(vocab, max_word_chars=max_word_chars, uncased=uncased)
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomic(folder / _VOCAB_NAME) as stream:
        stream.write("".join(f"{piece}\n" for piece in vocab).encode())
    with write_atomic(folder / _TOKENIZER_NAME) as stream:
        stream.write(tokenizer.to_str(pretty=True).encode())

    roles = dict(zip(_ROLES, SPECIAL_TOKENS, strict=True))
    write_json(folder / "special_tokens_map.json", roles)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "do_lower_case": uncased,
            "strip_accents": False,
            "tokenize_chinese_chars": True,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            **roles,
        },
    )


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Loads `tokenizer.json` and checks it against `vocab.txt`.

    Truncation and padding that the file may ask for are taken off: they are the caller's.

    Raises:
        LabseError: a file is missing or broken, a special token is missing, ids have gaps, or the
            two files disagree.
    """
    path = Path(folder) / _TOKENIZER_NAME
    read_json(path)  # Its errors name the file and what is wrong.
    tokenizer = load_tokenizer_file(path)
    pieces = _pieces_by_id(tokenizer.get_vocab(with_added_tokens=True), where=str(path))
    _check_pieces(pieces, where=str(path))
    vocab_path = Path(folder) / _VOCAB_NAME
    _check_same(pieces, list(read_lines(vocab_path)), path=path, vocab_path=vocab_path)
    return tokenizer


def load_tokenizer_file(path: str | Path) -> Tokenizer:
    """Loads a `tokenizer.json` as it is, without the truncation and padding that it may ask for.

    Raises:
        LabseError: it is not there, or broken.
    """
    content = read_whole(path)  # The library opens no path that is not UTF-8.
    try:
        tokenizer = Tokenizer.from_buffer(content)
        tokenizer.encode("")  # A part of it that names what is not there fails only then.
    except BaseException as error:  # tokenizers raises nothing narrower, and panics.
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise LabseError(f"{path}: not a tokenizer: {error}; write the folder again") from None
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown is not None and tokenizer.token_to_id(unknown) is None:
        raise LabseError(
            f"{path}: no piece is {unknown!r}, which stands for what is unknown; "
            "write the folder again"
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def load_equal_files(folder: str | Path) -> tuple[Tokenizer, int] | None:
    """Loads a tokenizer of ours whose two files are known to have the same pieces.

    The pieces come from `vocab.txt` and the rest from `tokenizer.json`, in less than half the time
    that the library takes for the pieces of the latter; and the lines say what ids there are,
    which else takes a list of all: 0.95 s and 0.4 s for 280,000 pieces (2026-11-30).

    Returns:
        The tokenizer, and the number above all its ids; None for files of another shape, of which
        nothing is said.
    """
    head, _, rest = _read_bytes(Path(folder) / _TOKENIZER_NAME).partition(b'"vocab":{')
    lines = _read_bytes(Path(folder) / _VOCAB_NAME)
    try:
        stated = json.loads(head + b'"vocab":{}}}')
        model, added = stated["model"], stated["added_tokens"]
        # Added tokens keep the ids that they have in the model that is there when they are read.
        model["vocab"] = {token["content"]: token["id"] for token in added}
        num_pieces = lines.count(b"\n")
        # The library writes pieces in the order of their ids, and nothing behind them.
        if not rest.endswith(b":%d}}}" % (num_pieces - 1)) or model["type"] != "WordPiece":
            return None
        if re.search(r"\s\n", lines.decode()):  # White space that it takes off a line.
            return None
        tokenizer = Tokenizer.from_str(json.dumps(stated))
        tokenizer.model = WordPiece.from_file(
            str(Path(folder) / _VOCAB_NAME),
            unk_token=model["unk_token"],
            max_input_chars_per_word=model["max_input_chars_per_word"],
            continuing_subword_prefix=model["continuing_subword_prefix"],
        )
        tokenizer.encode("")
    except BaseException as error:  # tokenizers raises nothing narrower, and panics.
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        return None

    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = {token["content"]: tokenizer.model.token_to_id(token["content"]) for token in added}
    is_same = tokenizer.get_vocab_size() == num_pieces and ids == model["vocab"]
    is_same = is_same and tokenizer.token_to_id(model["unk_token"]) is not None
    return (tokenizer, num_pieces) if is_same else None


def _read_bytes(path: Path) -> bytes:
    with contextlib.suppress(LabseError):
        return read_whole(path)
    return b""


def _pieces_by_id(ids: Mapping[str, int], *, where: str) -> list[str]:
    pieces = sorted(ids, key=lambda piece: (ids[piece], piece))
    for number, piece in enumerate(pieces):
        if ids[piece] != number:
            raise LabseError(
                f"{where}: ids are not 0, 1, 2, ...: {piece!r} has {ids[piece]} in place of "
                f"{number}; write the folder again"
            )
    return pieces


def _check_pieces(pieces: Sequence[str], *, where: str) -> None:
    lines: dict[str, int] = {}
    for line, piece in enumerate(pieces, start=1):
        if not piece or "\n" in piece or "\r" in piece:
            raise LabseError(f"{where}: piece {line} is {piece!r}, empty or more than one line")
        if piece in lines:
            raise LabseError(
                f"{where}: {piece!r} is there twice, as pieces {lines[piece]} and {line}"
            )
        lines[piece] = line
    if missing := [token for token in SPECIAL_TOKENS if token not in lines]:
        raise LabseError(
            f"{where}: no special token {', '.join(missing)}; learn it with `labse vocab`"
        )


def _check_same(pieces: list[str], lines: list[str], *, path: Path, vocab_path: Path) -> None:
    if len(pieces) != len(lines):
        raise LabseError(
            f"{vocab_path} has {len(lines)} entries, {path.name} has {len(pieces)}; "
            "both must come from one run of `labse vocab`"
        )
    for number, (piece, line) in enumerate(zip(pieces, lines, strict=True), start=1):
        if piece != line:
            raise LabseError(
                f"{vocab_path}, line {number}: {line!r}, but {path.name} has {piece!r}; "
                "both must come from one run of `labse vocab`"
            )
