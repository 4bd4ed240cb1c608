"""Fromage: a frozen language model and a frozen image encoder joined by the bridge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from fromage_lite.model.pretrained import Pretrained
from fromage_lite.model.sampling import suppress
from fromage_lite.text.interleaving import IGNORED, IMAGE_SLOT, Text, interleave, joined
from fromage_lite.vision import ImageFeatures

ModelSegment = str | Image.Image | Tensor
"""A piece of a prompt for the model: text, an image, or an image's feature (visual_dim,) or several (P, visual_dim)."""

P = TypeVar("P")  # a picture in the caller's own form


@dataclass(frozen=True)
class TrainingOutput:
    """The inputs of the losses, for L labels and Q `[RET]`s in a batch.

    Attributes:
        logits: (L, vocab_size + 1), each from the position before its label.
        labels: (L,) int64.
        queries: (Q, R) float32, unit vectors at the `[RET]`s in reading order.
    """

    logits: Tensor
    labels: Tensor
    queries: Tensor


class Fromage(Pretrained):
    """The computations of FROMAGe (Koh, Salakhutdinov and Fried 2023, arXiv 2301.13823).

    Shapes: B batch, T positions, V visual tokens, D width of the LM's embeddings, R width of the retrieval space.
    """

    # --- images ---

    def image_features(self, images: Sequence[Image.Image]) -> ImageFeatures:
        """RGB images -> the frozen encoder's features; `pooled` is (B, visual_dim) float32."""
        return self.vision.image_features(images)

    def visual_features(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB images -> the features that become visual tokens: (B, visual_dim), or patches (B, P, visual_dim), or the
        encoder's layers, likewise."""
        if self.config.visual_input == "pooled":
            return self.image_features(images).pooled
        pixel_values = self.vision.preprocess(images)
        if self.config.visual_input == "layers":
            return self.vision.class_tokens(pixel_values, self.config.encoder_layers)
        grid = self.vision.encode(pixel_values, grid=True).grid
        assert grid is not None  # checked when the bridge was made
        return grid

    def visual_embeds(self, features: Tensor) -> Tensor:
        """Features (B, visual_dim) or (B, P, visual_dim) -> visual tokens in the LM's input space (B, V, D)."""
        return self.bridge.visual_embeds(features)

    def visual_rows(self, features: Tensor) -> Tensor:
        """Features as for `visual_embeds` -> the images as the LM takes them in, (B, V, row_dim). Where they stand
        inside it (`inject_layers`), their input embeddings are zeros, which no text sees."""
        visual = self.visual_embeds(features).to(self.language.dtype)
        if not self.config.inject_layers:
            return self.language.picture_rows(visual)
        n_values = len(self.config.encoder_layers) or 1
        values = visual.unflatten(1, (-1, n_values))  # (B, V, S, hidden_dim)
        nothing = values.new_zeros(*values.shape[:2], self.language.dim)
        return self.language.picture_rows(nothing, values)

    @property
    def _soft_prompt(self) -> Tensor:
        """The trained tokens that begin every sequence, (1, n, row_dim); n may be 0."""
        prompt = self.bridge.soft_prompt
        if prompt is None:
            return self.token_embeds([])
        return self.language.text_rows(prompt()[None].to(device=self.language.device, dtype=self.language.dtype))

    def image_embeds(self, pooled: Tensor) -> Tensor:
        """Pooled features (B, visual_dim) -> unit vectors in the retrieval space (B, R)."""
        return self.bridge.image_embeds(pooled)

    # --- prompts ---

    def token_embeds(self, ids: Sequence[int]) -> Tensor:
        """Token ids, which may include `[RET]` -> (1, T, row_dim)."""
        return self.language.embed(torch.tensor([list(ids)], dtype=torch.long), self.bridge.ret_row)

    def token_pieces(self, segments: Iterable[str | P], add_bos: bool = True) -> Iterator[list[int] | P]:
        """An interleaved prompt as token ids and pictures, in the order of the LM's positions.

        An image becomes `image_prefix`, its visual tokens, `image_suffix`. With `add_bos` the first text begins with
        the LM's beginning-of-text token; images before that text stay in front of the token, as in the paper's code.
        """
        texts = (Text(segment) if isinstance(segment, str) else segment for segment in segments)
        for piece in interleave(texts, self.config.image_prefix, self.config.text_after_image):
            if isinstance(piece, list):
                yield self.language.tokenize(joined(piece), add_bos)
                add_bos = False
            else:
                yield piece

    def prompt_length(self, segments: Iterable[str | object], add_bos: bool = True) -> int:
        """How many positions a prompt takes. Its pictures may be any objects but strings: they are not opened."""
        pieces: Iterator[list[int] | object] = self.token_pieces(segments, add_bos)
        length = self.config.soft_prompt if add_bos else 0
        return length + sum(len(piece) if isinstance(piece, list) else self.config.n_visual_tokens for piece in pieces)

    def prompt_embeds(self, segments: Sequence[ModelSegment], add_bos: bool = True) -> Tensor:
        """An interleaved prompt as the LM sees it, (1, T, row_dim); see `token_pieces`. With `add_bos`, the soft prompt
        comes before all of it. Images are encoded in one batch.
        """
        embeds = self._embed(list(self.token_pieces(segments, add_bos)))
        return torch.cat([self._soft_prompt, embeds], dim=1) if add_bos and self.config.soft_prompt else embeds

    def _embed(self, pieces: Sequence[list[int] | Image.Image | Tensor]) -> Tensor:
        images = [piece for piece in pieces if isinstance(piece, Image.Image)]
        encoded = iter(self.visual_features(images)) if images else iter(())
        embeds = [torch.zeros(1, 0, self.language.row_dim, device=self.language.device, dtype=self.language.dtype)]
        for piece in pieces:
            if isinstance(piece, list):
                embeds.append(self.token_embeds(piece))
            else:
                features = piece if isinstance(piece, Tensor) else next(encoded)
                embeds.append(self.visual_rows(features[None]).to(embeds[0]))  # (1, V, row_dim)
        return torch.cat(embeds, dim=1)

    @torch.no_grad()
    def query_embeds(self, segments: Sequence[ModelSegment]) -> Tensor:
        """An interleaved prompt with `[RET]` appended -> a unit vector in the retrieval space, (1, R)."""
        embeds = torch.cat([self.prompt_embeds(segments), self.token_embeds([self.language.ret_token_id])], dim=1)
        output = self.language.forward(embeds, layers=self.config.text_emb_layers)
        return self.bridge.query_embeds([state[:, -1] for state in output.layers])

    @torch.no_grad()
    def log_likelihood(self, segments: Sequence[ModelSegment]) -> float:
        """Mean log-probability of the text tokens of an interleaved prompt, each given everything before it."""
        pieces: list[list[int] | Image.Image | Tensor] = list(self.token_pieces(segments))
        slots = [IGNORED] * self.config.n_visual_tokens
        ids = [id for piece in pieces for id in (piece if isinstance(piece, list) else slots)]
        ids = [IGNORED] * self.config.soft_prompt + ids
        hidden = self.language.forward(torch.cat([self._soft_prompt, self._embed(pieces)], dim=1)).hidden
        labels = torch.tensor(ids[1:], device=hidden.device)
        is_text = labels != IGNORED
        if not is_text.any():
            raise ValueError("log_likelihood needs a text after the first position")
        logits = self.language.logits(hidden[0, :-1][is_text], self.bridge.output_row)
        return -F.cross_entropy(logits.float(), labels[is_text]).item()

    # --- training ---

    def sequence_embeds(self, ids: Tensor, features: Tensor) -> Tensor:
        """A batch of interleaved sequences as the LM sees it, with gradients to the bridge.

        Args:
            ids: (B, T), with `IMAGE_SLOT` at visual tokens; may include `[RET]`.
            features: (I, visual_dim) or (I, P, visual_dim), the pictures of all sequences in reading order.

        Returns:
            (B, T, row_dim).
        """
        is_slot = ids == IMAGE_SLOT
        words = self.language.embed(ids.masked_fill(is_slot, 0), self.bridge.ret_row)
        visual = self.visual_rows(features).to(words)  # (I, V, row_dim)
        return words.masked_scatter(is_slot[..., None], visual) if len(features) else words

    def caption_forward(self, ids: Tensor, features: Tensor, labels: Tensor) -> TrainingOutput:
        """Interleaved sequences, padded on the right -> the logits at their labels, and the queries at their `[RET]`s.

        Args:
            ids, features: as for `sequence_embeds`.
            labels: (B, T), `IGNORED` where nothing is learnt; every `[RET]` is a label.
        """
        inputs = self.sequence_embeds(ids, features)  # (B, T, row_dim)
        begun = self.config.soft_prompt
        if begun:
            inputs = torch.cat([self._soft_prompt.expand(len(ids), -1, -1), inputs], dim=1)
        output = self.language.forward(inputs, layers=self.config.text_emb_layers)
        is_ret = labels == self.language.ret_token_id
        queries = self.bridge.query_embeds([state[:, begun:][is_ret] for state in output.layers])  # (Q, R)
        return self._where_labelled(output.hidden[:, begun:-1], labels[:, 1:], queries)

    def retrieval_forward(self, ids: Tensor, mask: Tensor, labels: Tensor) -> TrainingOutput:
        """`[caption][RET]` -> the logits at the labels, and the queries at the `[RET]`s.

        Args:
            ids: (B, T), captions without `[RET]`, padded on the left.
            mask: (B, T) bool, false at padding.
            labels: (B, T + 1); the last column is `[RET]`.
        """
        hidden, states = self._read_captions(ids, mask)  # (B, T, head_dim), one (B, layer_dim) per layer
        queries = self.bridge.query_embeds(states)  # (B, R)
        return self._where_labelled(hidden, labels[:, 1:], queries)

    def _read_captions(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the head sees at each token of the captions, and the layers' states at the `[RET]` after them.

        If nothing before `[RET]` depends on a trained parameter, the captions run into a KV cache without gradients,
        and only the `[RET]` position is differentiated.
        """
        language, row, layers = self.language, self.bridge.ret_row, self.config.text_emb_layers
        ret = torch.full_like(ids[:, :1], language.ret_token_id)
        whole_mask = F.pad(mask, (0, 1), value=True)
        begun = self.config.soft_prompt
        # A recurrent cache is overwritten in place, which would break the gradient.
        if not language.can_crop or begun or self.adapters is not None:
            whole = language.embed(torch.cat([ids, ret], dim=1), row)
            whole = torch.cat([self._soft_prompt.expand(len(ids), -1, -1), whole], dim=1)
            output = language.forward(whole, layers=layers, mask=F.pad(whole_mask, (begun, 0), value=True))
            return output.hidden[:, begun:-1], [state[:, -1] for state in output.layers]
        cache = language.new_cache()
        with torch.no_grad():
            hidden = language.forward(language.embed(ids, row), cache, mask=mask).hidden
        output = language.forward(language.embed(ret, row), cache, layers, whole_mask)
        return hidden, [state[:, -1] for state in output.layers]

    def _where_labelled(self, hidden: Tensor, labels: Tensor, queries: Tensor) -> TrainingOutput:
        """Logits only where there are labels, which saves most of the head's work."""
        keep = labels != IGNORED
        logits = self.language.logits(hidden[keep], self.bridge.output_row)
        if not self.config.has_retrieval:  # its row was never trained
            logits[:, -1] = float("-inf")
        return TrainingOutput(logits, labels[keep], queries)

    # --- generation ---

    @cached_property
    def suppressed_ids(self) -> tuple[int, ...]:
        """Ids that are never generated: the configured ones, and embedding rows that belong to no word.

        If `lm_rows` is set, all rows below it count as words.
        """
        named = [i for text in self.config.suppress_tokens for i in self.language.single_token_ids(text)]
        words = self.language.vocab_size if self.config.lm_rows else len(self.language.tokenizer)
        return (*dict.fromkeys(named), *range(words, self.language.vocab_size))

    @cached_property
    def _suppressed(self) -> Tensor:
        return torch.tensor(self.suppressed_ids, dtype=torch.long, device=self.language.device)

    def next_logits(self, hidden: Tensor) -> Tensor:
        """Logits of the next token, minus infinity for `suppressed_ids`: float32, `[RET]` last.

        Args:
            hidden: what the head sees, (B, head_dim).

        Returns:
            (B, vocab_size + 1).
        """
        return suppress(self.language.logits(hidden, self.bridge.output_row).float(), self._suppressed)
