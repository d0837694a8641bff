"""Pairs of translations on their way to a batch.

Takes: files of pairs, a tokenizer. Gives: tokenised pairs on disk, and batches drawn from them.
Source: Feng et al., arXiv 2007.01852, section 3.
"""
