"""Vectors of whole files: shards, workers, and what is done already.

Takes: files and an encoder. Gives: `.npy` files of vectors, row for row, resumable.
Source: docs/encoding.md.
"""
