"""What it takes to rebuild a model and to steer a reply: frozen, validated dataclasses that read and write JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.plain_data import PlainData
from index.errors import reason
from index.files import write_bytes

PromptTemplate = Literal["qa", "chat", "inst", "plain"]
RetMode = Literal["off", "auto", "always"]
VisualInput = Literal["pooled", "grid", "layers"]
ImageAttention = Literal["causal", "both"]
SpellingMode = Literal["off", "auto"]
AskBy = Literal["ret", "dialogue", "text-tower"]
"""How words search: by the state at `[RET]`, by that in a dialogue's context, by the encoder's own text tower."""

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ADAPTER_FILES = ("adapters/adapter_config.json", "adapters/adapter_model.safetensors")  # as peft names them
DEFAULT_BRIDGE = "fromage-chat"  # the bridge that a folder of several bridges stands for
ENCODER_LIBRARIES = ("open_clip", "timm", "timm-classifier")  # prefixes of image encoders' names, as in `vision`
NO_INDEX = "none"  # in place of an index's name
PHOTOS, PLAYGROUND = "photos", "playground"
SHIPPED = (PHOTOS, PLAYGROUND)
"""Short names of the models that come with the program, as far as their folders are there."""
CAPTIONING = ("visual_embeddings.weight", "visual_embeddings.bias")
"""The tensors of the simplest bridge that was not trained to find pictures (`FromageConfig.has_retrieval`)."""
RETRIEVAL = ("visual_fc", "text_hidden_fcs", "ret_row", "ret_output_row", "logit_scale")
"""The parts of a bridge that such a one lacks."""


@dataclass(frozen=True)
class FromageConfig(PlainData):
    """The frozen models by name, and the shape of the bridge between them.

    Attributes:
        language_model: Hub id or folder of a causal LM; a relative folder counts from the checkpoint's own folder.
        vision_encoder: name of an image encoder (see `vision.VisionEncoder.load`); relative folders likewise.
        language_model_revision: Hub revision of the LM; None is the latest.
        vision_encoder_revision: Hub revision of the encoder; None is the latest.
        visual_input: what becomes visual tokens: an image's `pooled` feature, each patch of its `grid`, or together the
            class tokens of several `layers` of the encoder.
        encoder_layers: for `layers`, which of the encoder's layers (0 is the first, -1 the last).
        shared_space: whether the bridge reads pictures where the encoder compares them with texts: the pooled feature
            in the space of its text tower, at unit norm. Only then can it be trained from texts alone.
        n_visual_tokens: LM positions that one image takes; for a grid always the number of patches.
        shared_map: whether all `encoder_layers` go through one linear map, not each through its own.
        visual_norm: whether the visual tokens are normalised (LayerNorm).
        inject_layers: the LM's layers, from 0 and rising, at whose entry visual tokens stand, instead of among its
            input embeddings. `encoder_layers` are shared out among them in their order.
        image_attention: whether an image's visual tokens see each other in `both` directions, or as text does.
        soft_prompt: how many trained tokens begin every sequence.
        soft_prompt_mlp: whether they are the output of a small network.
        lora_rank: rank of the adapters in the LM's linear layers; 0 is none.
        lora_alpha: their output is multiplied by `lora_alpha / lora_rank`.
        lora_targets: names of these layers.
        retrieval_dim: width of the space in which `[RET]` finds images.
        text_emb_layers: indices into the LM's hidden states (0 is the embedding, -1 the last after the final norm)
            that make the query; one linear map each, summed.
        image_prefix: text before the visual tokens of every image.
        image_suffix: text after them.
        prompt_template: how dialogue turns become text: `qa` (`Q: … A: …`), `chat` (the tokenizer's own chat template),
            `inst` (`[INST] … [/INST]`) or `plain`.
        query_form: how the words of a search stand before `[RET]`, `{}` in their place: as they are, or in the form in
            which the model has learnt to search.
        vocabulary: file of the words that the LM knows, by which misspelt ones are read as what was meant (see
            `checkpoint.words`); a relative path counts from the checkpoint's own folder. None reads all as typed.
        sees_found: whether the pictures that a `[RET]` found are shown to the LM after it, when the next turn begins.
        match_score: the cosine from which on a found picture counts as what was asked for, measured on the model's own
            pictures; None says nothing of how well one fits.
        tie_ret: whether `[RET]` has one row for input and output; None follows the LM's own embeddings.
        suppress_tokens: texts of single LM tokens that are never generated.
        ret_ends_reply: whether a reply ends with its first `[RET]`. An LM that has learnt to describe pictures in its
            text (tags, alt texts) would otherwise do so; the paper's code, too, drops what follows the last `[RET]`.
        lm_rows: how many of the LM's embedding rows are words; this number is the id of `[RET]`. None is all of them;
            the released FROMAGe uses fewer (`retrieval_token_idx`).
        has_retrieval: whether the bridge was trained to find pictures. If not (adapters for captions alone), a
            checkpoint holds `visual_embeddings` only, `[RET]` is never said and no index can be searched.
        visual_dim: width of the encoder's feature; stored with a checkpoint and checked when it is loaded.
        lm_dim: width of the LM's embeddings; likewise.
    """

    language_model: str
    vision_encoder: str
    language_model_revision: str | None = None
    vision_encoder_revision: str | None = None
    visual_input: VisualInput = "pooled"
    encoder_layers: tuple[int, ...] = ()
    shared_space: bool = False
    n_visual_tokens: int = 1
    shared_map: bool = False
    visual_norm: bool = False
    inject_layers: tuple[int, ...] = ()
    image_attention: ImageAttention = "causal"
    soft_prompt: int = 0
    soft_prompt_mlp: bool = False
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_targets: tuple[str, ...] = ("q_proj", "v_proj")
    retrieval_dim: int = 256
    text_emb_layers: tuple[int, ...] = (-1,)
    image_prefix: str = ""
    image_suffix: str = ""
    prompt_template: PromptTemplate = "qa"
    query_form: str = "{}"
    vocabulary: str | None = None
    sees_found: bool = False
    match_score: float | None = None
    tie_ret: bool | None = None
    suppress_tokens: tuple[str, ...] = ()
    ret_ends_reply: bool = False
    lm_rows: int | None = None
    has_retrieval: bool = True
    visual_dim: int | None = None
    lm_dim: int | None = None

    SUBJECT = "a model's configuration"

    def __post_init__(self) -> None:
        for name in ("language_model", "vision_encoder", "image_prefix", "image_suffix", "query_form"):
            value = getattr(self, name)
            _require(isinstance(value, str), name, "a text", value)
        _require(bool(self.language_model.strip()), "language_model", "a Hub name or a folder", self.language_model)
        _require(bool(self.vision_encoder.strip()), "vision_encoder", "a Hub name or a folder", self.vision_encoder)
        for name in ("n_visual_tokens", "retrieval_dim"):
            _require(_is_int(value := getattr(self, name)) and value >= 1, name, "a whole number >= 1", value)
        for name in ("lm_rows", "visual_dim", "lm_dim"):
            value = getattr(self, name)
            _require(value is None or (_is_int(value) and value >= 1), name, "a whole number >= 1 or null", value)
        layers = self.text_emb_layers
        _require(bool(layers) and all(map(_is_int, layers)), "text_emb_layers", "a list of layer numbers", layers)
        _require(len(set(layers)) == len(layers), "text_emb_layers", "a list without repetition", layers)
        template, visual = self.prompt_template, self.visual_input
        _require(_is_choice(template, PromptTemplate), "prompt_template", "qa, chat, inst or plain", template)
        _require(_is_choice(visual, VisualInput), "visual_input", "pooled, grid or layers", visual)
        is_pooled = visual == "pooled" or not self.has_retrieval
        _require(is_pooled, "visual_input", "pooled where has_retrieval is true", visual)
        _require(
            visual == "pooled" or not self.shared_space,
            "shared_space",
            "false unless visual_input is pooled",
            self.shared_space,
        )
        self._check_relatives()
        _require(self.query_form.count("{}") == 1, "query_form", "a text with one {}", self.query_form)
        words = self.vocabulary
        _require(words is None or (isinstance(words, str) and bool(words.strip())), "vocabulary", "a file", words)
        for name in (
            "ret_ends_reply",
            "has_retrieval",
            "sees_found",
            "shared_space",
            "shared_map",
            "visual_norm",
            "soft_prompt_mlp",
        ):
            value = getattr(self, name)
            _require(isinstance(value, bool), name, "true or false", value)
        least = self.match_score
        _require(least is None or _is_number(least), "match_score", "a number or null", least)
        _require(self.tie_ret in (None, True, False), "tie_ret", "true, false or null", self.tie_ret)
        suppressed = self.suppress_tokens
        are_texts = all(isinstance(text, str) and text for text in suppressed)
        _require(are_texts, "suppress_tokens", "a list of texts", suppressed)

    def _check_relatives(self) -> None:
        for name in ("soft_prompt", "lora_rank"):
            _require(_is_int(value := getattr(self, name)) and value >= 0, name, "a whole number >= 0", value)
        alpha, attention = self.lora_alpha, self.image_attention
        _require(_is_number(alpha) and alpha > 0, "lora_alpha", "a number above 0", alpha)
        targets = self.lora_targets
        are_names = bool(targets) and all(isinstance(name, str) and name for name in targets)
        _require(are_names, "lora_targets", "a list of names", targets)
        _require(_is_choice(attention, ImageAttention), "image_attention", "causal or both", attention)
        layers, inner = self.encoder_layers, self.inject_layers
        _require(all(map(_is_int, layers)), "encoder_layers", "a list of layer numbers", layers)
        needs = self.visual_input == "layers"
        _require(bool(layers) == needs, "encoder_layers", "given where visual_input is layers, only there", layers)
        rising = all(_is_int(layer) and layer >= 0 for layer in inner) and sorted(set(inner)) == list(inner)
        _require(rising, "inject_layers", "a rising list of layer numbers", inner)
        fits = not needs or (bool(inner) and len(inner) >= len(layers) and self.n_visual_tokens == 1)
        _require(fits, "inject_layers", "at least as many as encoder_layers, with one visual token", inner)

    @property
    def text_after_image(self) -> str:
        """`image_suffix` as it is read. The adapters with `inst` were trained on texts tokenized one by one: behind a
        picture, too, they begin with what SentencePiece makes of a blank."""
        is_apart = self.prompt_template == "inst" and self.image_suffix and not self.image_suffix[0].isspace()
        return f" {self.image_suffix}" if is_apart else self.image_suffix


@dataclass(frozen=True)
class GenerationSettings(PlainData):
    """How a reply is generated. The options of the commands, `/set` and the config file are made from these fields."""

    SUBJECT = "the settings of replies"

    max_new_tokens: int = 64
    """Longest reply in tokens, `[RET]` included."""
    temperature: float = 0.0
    """0 always takes the likeliest token; higher values vary more; 1 samples from the model as it is."""
    top_p: float = 1.0
    """Sample only from the likeliest tokens that together have this probability (nucleus sampling); 1 keeps all."""
    ret_mode: RetMode = "auto"
    """Whether replies have pictures: never (off), when the model says so (auto), or always."""
    ret_bias: float = 0.0
    """Added to the logit of `[RET]` in auto: above 0 for more pictures, below 0 for fewer."""
    ret_scale_factor: float | None = None
    """The paper's factor on the logit of `[RET]` in auto; it lowers a negative logit. Default: off."""
    min_word_tokens: int = 0
    """Fewest word tokens before the first `[RET]`."""
    images_per_ret: int = 1
    """Pictures to show for one `[RET]`."""
    max_images: int = 3
    """Most pictures in one reply; after that many, `[RET]` is forbidden."""
    score_threshold: float | None = None
    """Lowest cosine similarity of a picture to show. Default: any."""
    spelling: SpellingMode = "auto"
    """Whether misspelt words are read as what was meant: never (off), or by the words that the model knows (auto)."""
    seed: int | None = None
    """Makes sampling repeatable. Default: none."""

    def __post_init__(self) -> None:
        for name, least in (("max_new_tokens", 1), ("min_word_tokens", 0), ("images_per_ret", 1), ("max_images", 0)):
            value = getattr(self, name)
            _require(_is_int(value) and value >= least, name, f"a whole number >= {least}", value)
        heat = self.temperature
        _require(_is_number(heat) and heat >= 0, "temperature", "a number >= 0", heat)
        _require(_is_number(self.top_p) and 0 < self.top_p <= 1, "top_p", "a number above 0 and up to 1", self.top_p)
        _require(_is_choice(self.ret_mode, RetMode), "ret_mode", "off, auto or always", self.ret_mode)
        _require(_is_choice(self.spelling, SpellingMode), "spelling", "off or auto", self.spelling)
        _require(_is_number(self.ret_bias), "ret_bias", "a number", self.ret_bias)
        for name in ("ret_scale_factor", "score_threshold"):
            value = getattr(self, name)
            _require(value is None or _is_number(value), name, "a number or null", value)
        is_seed = self.seed is None or (_is_int(self.seed) and 0 <= self.seed < 2**63)
        _require(is_seed, "seed", "a whole number from 0 to 2^63 - 1, or null", self.seed)


@dataclass(frozen=True)
class LoadOptions:
    """What to load, where to run it and how precisely: one object from the command line to the loader."""

    model: str | None = None
    """Model folder, Hugging Face id, or short name (photos, playground); for index and search also an image encoder
    without a bridge. Default: the one that fits the index and the pictures."""
    index: str | None = None
    """Folder of the picture index to answer from, its address in Milvus, or "none". Default: the playground's pictures,
    for its models."""
    device: str = "auto"
    """Where to run: auto, cpu, cuda, cuda:1, mps."""
    dtype: str = "auto"
    """Precision of the frozen models: auto (by the device), fp32, bf16, fp16."""
    quantize: str = "none"
    """Quantise the language model as it loads, to save memory: int8, int4 or none."""


def read_config(folder: Path) -> FromageConfig:
    """The configuration of a checkpoint folder.

    Raises:
        CheckpointError: it is missing, or not a JSON object.
        ConfigError: a value in it is invalid.
    """
    path = folder / CONFIG_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no model in {folder}: {CONFIG_FILE} is missing.",
            f"A model folder holds {CONFIG_FILE} and {WEIGHTS_FILE}, or the released FROMAGe's own files.",
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} can't be read: {reason(error)}.", "Copy or download the model again.") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} is not a JSON object.", "Copy or download the model again.")
    return FromageConfig.from_dict(data)


def change_config(folder: Path, **changes: Any) -> None:
    """Writes a checkpoint's configuration with these fields changed, atomically.

    Raises: as `read_config`, and OSError: it can't be written.
    """
    config = replace(read_config(folder), **changes)
    write_bytes(folder / CONFIG_FILE, (json.dumps(config.to_dict(), indent=2) + "\n").encode())


def shipped_dir(name: str) -> Path:
    """The folder of a shipped model, there or not: the repository's, else the copy inside the installed package."""
    package = Path(__file__).resolve().parent
    in_repository = package.parent / "checkpoints" / name
    return in_repository if in_repository.is_dir() else package / "_checkpoints" / name


def playground_dir() -> Path:
    """The folder of the shipped playground models."""
    return shipped_dir(PLAYGROUND)


def shipped_model(name: str) -> Path | None:
    """The folder of the shipped model that a short name means; None if it means none.

    A folder of that name means itself only if it holds a model: one called `photos` mostly holds photographs.
    """
    if name not in SHIPPED or holds_model(Path(name)):
        return None
    folder = shipped_dir(name)
    return folder if folder.is_dir() else None


def holds_model(folder: Path) -> bool:
    """Whether a folder is a checkpoint in our own format, or one of several bridges with a default."""
    return (folder / CONFIG_FILE).is_file() or (folder / DEFAULT_BRIDGE / CONFIG_FILE).is_file()


def default_model() -> str:
    """The short name of the model that answers where nothing else decides."""
    return PHOTOS if shipped_dir(PHOTOS).is_dir() else PLAYGROUND


def shipped_name(model: str | Path | None) -> str:
    """The short name of the shipped model that `--model` means by a name, its folder or one inside; "" for others.

    None is the default.
    """
    if model is None:
        return default_model()
    if shipped_model(str(model)) is not None:
        return str(model)
    path = Path(model).expanduser().resolve()
    homes = {name: shipped_dir(name).resolve() for name in SHIPPED}
    return next((name for name, home in homes.items() if home in (path, path.parent)), "")


def _require(holds: bool, name: str, wanted: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {wanted}, not {value!r}.")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_choice(value: object, choices: Any) -> bool:
    return value in get_args(choices)
