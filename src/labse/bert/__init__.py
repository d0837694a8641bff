"""The BERT encoder: architecture only, no task.

Takes: token ids. Gives: hidden states. Source: Devlin et al., arXiv 1810.04805.
"""
