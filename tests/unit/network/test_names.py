from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.training_data import tiny_bert

from labse.errors import LabseError
from labse.model_folder.formats.tf_bundle import read_tf_bundle
from labse.network.bert import Bert
from labse.network.names import from_hf_state_dict, from_tf_variables, to_hf_state_dict

TENSORFLOW = Path(__file__).parents[2] / "data/tensorflow"


def random_state(num_layers: int, *, add_pooler: bool = False) -> dict[str, torch.Tensor]:
    sizes = {"hidden_size": 6, "num_attention_heads": 3, "intermediate_size": 5}
    config = tiny_bert(vocab_size=11, num_hidden_layers=num_layers, **sizes)
    state = Bert(config, add_pooler=add_pooler).state_dict()
    return {name: torch.randn_like(tensor) for name, tensor in state.items()}


@settings(deadline=None, max_examples=15)
@given(num_layers=st.integers(0, 12), add_pooler=st.booleans())
def test_there_and_back_is_bitwise_the_same(num_layers: int, add_pooler: bool) -> None:
    state = random_state(num_layers, add_pooler=add_pooler)
    back = from_hf_state_dict(to_hf_state_dict(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_query_key_and_value_are_stacked_in_that_order() -> None:
    hf_state = to_hf_state_dict(random_state(1))
    parts = ("query", "key", "value")
    for number, part in enumerate(parts):
        hf_state[f"encoder.layer.0.attention.self.{part}.bias"] = torch.full((6,), float(number))
    qkv = from_hf_state_dict(hf_state)["layers.0.attention.qkv.bias"]
    assert qkv.tolist() == [0.0] * 6 + [1.0] * 6 + [2.0] * 6


def test_hf_tensors_share_no_memory_with_each_other() -> None:
    hf_state = to_hf_state_dict(random_state(2))
    pointers = [tensor.untyped_storage().data_ptr() for tensor in hf_state.values()]
    assert len(set(pointers)) == len(pointers)


def test_the_prefix_legacy_names_and_position_ids_are_understood() -> None:
    state = random_state(1)
    legacy = {"bert.embeddings.position_ids": torch.arange(4)[None]}
    for name, tensor in to_hf_state_dict(state).items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        legacy["bert." + name.replace("LayerNorm.bias", "LayerNorm.beta")] = tensor
    ours = from_hf_state_dict(legacy)
    assert all(torch.equal(ours[name], state[name]) for name in state)


def test_head_weights_are_refused_by_name() -> None:
    hf_state = to_hf_state_dict(random_state(0)) | {"cls.predictions.bias": torch.zeros(11)}
    with pytest.raises(LabseError, match=r"a head.*cls\.predictions\.bias"):
        from_hf_state_dict(hf_state)


def test_a_missing_weight_is_named() -> None:
    hf_state = to_hf_state_dict(random_state(2))
    del hf_state["encoder.layer.1.attention.self.key.bias"]
    with pytest.raises(LabseError, match=r"missing: encoder\.layer\.1\.attention\.self\.key\.bias"):
        from_hf_state_dict(hf_state)


def test_a_missing_layer_is_named_and_the_list_is_short() -> None:
    hf_state = to_hf_state_dict(random_state(3))
    hf_state = {name: t for name, t in hf_state.items() if "layer.1." not in name}
    with pytest.raises(LabseError, match=r"encoder\.layer\.1\..* and 11 more"):
        from_hf_state_dict(hf_state)


def test_an_unknown_weight_is_named() -> None:
    hf_state = to_hf_state_dict(random_state(1)) | {"encoder.adapter.weight": torch.zeros(1)}
    with pytest.raises(LabseError, match=r"not weights of a BertModel: encoder\.adapter\.weight"):
        from_hf_state_dict(hf_state)


def test_a_weight_that_is_there_twice_is_named() -> None:
    hf_state = to_hf_state_dict(random_state(0))
    hf_state["bert.embeddings.LayerNorm.bias"] = torch.zeros(6)
    with pytest.raises(LabseError, match=r"'embeddings\.LayerNorm\.bias' twice"):
        from_hf_state_dict(hf_state)


def test_half_a_pooler_is_refused() -> None:
    state = random_state(0, add_pooler=True)
    del state["pooler.bias"]
    with pytest.raises(LabseError, match=r"Bert are missing: pooler\.bias"):
        to_hf_state_dict(state)


def test_an_unknown_weight_of_ours_is_named() -> None:
    with pytest.raises(LabseError, match=r"not weights of a Bert: head\.bias"):
        to_hf_state_dict(random_state(1) | {"head.bias": torch.zeros(1)})


def test_arguments_are_left_as_they_were() -> None:
    state = random_state(1)
    names = list(state)
    to_hf_state_dict(state)
    assert list(state) == names


@pytest.mark.parametrize(
    "prefix", ["bert/bert_model.ckpt", "hub/variables/variables", "garden/bert_model.ckpt"]
)
def test_each_of_googles_ways_to_name_a_bert_gives_the_same_weights(prefix: str) -> None:
    expected = np.load(TENSORFLOW / "expected.npz")

    weights = from_tf_variables(read_tf_bundle(TENSORFLOW / prefix))

    assert set(weights) == set(expected)
    for name, array in weights.items():
        np.testing.assert_array_equal(array, expected[name], name)


def test_what_is_no_weight_of_a_bert_is_left_out() -> None:
    zeros = np.zeros((2, 2), np.float32)
    names = ["cls/predictions/output_bias", "bert/embeddings/word_embeddings/adam_m", "step"]
    assert from_tf_variables(dict.fromkeys(names, zeros)) == {}
