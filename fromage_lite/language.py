"""A frozen causal language model with the *virtual* token `[RET]`: the model itself is never resized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.files import damaged, no_progress_bars, resolve_model_name
from fromage_lite.prompt import RET


@dataclass(frozen=True)
class LMOutput:
    """What the decoder gives for B sequences of T positions.

    Attributes:
        hidden: what the LM's head sees, after the final norm and projection, (B, T, head_dim).
        layers: the hidden states asked for, each (B, T, layer_dim).
        past_key_values: the cache that was handed in, grown by T positions; None without one.
    """

    hidden: Tensor
    layers: tuple[Tensor, ...]
    past_key_values: Any


class LanguageModel:
    """Any `AutoModelForCausalLM`, frozen, with its tokenizer. Build it with `LanguageModel.load`.

    `[RET]` has the id after the last embedding row in use; its rows are handed in by the caller (they are trained).
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, rows: int | None = None) -> None:
        """
        Args:
            model: a transformers causal LM; it is frozen here.
            tokenizer: its tokenizer.
            name: for messages.
            rows: how many embedding rows are words; None is all.
        """
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self._embedding = model.get_input_embeddings()
        self._head = model.get_output_embeddings()
        if self._head is None or not hasattr(self._head, "weight"):
            raise CheckpointError(f"The language model {name} has no output layer that can be read.")
        self._text_config = model.config.get_text_config()
        available = self._embedding.weight.shape[0]
        if rows is not None and not 1 <= rows <= available:
            raise ConfigError(f"lm_rows is {rows}, but the language model {name} has {available} rows.")
        self.vocab_size: int = rows or available

    @classmethod
    def load(cls, name: str, *, base_dir: Path | None = None, device: torch.device | str = "cpu",
             dtype: torch.dtype = torch.float32, revision: str | None = None,
             rows: int | None = None) -> LanguageModel:  # fmt: skip
        """Loads a causal LM and its tokenizer from a folder or the Hub.

        Raises:
            CheckpointError: if either is missing or damaged.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        resolved = resolve_model_name(name, base_dir)
        try:
            tokenizer = AutoTokenizer.from_pretrained(resolved, revision=revision)
            with no_progress_bars():
                model = AutoModelForCausalLM.from_pretrained(
                    resolved, revision=revision, dtype=dtype, use_safetensors=True
                )
        except Exception as error:  # transformers raises anything from OSError to SafetensorError on a bad file
            raise damaged("language model", name, error) from error
        return cls(model.to(device), tokenizer, name, rows)

    # --- sizes and names ---

    @property
    def device(self) -> torch.device:
        """Where the embeddings are."""
        return self._embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the embeddings, and so of `inputs_embeds`."""
        return self._embedding.weight.dtype

    @property
    def dim(self) -> int:
        """D, the width of the token embeddings (`word_embed_proj_dim` in OPT)."""
        return self._embedding.weight.shape[1]

    @property
    def head_dim(self) -> int:
        """Width of what the head sees, and of its rows."""
        return self._head.weight.shape[1]

    @property
    def ret_token_id(self) -> int:
        """The id of `[RET]`: one past the last word."""
        return self.vocab_size

    @property
    def is_tied(self) -> bool:
        """Whether input and output embeddings are one matrix."""
        return self._head.weight.data_ptr() == self._embedding.weight.data_ptr()

    @property
    def max_positions(self) -> int:
        """How many positions a sequence may have."""
        for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
            if isinstance(value := getattr(self._text_config, name, None), int) and value > 0:
                return value
        return 2048

    @cached_property
    def eos_ids(self) -> frozenset[int]:
        """Ids that end a text."""
        ids = [getattr(self.model.generation_config, "eos_token_id", None), self._text_config.eos_token_id,
               self.tokenizer.eos_token_id]  # fmt: skip
        flat = [i for entry in ids for i in (entry if isinstance(entry, (list, tuple)) else [entry])]
        return frozenset(i for i in flat if isinstance(i, int))

    @cached_property
    def bos_id(self) -> int | None:
        """The id that begins a text; None for models that were trained without one."""
        bos = self.tokenizer.bos_token_id
        begins = self.tokenizer("a").input_ids[:1] == [bos] or self._text_config.model_type == "opt"
        return bos if begins else None

    @cached_property
    def mean_row_norm(self) -> float:
        """Mean norm of the word rows of the input embedding."""
        return self._embedding.weight[: self.vocab_size].float().norm(dim=-1).mean().item()

    @cached_property
    def mean_output_row_norm(self) -> float:
        """Mean norm of the word rows of the head."""
        return self._head.weight[: self.vocab_size].float().norm(dim=-1).mean().item()

    def layer_dim(self, layer: int) -> int:
        """Width of one entry of the LM's hidden states.

        Raises:
            ConfigError: if there is no such layer.
        """
        count = self._text_config.num_hidden_layers
        if not -(count + 1) <= layer <= count:
            raise ConfigError(f"text_emb_layers has {layer}, but {self.name} has hidden states 0 to {count}.")
        return self.head_dim if layer in (-1, count) else self._text_config.hidden_size

    # --- text ---

    def tokenize(self, text: str, add_bos: bool = False) -> list[int]:
        """Ids of a text; `[RET]` in it becomes `ret_token_id`.

        Other special tokens are taken as plain characters: nobody can end a dialogue by typing `</s>`. Blanks directly
        before `[RET]` are dropped, so that a reply read back gives the ids that were generated.
        """
        ids = [self.bos_id] if add_bos and self.bos_id is not None else []
        pieces = text.split(RET)
        for position, piece in enumerate(pieces):
            is_last = position == len(pieces) - 1
            ids += self._encode(piece if is_last else piece.rstrip(" "))
            if not is_last:
                ids.append(self.ret_token_id)
        return ids

    def _encode(self, text: str) -> list[int]:
        if not text:
            return []
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids; special tokens and `[RET]` are left out."""
        words = [i for i in ids if i < self.vocab_size]
        return self.tokenizer.decode(words, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def single_token_ids(self, text: str) -> list[int]:
        """The ids (none or one) of the token whose text is exactly this."""
        ids = self._encode(text)
        return ids if len(ids) == 1 else []

    # --- the model ---

    def new_cache(self) -> Any:
        """An empty KV cache that can be cropped at any length.

        It is made without the model's configuration: a configured cache forgets what has left a sliding window, and
        undo needs it again. The window is kept all the same, by the attention mask.
        """
        from transformers import DynamicCache

        return DynamicCache()

    def embed(self, ids: Tensor, ret_row: Tensor) -> Tensor:
        """Ids (B, T) -> embeddings (B, T, D), with the gradient of `ret_row` (D,) where an id is `[RET]`."""
        ids = ids.to(self.device)
        is_ret = ids == self.ret_token_id
        embeds = self._embedding(ids.masked_fill(is_ret, 0))
        if not is_ret.any():
            return embeds
        scale = getattr(self._embedding, "embed_scale", 1.0)  # Gemma scales inside its embedding
        return torch.where(is_ret[..., None], (ret_row.to(embeds) * scale).to(embeds), embeds)

    def forward(self, inputs_embeds: Tensor, past_key_values: Any = None, layers: Sequence[int] = (-1,)) -> LMOutput:
        """Runs the decoder, without the head.

        Args:
            inputs_embeds: (B, T, D).
            past_key_values: a cache from `new_cache`, grown in place; None runs without one.
            layers: indices into the LM's hidden states to return.
        """
        wants_all = any(layer != -1 for layer in layers)
        output = self.model.base_model(
            inputs_embeds=inputs_embeds.to(device=self.device, dtype=self.dtype),
            past_key_values=past_key_values,
            use_cache=past_key_values is not None,
            output_hidden_states=wants_all,
        )
        last = output.last_hidden_state
        states = tuple(last if layer == -1 else output.hidden_states[layer] for layer in layers)
        return LMOutput(last, states, past_key_values)

    def logits(self, hidden: Tensor, ret_row: Tensor) -> Tensor:
        """Hidden states (..., head_dim), output row of `[RET]` -> logits (..., vocab_size + 1), `[RET]` last."""
        words = self._head(hidden)[..., : self.vocab_size]
        ret = hidden @ ret_row.to(hidden)
        if (scale := getattr(self._text_config, "logit_scale", None)) is not None:  # Cohere
            words, ret = words * scale, ret * scale
        logits = torch.cat([words, ret[..., None]], dim=-1)
        if cap := getattr(self._text_config, "final_logit_softcapping", None):  # Gemma 2
            logits = cap * torch.tanh(logits / cap)
        return logits
