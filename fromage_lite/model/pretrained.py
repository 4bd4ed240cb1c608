"""A model's parts (two frozen models and the bridge between them), and how to load and save them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor, nn

from fromage_lite.checkpoint.card import CARD_FILE, Provenance, check_public, write_card
from fromage_lite.checkpoint.locate import checkpoint_folder, portable_config
from fromage_lite.checkpoint.released import read_checkpoint
from fromage_lite.checkpoint.words import WORDS_FILE, read_words, write_words
from fromage_lite.config import CONFIG_FILE, WEIGHTS_FILE, FromageConfig
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.files import read_tensors, write_tensors
from fromage_lite.language.loading import load_language_model
from fromage_lite.language.model import LanguageModel
from fromage_lite.language.picture_layers import PicturePlan
from fromage_lite.model.adapters import FOLDER as ADAPTERS
from fromage_lite.model.adapters import LanguageAdapters
from fromage_lite.model.bridge import Bridge, Space, is_trained, load_bridge
from fromage_lite.model.memory import announce
from fromage_lite.placement import CPU, Placement, choose_placement
from fromage_lite.progress import Report
from fromage_lite.text.spelling import Spelling
from fromage_lite.text.templates import get_template
from fromage_lite.vision import VisionEncoder, tensor_hash
from index.errors import reason
from index.files import write_bytes


class Pretrained(
    ModelHubMixin,
    library_name="fromage-lite",
    tags=["image-text-to-text", "image-retrieval"],
    license="apache-2.0",
):
    """Loading and saving. A checkpoint holds the bridge only; its configuration names the frozen models.

    Attributes:
        language: the frozen language model.
        vision: the frozen image encoder.
        bridge: all that is trained.
        config: names of the frozen models and shape of the bridge.
        base_dir: where relative folders in the configuration count from; None is the working directory.
        adapters: of the language model; None if it has none.
        spelling: what reads misspelt words, by `config.vocabulary`; None reads all as typed.
        provenance: what the bridge was trained on and how well it does, for its model card.
        card: the model card that it was loaded with. Saving writes a new one if this is empty, or if there is a
            provenance to record.
    """

    def __init__(
        self,
        language: LanguageModel,
        vision: VisionEncoder,
        bridge: Bridge,
        config: FromageConfig,
        base_dir: Path | None = None,
    ) -> None:
        self.language, self.vision, self.bridge = language, vision, bridge
        self.config = dataclasses.replace(config, visual_dim=bridge.visual_embeddings.in_features, lm_dim=language.dim)
        self.base_dir = base_dir
        self.adapters = None
        if config.lora_rank:
            self.adapters = LanguageAdapters(language, config.lora_rank, config.lora_alpha, config.lora_targets)
        self.spelling: Spelling | None = None
        self.provenance, self.card = Provenance(), ""

    # --- loading and saving ---

    @classmethod
    def from_config(
        cls,
        config: FromageConfig,
        place: Placement = CPU,
        *,
        base_dir: Path | None = None,
        notice: Report | None = None,
    ) -> Self:
        """Loads the frozen models and makes an untrained bridge (float32) between them.

        Args:
            config: names and shapes.
            place: where and how precisely the frozen models run; by default on the CPU in float32.
            base_dir: where relative model folders in it count from; None is the working directory.
            notice: gets a sentence about the memory that the models will take, if it is much.

        Raises:
            CheckpointError: a frozen model or the list of words is missing or damaged.
            ConfigError: the configuration does not fit them.
            MemoryPlanError: the device is too small for them.
        """
        spelling = None if config.vocabulary is None else read_words(config.vocabulary, base_dir)
        place = announce(config, place, base_dir=base_dir, report=notice)
        language = load_language_model(
            config.language_model,
            place,
            base_dir=base_dir,
            revision=config.language_model_revision,
            rows=config.lm_rows,
        )
        vision = VisionEncoder.load(
            config.vision_encoder, place, base_dir=base_dir, revision=config.vision_encoder_revision
        )
        model = cls.from_parts(language, vision, config, base_dir)
        model.spelling = spelling
        return model

    @classmethod
    def from_parts(
        cls, language: LanguageModel, vision: VisionEncoder, config: FromageConfig, base_dir: Path | None = None
    ) -> Self:
        """Makes an untrained bridge between loaded models; the `[RET]` row starts at the mean norm of the LM's rows.

        Raises:
            ConfigError: the configuration does not fit them.
        """
        visual_dim, tokens_each = vision.dim, config.n_visual_tokens
        if config.visual_input == "grid":
            patches, visual_dim = vision.grid_shape()
            config, tokens_each = dataclasses.replace(config, n_visual_tokens=patches), 1
        elif config.visual_input == "layers":
            visual_dim = vision.layer_dim(config.encoder_layers)
        space = None
        if config.shared_space:
            tower = vision.text_tower()
            space, visual_dim = Space(tower.projection), tower.dim
        widths = (("visual_dim", config.visual_dim, visual_dim), ("lm_dim", config.lm_dim, language.dim))
        for name, wanted, found in widths:
            if wanted not in (None, found):
                raise ConfigError(
                    f"This bridge was made for {name} {wanted}, but the frozen model has {found}.",
                    "Load it with the frozen models that its config.json names.",
                )
        get_template(config.prompt_template, language.tokenizer)  # fails now rather than at the first message
        tied = language.is_tied if config.tie_ret is None else config.tie_ret
        if tied and language.head_dim != language.dim:
            raise ConfigError("tie_ret can't be true: the LM's input and output rows differ in width.")
        n_values = len(config.encoder_layers) or 1 if config.inject_layers else 0
        inside = PicturePlan(config.inject_layers, n_values, config.image_attention == "both")
        language.place_pictures(None if inside == PicturePlan() else inside)
        bridge = Bridge(
            visual_dim=visual_dim,
            lm_dim=language.dim,
            layer_dims=[language.layer_dim(layer) for layer in config.text_emb_layers],
            n_visual_tokens=tokens_each,
            retrieval_dim=config.retrieval_dim,
            output_dim=None if tied else language.head_dim,
            space=space,
            visual_width=language.hidden_dim if config.inject_layers else None,
            n_maps=1 if config.shared_map else max(len(config.encoder_layers), 1),
            visual_norm=config.visual_norm,
            soft_prompt=config.soft_prompt,
            soft_prompt_mlp=config.soft_prompt_mlp,
        ).to(language.device)
        bridge.renormalise_ret(language.mean_row_norm, language.mean_output_row_norm)
        if bridge.soft_prompt is not None and bridge.soft_prompt.mlp is None:
            bridge.soft_prompt.tokens.data.mul_(language.mean_row_norm)
        return cls(language, vision, bridge, config, base_dir)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        quantize: str = "none",
        notice: Report | None = None,
        revision: str | None = None,
        **hub_options: Any,
    ) -> Self:
        """Loads a checkpoint from a folder or the Hub, with the frozen models that it names.

        Args:
            pretrained_model_name_or_path: a Hub id, or a folder (one with several bridges stands for its default); in
                our own format or the original FROMAGe's (see `released`).
            device: `auto` is cuda, else mps, else cpu.
            dtype: of the frozen models, or its name; `auto` is bfloat16 on cuda and float32 elsewhere.
            quantize: `int8` or `int4` rounds the LM's linear layers as they are loaded; `none` does not.
            notice: as in `from_config`.
            revision: of the Hub repository.
            hub_options: for the download, as huggingface_hub names them (`token`, `cache_dir`, `local_files_only`, …).

        Raises:
            CheckpointError: a file is missing, damaged, or does not fit.
            ConfigError: an option is invalid, or not available on this machine.
            MemoryPlanError: the device is too small for the models.
        """
        folder = checkpoint_folder(pretrained_model_name_or_path, revision, **hub_options)
        folder, config, tensors = read_checkpoint(folder)  # first, so that a damaged file fails at once
        place = choose_placement(device, dtype, quantize)
        model = cls.from_config(config, place, base_dir=folder.resolve(), notice=notice)
        load_bridge(model.bridge, tensors, folder, config.has_retrieval)
        if model.adapters is not None:
            model.adapters.load(folder / ADAPTERS)
        if (folder / CONFIG_FILE).exists() and (folder / CARD_FILE).is_file():
            model.card = (folder / CARD_FILE).read_text(encoding="utf-8", errors="replace")
        return model

    def save_pretrained(self, save_directory: str | Path, *, dtype: torch.dtype | None = None, **kwargs: Any) -> None:
        """Writes config.json, model.safetensors (the bridge), words.txt if it has a vocabulary, and README.md if that
        is missing; each atomically.

        Frozen models in local folders are named relative to the checkpoint, so that the whole tree can be moved.

        Args:
            save_directory: the checkpoint's folder.
            dtype: of the file; None keeps the bridge's own (float32). Half precision halves the file; a loaded bridge
                computes in float32 either way.
            kwargs: `model_card_kwargs`, for `generate_model_card`.
        """
        folder = Path(save_directory)
        try:
            portable = portable_config(self.config, self.base_dir, folder)
            if self.spelling is not None:  # a copy, so that the folder is whole wherever it goes
                portable = dataclasses.replace(portable, vocabulary=WORDS_FILE)
            config = json.dumps(portable.to_dict(), indent=2) + "\n"
            tensors = {name: tensor.to(dtype or tensor.dtype) for name, tensor in self.bridge_tensors().items()}
            write_tensors(folder / WEIGHTS_FILE, tensors)
            if self.adapters is not None:
                self.adapters.save(folder / ADAPTERS, portable.language_model)
            if self.spelling is not None:
                write_words(folder / WORDS_FILE, self.spelling)
            write_bytes(folder / CONFIG_FILE, config.encode())
            if not (folder / CARD_FILE).exists():
                known = kwargs.get("model_card_kwargs") or {}
                is_new = known or not self.card or self.provenance != Provenance()
                card = str(self.generate_model_card(**known)) if is_new else self.card
                write_bytes(folder / CARD_FILE, card.encode())
        except OSError as error:
            raise CheckpointError(f"The model can't be written to {folder}: {reason(error)}.") from error

    def generate_model_card(self, **known: Any) -> ModelCard:  # type: ignore[override]
        """The model card.

        Args:
            known: `license` (by default apache-2.0), and fields of `Provenance` to use instead of the model's own.

        Raises:
            ConfigError: a card has no such field.
        """
        license = known.pop("license", "apache-2.0")
        provenance = self.provenance.updated(known)
        size = sum(parameter.numel() for parameter in self.trained_parameters().values())
        return write_card(self.config, provenance, n_parameters=size, base_dir=self.base_dir, license=license)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:  # type: ignore[override]
        """Uploads what `save_pretrained` writes, with the options of huggingface_hub's mixin (`private`, `token`, …).

        Returns:
            the address of the commit.

        Raises:
            ConfigError: a frozen model is a folder on this computer, which nobody else has.
        """
        check_public(self.config, self.base_dir)
        return super().push_to_hub(repo_id, **options)

    # --- what is trained ---

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Everything that training may change, by name: the bridge, and the language model's adapters."""
        has_retrieval = self.config.has_retrieval
        bridge = {name: p for name, p in self.bridge.named_parameters() if is_trained(name, has_retrieval)}
        inside = {} if self.adapters is None else self.adapters.parameters()
        return bridge | {f"{ADAPTERS}.{name}": parameter for name, parameter in inside.items()}

    def bridge_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, by name: the bridge, or only the part that was trained."""
        tensors = self.bridge.folded()
        return {name: tensor for name, tensor in tensors.items() if is_trained(name, self.config.has_retrieval)}

    def load_trained(self, folder: Path) -> None:
        """Takes the trained parameters of a checkpoint of the same configuration.

        Raises:
            CheckpointError: they are missing, damaged, or of another shape.
        """
        load_bridge(self.bridge, read_tensors(folder / WEIGHTS_FILE), folder, self.config.has_retrieval)
        if self.adapters is not None:
            self.adapters.load(folder / ADAPTERS)

    def fingerprint(self) -> str:
        """Hash of bridge, adapters and encoder; an index with another fingerprint belongs to another model."""
        inside = {} if self.adapters is None else self.adapters.tensors()
        return tensor_hash(self.bridge_tensors() | inside, self.vision.fingerprint())
