"""The model folder: a dual encoder at rest, without torch.

Takes: a path or a name. Gives: configuration, weights, tokenizer, all checked; or writes them.
Source: sentence-transformers' folder layout; Hugging Face's `BertModel`.
"""
