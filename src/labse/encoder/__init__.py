"""Encoding: a model folder becomes a function from sentences to vectors, fast and without torch.

Takes: a model folder and sentences of any language. Gives: (N, D) float32 unit rows, in order.
Source: Feng et al., arXiv 2007.01852, section 2.1; the runtimes name theirs.
"""
