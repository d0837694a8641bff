"""The network: BERT and the dual encoder on it; architecture only, no task.

Takes: token ids. Gives: hidden states, or unit sentence vectors.
Source: Devlin et al., arXiv 1810.04805; Feng et al., arXiv 2007.01852, section 2.
"""
