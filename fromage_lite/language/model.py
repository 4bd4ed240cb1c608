"""A frozen causal language model with the *virtual* token `[RET]`: the model itself is never resized."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.language.decoder import Decoder, LMOutput
from fromage_lite.language.families import input_factor, output_factor
from fromage_lite.language.picture_layers import PicturePlan
from fromage_lite.text.marks import MARKED_RET, NO_BOS
from fromage_lite.text.tokens import TextEncoder

DEFAULT_POSITIONS = 2048  # for models without any limit, as with ALiBi and recurrent states
NO_LIMIT = 10**6  # a tokenizer without a limit names a number far beyond this


class LanguageModel:
    """Any `AutoModelForCausalLM`, frozen, with its tokenizer. Build it with `load_language_model`.

    `[RET]` has the id after the last embedding row in use; its rows are handed in by the caller (they are trained).
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, rows: int | None = None) -> None:
        """
        Args:
            model: a transformers causal LM; it is frozen here.
            tokenizer: its tokenizer.
            name: for messages.
            rows: how many embedding rows are words; None is all.

        Raises:
            CheckpointError: the model has no head whose weights can be read.
            ConfigError: it has fewer rows.
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
        self._text = TextEncoder(tokenizer)
        self._decoder = Decoder(self.model, name, self.max_positions)
        # Read once: a configuration's attributes are slow to come by, and these are asked for at every token.
        self._n_layers: int = self._text_config.num_hidden_layers
        self._input_factor = input_factor(self._text_config)
        self._output_factor = output_factor(self._text_config)
        self._soft_cap: float | None = getattr(self._text_config, "final_logit_softcapping", None)  # Gemma 2

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
    def decoder(self) -> Any:
        """The model without its head, and without a wrapper that does nothing but call it (OPT has one)."""
        return self._decoder.module

    @property
    def is_tied(self) -> bool:
        """Whether input and output embeddings are one matrix."""
        return self._head.weight.data_ptr() == self._embedding.weight.data_ptr()

    @cached_property
    def max_positions(self) -> int:
        """How many positions a sequence may have: what the model was made for, also where nothing ends there."""
        for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
            if isinstance(value := getattr(self._text_config, name, None), int) and value > 0:
                return value
        limit = self.tokenizer.model_max_length
        return int(limit) if 0 < limit < NO_LIMIT else DEFAULT_POSITIONS

    @cached_property
    def eos_ids(self) -> frozenset[int]:
        """Ids that end a text."""
        places = (self.model.generation_config, self._text_config, self.tokenizer)
        ids = [getattr(place, "eos_token_id", None) for place in places]
        flat = [i for entry in ids for i in (entry if isinstance(entry, (list, tuple)) else [entry])]
        return frozenset(i for i in flat if isinstance(i, int))

    @cached_property
    def beginning(self) -> tuple[int, ...]:
        """The ids that begin a text: what the tokenizer puts there; none for models that were trained without."""
        bos = self.tokenizer.bos_token_id
        default = (bos,) if self._text_config.model_type == "opt" and bos is not None else ()
        return self._text.beginning() or default

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
        count = self._n_layers
        if not -(count + 1) <= layer <= count:
            raise ConfigError(f"text_emb_layers has {layer}, but {self.name} has hidden states 0 to {count}.")
        return self.head_dim if layer in (-1, count) else self._text_config.hidden_size

    @property
    def hidden_dim(self) -> int:
        """Width of the hidden states between its layers."""
        return self._text_config.hidden_size

    # --- pictures inside the model ---

    def place_pictures(self, plan: PicturePlan | None) -> None:
        """From now on positions may bring more than an embedding: `inputs_embeds` are then rows (see
        `language.picture_layers`), which `embed` and `picture_rows` make. None makes them embeddings again.

        Raises:
            ConfigError: the model can't do that, or has no such layer.
        """
        self._decoder.place_pictures(plan, self.dim)

    @property
    def row_dim(self) -> int:
        """Width of `inputs_embeds`: D, or more where pictures bring more."""
        return self.dim if self._decoder.pictures is None else self._decoder.pictures.width

    def picture_rows(self, embeds: Tensor, values: Tensor | None = None) -> Tensor:
        """Pictures (B, V, D), and what replaces them inside the model, (B, V, S, hidden_dim) -> (B, V, row_dim)."""
        return embeds if self._decoder.pictures is None else self._decoder.pictures.rows(embeds, values)

    def text_rows(self, embeds: Tensor) -> Tensor:
        """Embeddings (B, T, D) that belong to no picture -> (B, T, row_dim)."""
        return embeds if self._decoder.pictures is None else self._decoder.pictures.text_rows(embeds)

    # --- text ---

    def tokenize(self, text: str, add_bos: bool = False) -> list[int]:
        """Ids of a text, or of a piece from the middle of one: then as it would be tokenized there.

        Special tokens count where a template has marked them (`marks.special`), `[RET]` where it is `MARKED_RET`; typed
        ones are plain characters: nobody can end a dialogue by typing `</s>`. A text that begins with `NO_BOS` brings
        its own beginning, if any. Blanks directly before a `[RET]` are dropped, so that a reply read back gives the ids
        that were generated.

        Args:
            text: the words.
            add_bos: whether a text begins with them; what begins one (`beginning`) is then put before.
        """
        begins = add_bos or text.startswith(NO_BOS)
        ids = list(self.beginning) if add_bos and not text.startswith(NO_BOS) else []
        pieces = text.split(MARKED_RET)
        for position, piece in enumerate(pieces):
            is_last = position == len(pieces) - 1
            ids += self._text.encode(piece if is_last else piece.rstrip(" "), begins and not position)
            if not is_last:
                ids.append(self.ret_token_id)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids; special tokens and `[RET]` are left out, a blank at its beginning is not."""
        return self._text.decode([i for i in ids if i < self.vocab_size])

    def single_token_ids(self, text: str) -> list[int]:
        """The ids (none or one) of the token whose text is exactly this."""
        ids = self._text.encode(text)
        return ids if len(ids) == 1 else []

    def token_ids(self, tokens: Sequence[str]) -> frozenset[int]:
        """Ids of special tokens by their texts."""
        return frozenset(self.tokenizer.convert_tokens_to_ids(list(tokens)))

    # --- the model ---

    @property
    def can_crop(self) -> bool:
        """Whether a cache can be cut back to any length. A recurrent state can't: it must be computed anew."""
        return self._decoder.can_crop

    def new_cache(self, batched: bool = False) -> Any:
        """An empty cache; with `can_crop` it can be cropped at any length.

        It is made without the model's configuration where keys and values are all there is: a configured cache forgets
        what has left a sliding window, and undo needs it again. The window is kept all the same, by the attention mask.
        Where the positions' scaling depends on the text's length, the cache reads itself again when that changes.

        Args:
            batched: for several sequences at once, which compiled steps don't take.
        """
        return self._decoder.new_cache(batched)

    def find_feeding(self) -> float:
        """Tries how a cache is continued rightly; by how much the best way is off (see `Decoder.find_feeding`)."""
        return self._decoder.find_feeding()

    @property
    def is_compiled(self) -> bool:
        """Whether `compile_decoding` was asked for."""
        return self._decoder.is_compiled

    def compile_decoding(self) -> None:
        """From now on single positions run compiled, and new caches are of fixed size. The first steps compile.

        Raises:
            ConfigError: the model has layers that can't be cached so.
        """
        self._decoder.compile()

    def embed(self, ids: Tensor, ret_row: Tensor) -> Tensor:
        """Ids (B, T) -> embeddings (B, T, row_dim), with the gradient of `ret_row` (D,) where an id is `[RET]`."""
        is_ret = ids == self.ret_token_id
        if is_ret.any():  # asked where the ids are: decoding has them on the CPU, and need not wait for a GPU
            ids, is_ret = ids.to(self.device), is_ret.to(self.device)
            embeds = self._embedding(ids.masked_fill(is_ret, 0))
            scale = getattr(self._embedding, "embed_scale", 1.0)  # Gemma scales inside its embedding
            embeds = torch.where(is_ret[..., None], (ret_row.to(embeds) * scale).to(embeds), embeds)
        else:
            embeds = self._embedding(ids.to(self.device))
        return self.text_rows(embeds if self._input_factor == 1 else embeds * self._input_factor)

    def forward(
        self,
        inputs_embeds: Tensor,
        past_key_values: Any = None,
        layers: Sequence[int] = (-1,),
        mask: Tensor | None = None,
    ) -> LMOutput:
        """Runs the decoder, without the head.

        Args:
            inputs_embeds: (B, T, row_dim), the new positions.
            past_key_values: a cache from `new_cache`, grown in place; None runs without one.
            layers: indices into the LM's hidden states to return.
            mask: (B, past + T) bool, false at padding on the left: positions count from each row's first token.
                None is no padding.
        """
        return self._decoder(inputs_embeds, past_key_values, layers, mask)

    def logits(self, hidden: Tensor, ret_row: Tensor) -> Tensor:
        """Hidden states (..., head_dim), output row of `[RET]` -> logits (..., vocab_size + 1), `[RET]` last.

        They are the model's own: a bias of the head (`[RET]` has none), a factor and a soft cap included.
        """
        words = self._head(hidden)[..., : self.vocab_size]
        ret = hidden @ ret_row.to(hidden)
        logits = torch.cat([words, ret[..., None]], dim=-1)
        if self._output_factor != 1:
            logits = logits * self._output_factor
        if self._soft_cap:
            logits = self._soft_cap * torch.tanh(logits / self._soft_cap)
        return logits
