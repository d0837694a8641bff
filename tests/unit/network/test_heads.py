import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from labse.network.config import BertConfig
from labse.network.heads import MlmHead, tied_cross_entropy

V, H, M = 97, 8, 23
CONFIG = BertConfig(
    vocab_size=V, hidden_size=H, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
)


def inputs(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((M, H), (V, H), (V,))
    tensors = [torch.randn(*shape, generator=generator, dtype=dtype) for shape in shapes]
    return [tensor.requires_grad_() for tensor in tensors]


LABELS = torch.randint(0, V, (M,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rows_at_once", [1, 5, 23, 1000])
def test_loss_and_gradients_equal_the_plain_computation(rows_at_once: int) -> None:
    ours, plain = inputs(), inputs()
    result = tied_cross_entropy(*ours, LABELS, max_logits_bytes=rows_at_once * V * 8)
    logits = plain[0] @ plain[1].T + plain[2]
    loss = F.cross_entropy(logits, LABELS, reduction="sum")
    torch.testing.assert_close(result.loss_sum, loss, rtol=1e-12, atol=0)
    assert result.num_correct.item() == (logits.argmax(1) == LABELS).sum().item()

    (result.loss_sum / 7).backward()
    (loss / 7).backward()
    for mine, theirs in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-12, atol=1e-13)


def test_logits_in_the_thousands_do_not_overflow() -> None:
    hidden, table, bias = (tensor.detach() * 1000 for tensor in inputs(torch.float32))
    result = tied_cross_entropy(hidden, table, bias, LABELS, max_logits_bytes=1)
    expected = F.cross_entropy(hidden @ table.T + bias, LABELS, reduction="sum")
    torch.testing.assert_close(result.loss_sum, expected)


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements of any tensor that an operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.num_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.num_elements = max(self.num_elements, result.numel())
        return result


def test_no_more_logits_exist_at_once_than_the_option_allows() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(400, 2, generator=generator).requires_grad_()
    table = torch.randn(50, 2, generator=generator).requires_grad_()
    labels = torch.zeros(400, dtype=torch.long)
    with LargestTensor() as small:
        tied_cross_entropy(
            hidden, table, torch.zeros(50), labels, max_logits_bytes=4 * 50 * 20
        ).loss_sum.backward()
    assert small.num_elements == 1000  # 20 rows of 50; hidden has 800 elements.
    with LargestTensor() as plain:
        F.cross_entropy(hidden @ table.T, labels).backward()
    assert plain.num_elements == 400 * 50


def test_under_autocast_the_products_are_bfloat16_and_the_gradients_float32() -> None:
    ours, plain = inputs(torch.float32), inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = tied_cross_entropy(*ours, LABELS, max_logits_bytes=1 << 20)
    wide = tied_cross_entropy(*plain, LABELS, max_logits_bytes=1 << 20)
    assert narrow.loss_sum.dtype == torch.float32
    assert narrow.loss_sum != wide.loss_sum
    # bfloat16 has 8 bits: 2^-8 relative a product.
    torch.testing.assert_close(narrow.loss_sum, wide.loss_sum, rtol=0.01, atol=0)
    narrow.loss_sum.backward()
    assert all(tensor.grad.dtype == torch.float32 for tensor in ours if tensor.grad is not None)


def test_the_head_is_dense_gelu_norm_and_the_tied_table() -> None:
    torch.manual_seed(0)
    head = MlmHead(CONFIG).double()
    for parameter in head.parameters():
        parameter.data.normal_()
    hidden, table, _ = (tensor.detach() for tensor in inputs())
    normed = F.layer_norm(
        F.gelu(hidden @ head.dense.weight.T + head.dense.bias),
        (H,),
        head.norm.weight,
        head.norm.bias,
        1e-12,
    )
    expected = F.cross_entropy(normed @ table.T + head.bias, LABELS, reduction="sum")
    torch.testing.assert_close(head(hidden, table, LABELS).loss_sum, expected)


def test_a_batch_without_masked_tokens_costs_nothing() -> None:
    hidden, table, bias = inputs()
    result = tied_cross_entropy(hidden[:0], table, bias, LABELS[:0], max_logits_bytes=1)
    result.loss_sum.backward()
    assert result.loss_sum.item() == 0
    assert table.grad is not None
    assert not table.grad.any()
