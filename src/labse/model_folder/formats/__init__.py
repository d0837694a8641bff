"""Models in the layouts of others, read as ours.

Takes: a folder of a plain BERT, or Google's TensorFlow checkpoint. Gives: weights, a tokenizer.
Source: transformers; tensorflow/models, official/nlp.
"""
