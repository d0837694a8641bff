"""What every training run needs and nothing a stage knows.

Takes: parameters, steps, folders. Gives: optimizers, learning rates, checkpoints, metrics.
Source: docs/design.md; AdamW of Loshchilov and Hutter, arXiv 1711.05101.
"""
