"""Runtimes: the same model on CTranslate2, NumPy or torch.

Takes: token ids, ragged. Gives: (B, D) float32 unit rows.
Source: OpenNMT/CTranslate2 `specs`; the parity tests hold them together.
"""
