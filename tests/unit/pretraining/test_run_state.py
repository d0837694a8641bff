from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from labse.config import parse_config
from labse.errors import LabseError, UsageError
from labse.network.config import BertConfig
from labse.pretraining.config import PretrainConfig
from labse.pretraining.model import MaskedLm
from labse.pretraining.run_state import load_checkpoint, restore_state, save_state

BERT = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
)


def config(**train: object) -> PretrainConfig:
    values = {"data": {"text": ["a.eng"], "max_seq_length": 8}, "model": {"bert": BERT}}
    return parse_config(
        PretrainConfig, values | {"train": {"stage_steps": [9], **train}}, where="test"
    )


def test_model_moments_generator_and_history_come_back(tmp_path: Path) -> None:
    model = MaskedLm(BERT)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    save_state(tmp_path, config(), 5, model, optimizer, [[1.5, 0.25]])
    expected = torch.rand(3)

    other = MaskedLm(BERT)
    other_optimizer = torch.optim.AdamW(other.parameters())
    checkpoint = load_checkpoint(tmp_path, config(log_every=7))
    assert checkpoint is not None
    assert checkpoint.step == 5
    assert restore_state(checkpoint, other, other_optimizer) == [[1.5, 0.25]]
    assert torch.equal(torch.rand(3), expected)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    moments = other_optimizer.state_dict()["state"]
    assert len(moments) == len(list(model.parameters()))


def test_no_checkpoint_other_values_and_damage(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, config()) is None
    model = MaskedLm(BERT)
    save_state(tmp_path, config(), 5, model, torch.optim.AdamW(model.parameters()), [])
    with pytest.raises(UsageError, match=r"train.stage_steps: \[9\] -> \[8\]"):
        load_checkpoint(tmp_path, config(stage_steps=[8]))
    state = next(tmp_path.glob("checkpoints/*/state.safetensors"))
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(LabseError, match="damaged checkpoint"):
        load_checkpoint(tmp_path, config())


@pytest.mark.parametrize("name", ["model.head.bias", "optimizer.3.exp_avg", "metrics.history"])
def test_a_checkpoint_without_a_tensor_is_damaged(tmp_path: Path, name: str) -> None:
    model = MaskedLm(BERT)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    save_state(tmp_path, config(), 5, model, optimizer, [])
    path = tmp_path / "checkpoints" / "step-000000005" / "state.safetensors"
    tensors = load_file(path)
    removed = tensors.pop(name)
    if name == "model.head.bias":
        tensors[name] = removed[1:].clone()
    save_file(tensors, path)
    checkpoint = load_checkpoint(tmp_path, config())
    assert checkpoint is not None
    with pytest.raises(LabseError, match=rf"damaged checkpoint of step 5 \('{name}' is missing or"):
        restore_state(checkpoint, model, optimizer)


def test_numbers_that_are_none_are_neither_written_nor_read(tmp_path: Path) -> None:
    model = MaskedLm(BERT)
    optimizer = torch.optim.AdamW(model.parameters())
    save_state(tmp_path, config(), 5, model, optimizer, [])
    model.head.bias.data[3] = torch.inf
    with pytest.raises(LabseError, match=r"step 6: 'model.head.bias' holds NaN or infinite"):
        save_state(tmp_path, config(), 6, model, optimizer, [])
    checkpoint = load_checkpoint(tmp_path, config())
    assert checkpoint is not None
    assert checkpoint.step == 5

    path = tmp_path / "checkpoints" / "step-000000005" / "state.safetensors"
    tensors = load_file(path)
    tensors["model.bert.embeddings.word.weight"][2, 1] = torch.nan
    save_file(tensors, path)
    with pytest.raises(LabseError, match=r"step 5 \('model.bert.embeddings.word.weight' holds NaN"):
        load_checkpoint(tmp_path, config())
