"""Fromage: a frozen language model and a frozen image encoder joined by the bridge."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.checkpoint.card import CARD_FILE, Provenance, check_public, write_card
from fromage_lite.checkpoint.locate import checkpoint_folder, portable_config
from fromage_lite.checkpoint.released import read_checkpoint
from fromage_lite.config import CONFIG_FILE, WEIGHTS_FILE, FromageConfig
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.files import write_tensors
from fromage_lite.language.model import LanguageModel
from fromage_lite.model.bridge import CAPTIONING, Bridge, load_bridge
from fromage_lite.model.memory import announce
from fromage_lite.placement import choose_device as choose_device
from fromage_lite.placement import choose_placement
from fromage_lite.text.message import before_prefix
from fromage_lite.text.templates import get_template
from fromage_lite.vision import ImageFeatures, VisionEncoder, tensor_hash
from index.errors import reason
from index.files import write_bytes

if TYPE_CHECKING:
    from fromage_lite.config import GenerationSettings
    from fromage_lite.model.decoding import DecodingState, Token

ModelSegment = str | Image.Image | Tensor
"""A piece of a prompt for the model: text, an image, or an image's pooled feature (visual_dim,)."""


class Fromage(ModelHubMixin, library_name="fromage-lite", tags=["image-text-to-text", "image-retrieval"],
              license="apache-2.0"):  # fmt: skip
    """The model. Its checkpoint holds the bridge only; the frozen models are named in the configuration.

    Shapes: B batch, T positions, V visual tokens, D width of the LM's embeddings, R width of the retrieval space.

    Attributes:
        provenance: what the bridge was trained on and how well it does, for its model card.
        card: the model card that it was loaded with; one is written where there is none, or its provenance is known.
    """

    def __init__(self, language: LanguageModel, vision: VisionEncoder, bridge: Bridge, config: FromageConfig,
                 base_dir: Path | None = None) -> None:  # fmt: skip
        self.language, self.vision, self.bridge = language, vision, bridge
        self.config = dataclasses.replace(config, visual_dim=bridge.visual_embeddings.in_features, lm_dim=language.dim)
        self.base_dir = base_dir
        self.provenance, self.card = Provenance(), ""

    # --- loading and saving ---

    @classmethod
    def from_config(cls, config: FromageConfig, *, base_dir: Path | None = None, device: str | torch.device = "auto",
                    dtype: torch.dtype | str | None = None, quantize: str | None = None,
                    notice: Callable[[str], None] | None = None) -> Self:  # fmt: skip
        """Loads the frozen models and makes an untrained bridge between them.

        Args:
            config: names and shapes.
            base_dir: where relative model folders in it count from; None is the working directory.
            device: `auto` is cuda, else mps, else cpu.
            dtype: of the frozen models, or its name; None is bfloat16 on cuda and float32 elsewhere. The bridge is
                float32.
            quantize: `int8` or `int4` rounds the LM's linear layers to that, as they are loaded.
            notice: is told what memory the models will take, if it is much.

        Raises:
            CheckpointError: a frozen model is missing or damaged.
            ConfigError: the configuration does not fit them, or an option can't be had.
            MemoryPlanError: the device is too small for them.
        """
        place = announce(config, choose_placement(device, dtype, quantize), base_dir=base_dir, report=notice)
        language = LanguageModel.load(config.language_model, base_dir=base_dir, device=place.device, dtype=place.dtype,
                                      quantize=place.quantize, max_memory=place.max_memory,
                                      revision=config.language_model_revision, rows=config.lm_rows)  # fmt: skip
        vision = VisionEncoder.load(config.vision_encoder, base_dir=base_dir, device=place.device, dtype=place.dtype,
                                    revision=config.vision_encoder_revision)  # fmt: skip
        return cls.from_parts(language, vision, config, base_dir)

    @classmethod
    def from_parts(cls, language: LanguageModel, vision: VisionEncoder, config: FromageConfig,
                   base_dir: Path | None = None) -> Self:  # fmt: skip
        """Makes an untrained bridge between loaded models; `[RET]` begins at the mean norm of the LM's rows."""
        visual_dim, tokens_each = vision.dim, config.n_visual_tokens
        if config.visual_input == "grid":
            patches, visual_dim = grid_shape(vision)
            config, tokens_each = dataclasses.replace(config, n_visual_tokens=patches), 1
        for name, wanted, found in (("visual_dim", config.visual_dim, visual_dim),
                                    ("lm_dim", config.lm_dim, language.dim)):  # fmt: skip
            if wanted not in (None, found):
                raise ConfigError(
                    f"This bridge was made for {name} {wanted}, but the frozen model has {found}.",
                    "Load it with the frozen models that its config.json names.",
                )
        get_template(config.prompt_template, language.tokenizer)  # a model without it must not load
        tied = language.is_tied if config.tie_ret is None else config.tie_ret
        if tied and language.head_dim != language.dim:
            raise ConfigError("tie_ret can't be true: the LM's input and output rows differ in width.")
        bridge = Bridge(
            visual_dim=visual_dim,
            lm_dim=language.dim,
            layer_dims=[language.layer_dim(layer) for layer in config.text_emb_layers],
            n_visual_tokens=tokens_each,
            retrieval_dim=config.retrieval_dim,
            output_dim=None if tied else language.head_dim,
        ).to(language.device)
        bridge.renormalise_ret(language.mean_row_norm, language.mean_output_row_norm)
        return cls(language, vision, bridge, config, base_dir)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *, device: str | torch.device = "auto",
                        dtype: torch.dtype | str | None = None, quantize: str | None = None,
                        notice: Callable[[str], None] | None = None, revision: str | None = None,
                        **hub_options: Any) -> Self:  # fmt: skip
        """Loads a checkpoint from a folder or the Hub, with the frozen models that it names.

        Args:
            pretrained_model_name_or_path: a folder (one of several bridges stands for its default), or a Hub id; of
                our own format, or of the original FROMAGe's (see `released`).
            device, dtype, quantize, notice: as in `from_config`.
            revision: of the Hub repository.
            hub_options: for the download, as huggingface_hub names them (`token`, `cache_dir`, `local_files_only`, …).

        Raises:
            CheckpointError: a file is missing, damaged, or does not fit.
        """
        folder = checkpoint_folder(pretrained_model_name_or_path, revision, **hub_options)
        folder, config, tensors = read_checkpoint(folder)  # before the costly part: a damaged file fails at once
        model = cls.from_config(config, base_dir=folder.resolve(), device=device, dtype=dtype, quantize=quantize,
                                notice=notice)  # fmt: skip
        load_bridge(model.bridge, tensors, folder, config.has_retrieval)
        if (folder / CONFIG_FILE).exists() and (folder / CARD_FILE).is_file():
            model.card = (folder / CARD_FILE).read_text(encoding="utf-8", errors="replace")
        return model

    def save_pretrained(self, save_directory: str | Path, *, dtype: torch.dtype | None = None, **kwargs: Any) -> None:
        """Writes config.json, model.safetensors (the bridge) and, where there is none, README.md; each atomically.

        Frozen models in local folders are named relative to the checkpoint, so that the whole tree can be moved.

        Args:
            save_directory: the checkpoint's folder.
            dtype: of the file; None keeps the bridge's own (float32). Half precision halves it, and is computed in
                float32 again after loading.
            kwargs: `model_card_kwargs`: what `model_card.write_card` takes beside the model.
        """
        folder = Path(save_directory)
        try:
            config = json.dumps(portable_config(self.config, self.base_dir, folder).to_dict(), indent=2) + "\n"
            tensors = {name: tensor.to(dtype or tensor.dtype) for name, tensor in self.bridge_tensors().items()}
            write_tensors(folder / WEIGHTS_FILE, tensors)
            write_bytes(folder / CONFIG_FILE, config.encode())
            if not (folder / CARD_FILE).exists():
                known = kwargs.get("model_card_kwargs") or {}
                is_new = known or not self.card or self.provenance != Provenance()
                card = str(self.generate_model_card(**known)) if is_new else self.card
                write_bytes(folder / CARD_FILE, card.encode())
        except OSError as error:
            raise CheckpointError(f"The model can't be written to {folder}: {reason(error)}.") from error

    def generate_model_card(self, **known: Any) -> ModelCard:  # type: ignore[override]
        """The model card; `known` as of `model_card.write_card`."""
        return write_card(self, **known)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:  # type: ignore[override]
        """Uploads what `save_pretrained` writes; options as of huggingface_hub's mixin (`private`, `token`, …).

        Returns:
            the address of the commit.

        Raises:
            ConfigError: a frozen model is a folder of this computer, which nobody else has.
        """
        check_public(self)
        return super().push_to_hub(repo_id, **options)

    # --- what is trained ---

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Everything that training may change, by name: the bridge."""
        return dict(self.bridge.named_parameters())

    def bridge_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, by name: the bridge, or the part of it that was trained."""
        tensors = self.bridge.folded()
        return {name: tensor for name, tensor in tensors.items() if self.config.has_retrieval or name in CAPTIONING}

    def fingerprint(self) -> str:
        """Hash of bridge and encoder: an index made under another fingerprint is not comparable."""
        return tensor_hash(self.bridge_tensors(), self.vision.fingerprint())

    # --- images ---

    def image_features(self, images: Sequence[Image.Image]) -> ImageFeatures:
        """RGB images -> the frozen encoder's features: pooled (B, visual_dim) float32, and what else it has."""
        return self.vision.encode(self.vision.preprocess(images))

    def visual_features(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB images -> what the bridge makes visual tokens of: (B, visual_dim), or patches (B, P, visual_dim)."""
        if self.config.visual_input == "pooled":
            return self.image_features(images).pooled
        grid = self.vision.encode(self.vision.preprocess(images), grid=True).grid
        assert grid is not None  # known since the bridge was made
        return grid

    def visual_embeds(self, pooled: Tensor) -> Tensor:
        """Features (B, visual_dim) or (B, P, visual_dim) -> visual tokens in the LM's input space (B, V, D)."""
        return self.bridge.visual_embeds(pooled)

    def image_embeds(self, pooled: Tensor) -> Tensor:
        """Pooled features (B, visual_dim) -> unit vectors in the retrieval space (B, R)."""
        return self.bridge.image_embeds(pooled)

    # --- prompts ---

    def token_embeds(self, ids: Sequence[int]) -> Tensor:
        """Token ids, `[RET]` among them, -> (1, T, D)."""
        return self.language.embed(torch.tensor([list(ids)], dtype=torch.long), self.bridge.ret_row)

    def prompt_embeds(self, segments: Sequence[ModelSegment], add_bos: bool = True) -> Tensor:
        """An interleaved prompt as the LM sees it, (1, T, D).

        Images stand as `image_prefix`, visual tokens, `image_suffix`. With `add_bos` the first text begins with the
        LM's beginning-of-text token; images before it stay in front of that, as in the paper's code.
        """
        return self._interleave(segments, add_bos)[0]

    def _interleave(self, segments: Sequence[ModelSegment], add_bos: bool) -> tuple[Tensor, list[int]]:
        """The prompt's embeddings (1, T, D), and its ids with -100 at visual positions."""
        embeds: list[Tensor] = []
        ids: list[int] = []
        is_first_text = add_bos
        for piece in self._pieces(segments):
            if isinstance(piece, str):
                piece_ids = self.language.tokenize(piece, add_bos=is_first_text)
                is_first_text = False
                if piece_ids:
                    ids += piece_ids
                    embeds.append(self.token_embeds(piece_ids))
            else:
                visual = self.visual_embeds(piece[None])  # (1, V, D)
                embeds.append(visual.to(device=self.language.device, dtype=self.language.dtype))
                ids += [-100] * self.config.n_visual_tokens
        if not embeds:
            return torch.zeros(1, 0, self.language.dim, device=self.language.device, dtype=self.language.dtype), ids
        return torch.cat(embeds, dim=1), ids

    def _pieces(self, segments: Sequence[ModelSegment]) -> Iterator[str | Tensor]:
        """Texts and pooled features in order: images encoded in one batch, their prefix and suffix joined to the text.

        An empty text stays a text of its own (alone it stands for the beginning of a text). Neighbouring texts are
        joined only across an image's prefix or suffix; the caller's own texts are tokenized one by one.
        """
        images = [segment for segment in segments if isinstance(segment, Image.Image)]
        pooled = iter(self.visual_features(images)) if images else iter(())
        prefix, suffix = self.config.image_prefix, self.config.image_suffix
        text: str | None = None
        ends_in_suffix = False
        for segment in segments:
            if isinstance(segment, str):
                if text is not None and not ends_in_suffix:
                    yield text
                    text = None
                text, ends_in_suffix = (text or "") + segment, False
                continue
            if prefix:
                text = before_prefix(text or "", prefix) + prefix
            if text is not None:
                yield text
            yield segment if isinstance(segment, Tensor) else next(pooled)
            text, ends_in_suffix = suffix or None, bool(suffix)
        if text is not None:
            yield text

    @torch.no_grad()
    def query_embeds(self, segments: Sequence[ModelSegment]) -> Tensor:
        """Where an interleaved prompt points in the retrieval space: `[RET]` is appended and read, (1, R)."""
        embeds = torch.cat([self.prompt_embeds(segments), self.token_embeds([self.language.ret_token_id])], dim=1)
        output = self.language.forward(embeds, layers=self.config.text_emb_layers)
        return self.bridge.query_embeds([state[:, -1] for state in output.layers])

    @torch.no_grad()
    def log_likelihood(self, segments: Sequence[ModelSegment]) -> float:
        """Mean log-probability per text token of an interleaved prompt, each given everything before it."""
        embeds, ids = self._interleave(segments, add_bos=True)
        hidden = self.language.forward(embeds).hidden
        labels = torch.tensor(ids[1:], device=hidden.device)
        is_text = labels != -100
        if not is_text.any():
            raise ValueError("log_likelihood needs a text after the first position")
        logits = self.language.logits(hidden[0, :-1][is_text], self.bridge.output_row)
        return -F.cross_entropy(logits.float(), labels[is_text]).item()

    # --- generation ---

    @cached_property
    def suppressed_ids(self) -> tuple[int, ...]:
        """Ids that are never generated: the configured ones, and embedding rows that no word belongs to.

        Where `lm_rows` says which rows are in use, it is taken at its word.
        """
        named = [i for text in self.config.suppress_tokens for i in self.language.single_token_ids(text)]
        words = self.language.vocab_size if self.config.lm_rows else len(self.language.tokenizer)
        return (*dict.fromkeys(named), *range(words, self.language.vocab_size))

    def stream(self, state: DecodingState, inputs_embeds: Tensor, settings: GenerationSettings,
               **options: Any) -> Iterator[Token]:  # fmt: skip
        """Generates a reply token by token; see `decoding.stream`."""
        from fromage_lite.model.decoding import stream

        return stream(self, state, inputs_embeds, settings, **options)


def grid_shape(vision: VisionEncoder) -> tuple[int, int]:
    """How many patches an encoder gives, and how wide they are.

    Raises:
        ConfigError: it gives none.
    """
    grid = vision.encode(vision.preprocess([Image.new("RGB", (8, 8))]), grid=True).grid
    if grid is None:
        raise ConfigError(f"The image encoder {vision.name} gives no grid of patches, which visual_input asks for.")
    return grid.shape[1], grid.shape[2]
