"""The pieces of an uncased vocabulary as the normalizer of today leaves text, each once.

Use: python recipes/default/fold_vocab.py VOCAB_FOLDER OUT_FOLDER

A vocabulary that was learnt before a folding was added has pieces that no text is cut into any
more. Here they become what the text becomes; warm_start.py then carries the rows over.
"""

import sys
from pathlib import Path

from tokenizers.normalizers import Normalizer

from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file, write_json
from labse.files.text import read_lines
from labse.vocab.counts import build_normalizer
from labse.vocab.tokenizer import CONTINUATION, SPECIAL_TOKENS, save_vocabulary


def main() -> None:
    """Parses the arguments and writes the folder."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    vocab, out = map(Path, sys.argv[1:])
    pieces = list(read_lines(vocab / "vocab.txt"))
    normalizer = build_normalizer(uncased=True)
    folded = list(dict.fromkeys(fold_piece(piece, normalizer) for piece in pieces))
    kept = [piece for piece in folded if piece not in ("", CONTINUATION)]
    save_vocabulary(out, kept, uncased=True)

    # How it was learnt, which holds for both.
    manifest = read_json(vocab / MANIFEST_NAME)
    hashes = {path.name: sha256_file(path) for path in sorted(out.glob("*")) if path.is_file()}
    hashes.pop(MANIFEST_NAME, None)
    write_json(
        out / MANIFEST_NAME,
        {**manifest, "num_pieces": len(kept), "folded_from": manifest["files"], "files": hashes},
    )
    print(f"{out}: {len(kept):,} of {len(pieces):,} pieces")


def fold_piece(piece: str, normalizer: Normalizer) -> str:
    """Returns a piece as it is found in normal text."""
    if piece in SPECIAL_TOKENS:
        return piece
    head = CONTINUATION if piece.startswith(CONTINUATION) else ""
    return head + normalizer.normalize_str(piece.removeprefix(head)).strip()


if __name__ == "__main__":
    main()
