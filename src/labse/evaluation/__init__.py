"""How well embeddings find translations.

Takes: an encoder and a public test set. Gives: scores, each with its signature.
Source: Feng et al. 2020 (arXiv 2007.01852), evaluation.
"""
