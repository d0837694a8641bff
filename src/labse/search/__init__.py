"""Nearest neighbours among embeddings.

Takes: vectors. Gives: the k nearest by cosine, exactly.
Source: Johnson et al. 2017 (arXiv 1702.08734), exhaustive search.
"""
