"""Word rows that training sees as they will be stored."""

import numpy as np
import torch

from labse.dual_encoder.rounded_rows import round_rows, set_rounding
from labse.model_folder.int4 import pack_rows
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.dual_encoder import DualEncoder, embed_bags


def test_rounded_rows_are_those_that_are_stored() -> None:
    rows = torch.randn(50, 384, generator=torch.Generator().manual_seed(1))
    rows[3] = 0
    stored = pack_rows(rows.numpy()).dequantize()
    np.testing.assert_allclose(round_rows(rows).numpy(), stored, rtol=1e-6, atol=1e-7)


def test_the_gradient_is_that_of_rows_that_are_not_rounded() -> None:
    rows = torch.randn(5, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    factors = torch.arange(40.0).view(5, 8)
    (round_rows(rows) * factors).sum().backward()
    assert torch.equal(rows.grad, factors)


def test_a_model_that_rounds_computes_what_its_stored_table_gives() -> None:
    bert = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=0,
        num_attention_heads=1,
        hidden_dropout_prob=0,
        max_position_embeddings=16,
    )
    model = DualEncoder(
        DualEncoderConfig(bert=bert, pooling="mean", projection="linear", max_seq_length=16)
    )
    ids, lengths = np.array([5, 6, 7, 5], np.int32), np.array([3, 1])
    plain = embed_bags(model, ids, lengths)
    set_rounding(model, is_on=True)
    rounded = embed_bags(model, ids, lengths)
    assert not torch.equal(rounded, plain)

    table = model.bert.embeddings.word.weight
    stored = torch.from_numpy(pack_rows(table.detach().numpy()).dequantize())
    set_rounding(model, is_on=False)
    with torch.no_grad():
        table.copy_(stored)
    torch.testing.assert_close(embed_bags(model, ids, lengths), rounded)
