"""Raw text and bitext as records tagged with their language.

Takes: lines, Moses pairs, TSV, JSONL and Parquet files, plain, `.gz` or `.zst`.
Gives: a stream of `Sentence` or `SentencePair` records in constant memory, no row lost or shifted.
Source: docs/design.md; LaBSE's 109 languages from Feng et al., arXiv 2007.01852.
"""
