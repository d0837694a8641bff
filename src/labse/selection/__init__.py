"""Contrastive data selection: how far a pair is to be trusted, learnt from pairs that are.

Takes: trusted pairs and a pool. Gives: scores of pairs, each part a column.
Source: Wang et al. 2018 (arXiv 1809.00068), which the LaBSE paper cuts its bitext by.
"""
