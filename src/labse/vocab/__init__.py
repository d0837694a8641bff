"""The vocabulary shared by all languages.

Takes: sentences. Gives: word counts, `vocab.txt` and `tokenizer.json`, and a tokenizer.
Source: Feng et al., arXiv 2007.01852: cased WordPiece, counts smoothed with exponent 0.3.
"""
