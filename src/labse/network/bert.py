"""BERT in plain PyTorch: post-layer-norm Transformer encoder with gelu.

Dimensions: B sentences, S tokens, H hidden, A heads, L layers, V vocabulary. Suffixes name the
dimensions of a tensor in their order (`hidden_BSH`); E is the width of one head, H / A. T tokens
of all sentences and P of them stand for B, S where nothing is padded.
Source: Devlin et al., arXiv 1810.04805; names of the sizes as published.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labse.network.config import BertConfig
from labse.network.dropout import Dropout
from labse.network.flat import FlatSentences, LengthGroup, attend
from labse.network.row_gradients import RowMerger

__all__ = ["Bert", "BertOutput"]


@dataclass(frozen=True, slots=True)
class BertOutput:
    """What an encoder gives.

    Attributes:
        last_hidden_state: (B, S, H); rows of padding hold numbers without meaning.
        pooled_output: (B, H), tanh(Dense(first hidden state)); None without a pooler.
    """

    last_hidden_state: Tensor
    pooled_output: Tensor | None


class Bert(nn.Module):
    """Embeddings, L post-norm layers and, if asked for, the pooler.

    Initialisation, as in BERT (`r` is `initializer_range`; BERT truncates the normal at 2 r):

    | parameters                         | values       |
    |------------------------------------|--------------|
    | linear weights, embedding tables   | normal(0, r) |
    | word embedding of `pad_token_id`   | 0            |
    | linear biases, layer-norm biases   | 0            |
    | layer-norm weights                 | 1            |

    The row of `pad_token_id` gets no gradient.
    """

    def __init__(
        self, config: BertConfig, *, add_pooler: bool = False, sparse_embeddings: bool = False
    ) -> None:
        """Builds the modules and draws their weights.

        Args:
            add_pooler: whether to append tanh(Dense(first hidden state)).
            sparse_embeddings: whether the gradient of the word table is a sparse COO tensor of the
                rows used; a step then costs no dense gradient of all V rows.
        """
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config, sparse=sparse_embeddings)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if add_pooler else None
        self.reset_parameters()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> BertOutput:
        """Encodes a batch of token ids.

        Args:
            input_ids: (B, S) integer.
            attention_mask: (B, S), bool or 0/1, true on real tokens, of which each row has at least
                one. None says that the batch has no padding, which lets attention skip the mask.
            token_type_ids: (B, S) integer; None means type 0 everywhere.
            position_ids: (B, S) integer; None means 0, 1, 2, ... in each row.

        Raises:
            ValueError: S exceeds `max_position_embeddings`.
        """
        key_mask_B11S = None
        if attention_mask is not None:
            key_mask_B11S = attention_mask.bool()[:, None, None, :]

        hidden_BSH = self.embeddings(input_ids, token_type_ids, position_ids)
        for layer in self.layers:
            hidden_BSH = layer(hidden_BSH, key_mask_B11S)

        pooled_BH = None
        if self.pooler is not None:
            pooled_BH = torch.tanh(self.pooler(hidden_BSH[:, 0]))
        return BertOutput(last_hidden_state=hidden_BSH, pooled_output=pooled_BH)

    def encode_flat(
        self,
        sentences: FlatSentences,
        positions: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Equals `forward` without its padding, and without what no one asks for.

        What follows attention in the last layer is computed for the tokens at `positions` alone,
        which for [CLS] saves three quarters of that layer. On a GPU `forward` is faster: it has
        one kernel where this has one a length.

        Args:
            sentences: as `lay_flat` gives them.
            positions: (P,) integer, the tokens whose states are wanted; None wants all.
            token_type_ids: (T,) integer; None means type 0 everywhere.
            position_ids: (T,) integer; None means 0, 1, 2, ... in each sentence.

        Returns:
            (P, H) last hidden states.

        Raises:
            ValueError: a sentence exceeds `max_position_embeddings`.
        """
        self.embeddings.check_length(max(group.length for group in sentences.groups))
        if position_ids is None:
            position_ids = sentences.position_ids
        hidden_TH: Tensor = self.embeddings(sentences.input_ids, token_type_ids, position_ids)
        for layer in self.layers:
            is_last = layer is self.layers[-1]
            hidden_TH = layer(
                hidden_TH, groups=sentences.groups, positions=positions if is_last else None
            )
        if positions is not None and not self.layers:
            hidden_TH = hidden_TH.index_select(0, positions)
        return hidden_TH

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draws all weights anew (table above); `generator` None is the global one."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(0.0, self.config.initializer_range, generator=generator)
            if isinstance(module, nn.Linear):
                module.bias.zero_()
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        self.embeddings.word.weight[self.config.pad_token_id].zero_()


class Embeddings(nn.Module):
    """Sum of word, position and token-type embeddings, normalised."""

    def __init__(self, config: BertConfig, *, sparse: bool) -> None:
        super().__init__()
        width = config.hidden_size
        self.word = nn.Embedding(
            config.vocab_size, width, padding_idx=config.pad_token_id, sparse=sparse
        )
        if sparse:
            RowMerger().watch(self.word.weight)
        # Maps ids (...) to rows (..., H) that are added to those of the word table; None adds none.
        self.added_rows: nn.Module | None = None
        # Maps word rows, those added included, to what is seen of them; None: as they are.
        self.round_rows: Callable[[Tensor], Tensor] | None = None
        self.position = nn.Embedding(config.max_position_embeddings, width)
        self.token_type = nn.Embedding(config.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        if position_ids is None:
            self.check_length(input_ids.shape[1])
            position = self.position.weight[: input_ids.shape[1]]  # (S, H), for every row.
        else:
            position = self.position(position_ids)
        if token_type_ids is None:
            token_type = self.token_type.weight[0]  # (H), the same for every token.
        else:
            token_type = self.token_type(token_type_ids)

        hidden_BSH = self.word_rows(input_ids) + token_type + position
        normed_BSH: Tensor = self.dropout(self.norm(hidden_BSH))
        return normed_BSH

    def word_rows(self, input_ids: Tensor) -> Tensor:
        """Returns the word embeddings of ids of any shape, (..., H)."""
        rows_BSH: Tensor = self.word(input_ids)
        if self.added_rows is not None:
            rows_BSH = rows_BSH + self.added_rows(input_ids)
        return rows_BSH if self.round_rows is None else self.round_rows(rows_BSH)

    def check_length(self, length: int) -> None:
        """Raises ValueError if there are fewer positions than `length`."""
        if length > self.position.num_embeddings:
            raise ValueError(
                f"input_ids has {length} tokens a row, but max_position_embeddings "
                f"is {self.position.num_embeddings}; truncate the sentences"
            )


class Layer(nn.Module):
    """Self-attention, then feed-forward; each is dropped out, added to its input and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        hidden_BSH: Tensor,
        key_mask_B11S: Tensor | None = None,
        *,
        groups: tuple[LengthGroup, ...] | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Returns the states at `positions`, or all.

        With `groups`, (B, S) is (T) in all shapes: the sentences lie flat. `positions` needs that.
        """
        attended_BSH = self.attention(hidden_BSH, key_mask_B11S, groups, positions)
        if positions is not None:
            hidden_BSH = hidden_BSH.index_select(0, positions)
        hidden_BSH = self.attention_norm(hidden_BSH + self.dropout(attended_BSH))

        transformed_BSH = self.dropout(self.feed_forward(hidden_BSH))
        output_BSH: Tensor = self.feed_forward_norm(hidden_BSH + transformed_BSH)
        return output_BSH


class SelfAttention(nn.Module):
    """softmax(Q K^T / sqrt(E)) V in A heads; one product gives Q, K and V, stacked so."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden_BSH: Tensor,
        key_mask_B11S: Tensor | None,
        groups: tuple[LengthGroup, ...] | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        dropout_prob = self.dropout_prob if self.training else 0.0
        qkv_BS3H = self.qkv(hidden_BSH)
        if groups is not None:
            context_TH = attend(
                qkv_BS3H, groups, num_heads=self.num_heads, dropout_prob=dropout_prob
            )
            wanted_PH = context_TH if positions is None else context_TH.index_select(0, positions)
            output_PH: Tensor = self.output(wanted_PH)
            return output_PH

        B, S, H = hidden_BSH.shape
        qkv_BS3AE = qkv_BS3H.view(B, S, 3, self.num_heads, H // self.num_heads)
        query_BASE, key_BASE, value_BASE = qkv_BS3AE.permute(2, 0, 3, 1, 4).unbind(0)
        context_BASE = F.scaled_dot_product_attention(
            query_BASE, key_BASE, value_BASE, attn_mask=key_mask_B11S, dropout_p=dropout_prob
        )
        output_BSH: Tensor = self.output(context_BASE.transpose(1, 2).reshape(B, S, H))
        return output_BSH


class FeedForward(nn.Module):
    """Two linear maps with gelu between them: the exact one (erf), or its form by tanh."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.approximate = config.gelu_form
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_BSH: Tensor) -> Tensor:
        inner_BSI = F.gelu(self.intermediate(hidden_BSH), approximate=self.approximate)
        output_BSH: Tensor = self.output(inner_BSI)
        return output_BSH
