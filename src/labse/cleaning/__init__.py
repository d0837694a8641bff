"""Noisy records in, kept records out, with a reason for every drop.

Takes: shards of sentences or pairs.
Gives: scores of every row, the rows that bounds keep, counts of the rest by reason; no copies.
Source: LaBSE, arXiv 2007.01852, section 2; score first, then decide: OpusFilter, datatrove.
"""
