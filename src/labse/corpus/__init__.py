"""Raw text and bitext as records tagged with their language.

Takes: web archives, dumps of Wikipedia, lines, Moses pairs, TSV, JSONL, Parquet and TMX files.
Gives: a stream of records in constant memory, no row lost or shifted; files of the same formats.
Source: docs/design.md; LaBSE's 109 languages from Feng et al., arXiv 2007.01852.
"""
