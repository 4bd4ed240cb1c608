"""Tiny random image encoders of every family, saved as their own libraries save them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import normalize

SIZE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 8}  # fmt: skip
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "vocab_size": 64, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Preprocessing:
    """How a family brings pictures to size: shortest edge and crop, or squashed where there is no crop."""

    size: int
    crop: int | None
    bicubic: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rounds: bool = False  # torchvision rounds the crop's corner, transformers cuts it down


@dataclass(frozen=True)
class Family:
    """One family's tiny model.

    Attributes:
        save: writes it and its preprocessing into a folder.
        prefix: of the name for `VisionEncoder.load`, before the folder.
        grid: shape of the patches of one picture.
        answer: the library's own whole model, from the folder and pixel_values.
        expected: the same answer from our features, through that model's head.
        convolutional: whether every patch sees the whole picture, at this size.
    """

    save: Callable[[Path], None]
    preprocessing: Preprocessing
    dim: int
    grid: tuple[int, int]
    answer: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]
    expected: Callable[[torch.nn.Module, object], torch.Tensor]
    load: Callable[[Path], torch.nn.Module]
    prefix: str = ""
    convolutional: bool = False


def strong(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random weights that make every part of the model show in its output; no bias is 0 and no gain 1."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.15)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics as after training, so that pictures differ
            module.running_mean.normal_(std=0.1)
    return model.eval()


# --- transformers ---


def save_transformers(model: torch.nn.Module, processor: str, options: dict) -> Callable[[Path], None]:
    import transformers

    def save(folder: Path) -> None:
        strong(model).save_pretrained(folder)
        getattr(transformers, processor)(**options).save_pretrained(folder)

    return save


def transformers_family(model, processor, options, preprocessing, answer, expected) -> Family:
    save = save_transformers(model, processor, options)
    return Family(
        save, preprocessing, 32, (16, 32), answer, expected, lambda folder: type(model).from_pretrained(folder).eval()
    )


def clip() -> Family:
    from transformers import CLIPConfig, CLIPModel

    model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=SIZE, projection_dim=24))
    options = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    return transformers_family(
        model, "CLIPImageProcessor", options, Preprocessing(32, 32, True, CLIP_MEAN, CLIP_STD),
        lambda whole, pixels: whole(input_ids=torch.tensor([[1, 5, 2]]), pixel_values=pixels).image_embeds,
        lambda whole, features: normalize(whole.visual_projection(features.pooled), dim=-1),
    )  # fmt: skip


def siglip() -> Family:
    from transformers import SiglipConfig, SiglipModel

    model = SiglipModel(SiglipConfig(text_config=TEXT | {"projection_size": 32}, vision_config=SIZE))
    return transformers_family(
        model, "SiglipImageProcessor", {"size": {"height": 32, "width": 32}},
        Preprocessing(32, None, True, HALF, HALF),
        lambda whole, pixels: whole(input_ids=torch.tensor([[1, 5, 2]]), pixel_values=pixels).image_embeds,
        lambda whole, features: normalize(features.pooled, dim=-1),
    )  # fmt: skip


def beit_finetuned() -> Family:
    from transformers import BeitConfig, BeitForImageClassification

    model = BeitForImageClassification(BeitConfig(**SIZE, use_relative_position_bias=True, layer_scale_init_value=0.1))
    return transformers_family(
        model, "BeitImageProcessor", {"size": {"height": 32, "width": 32}}, Preprocessing(32, None, True, HALF, HALF),
        lambda whole, pixels: whole(pixels).logits,
        lambda whole, features: whole.classifier(features.pooled),
    )  # fmt: skip


def beit_pretrained() -> Family:
    """Without a pooler's norm: the patches feed the head that predicts visual tokens, their mean is the feature."""
    from transformers import BeitConfig, BeitForMaskedImageModeling

    config = BeitConfig(**SIZE, use_shared_relative_position_bias=True, use_mask_token=True, vocab_size=40)
    model = BeitForMaskedImageModeling(config)
    return transformers_family(
        model, "BeitImageProcessor", {"size": {"height": 32, "width": 32}}, Preprocessing(32, None, True, HALF, HALF),
        lambda whole, pixels: whole(pixels).logits,
        lambda whole, features: whole.lm_head(whole.layernorm(features.grid)),
    )  # fmt: skip


def vit() -> Family:
    from transformers import ViTConfig, ViTForImageClassification

    return transformers_family(
        ViTForImageClassification(ViTConfig(**SIZE)), "ViTImageProcessor", {"size": {"height": 32, "width": 32}},
        Preprocessing(32, None, False, HALF, HALF),
        lambda whole, pixels: whole(pixels).logits,
        lambda whole, features: whole.classifier(features.pooled),
    )  # fmt: skip


def dinov2(registers: bool = False) -> Family:
    """Pretrained at another size than it is used at, as the released ones are."""
    import transformers

    name = "Dinov2WithRegisters" if registers else "Dinov2"
    sizes = {key: value for key, value in SIZE.items() if key != "intermediate_size"} | {"image_size": 48}
    config = getattr(transformers, f"{name}Config")(**sizes, mlp_ratio=2)
    options = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32},
               "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}  # fmt: skip
    return transformers_family(
        getattr(transformers, f"{name}ForImageClassification")(config), "BitImageProcessor", options,
        Preprocessing(36, 32, True, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        lambda whole, pixels: whole(pixels).logits,
        lambda whole, features: whole.classifier(torch.cat([features.pooled, features.grid.mean(1)], dim=1)),
    )  # fmt: skip


# --- open_clip ---


def open_clip_family(
    vision: dict,
    preprocess: dict,
    preprocessing: Preprocessing,
    grid: tuple[int, int],
    expected=lambda whole, features: features.pooled,
    convolutional: bool = False,
    **options,
) -> Family:
    import open_clip

    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text | options.pop("text", {}), **options}
    kinds = {"multimodal_cfg": open_clip.CoCa, "custom_text": open_clip.CustomTextCLIP, "embed_dim": open_clip.CLIP}
    kind = next(kinds[key] for key in kinds if key in config)

    def save(folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir()
        model = strong(kind(**{key: value for key, value in config.items() if key != "custom_text"}))
        tensors = {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, folder / "open_clip_model.safetensors")
        whole = {"model_cfg": config, "preprocess_cfg": preprocess}
        (folder / "open_clip_config.json").write_text(json.dumps(whole))

    return Family(
        save, preprocessing, 24, grid,
        lambda whole, pixels: whole.encode_image(pixels, normalize=False), expected,
        lambda folder: open_clip.create_model_from_pretrained(f"local-dir:{folder}")[0].eval(),
        "open_clip:local-dir:", convolutional,
    )  # fmt: skip


VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
SHORTEST = {"mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic", "resize_mode": "shortest", "size": 32}
CLIP_LIKE = Preprocessing(32, 32, True, CLIP_MEAN, CLIP_STD, rounds=True)


def open_clip_vit() -> Family:
    return open_clip_family(VIT, SHORTEST, CLIP_LIKE, (16, 32))


def open_clip_resnet() -> Family:
    vision = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    preprocess = SHORTEST | {"size": 64, "resize_mode": "squash"}
    preprocessing = Preprocessing(64, None, True, CLIP_MEAN, CLIP_STD)

    def expected(whole, features):
        return whole.visual.attnpool(features.grid.transpose(1, 2).unflatten(2, (2, 2)))

    return open_clip_family(vision, preprocess, preprocessing, (4, 256), expected, convolutional=True)


def open_clip_coca() -> Family:
    vision = VIT | {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2}
    multimodal = {"context_length": 8, "vocab_size": 64, "width": 24, "heads": 2, "layers": 1}
    return open_clip_family(vision | {"output_tokens": True}, SHORTEST, CLIP_LIKE, (16, 32),
                            text={"embed_cls": True, "output_tokens": True}, multimodal_cfg=multimodal,
                            custom_text=True)  # fmt: skip


def open_clip_timm() -> Family:
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear",
              "image_size": 160}  # fmt: skip
    preprocess = {"mean": HALF, "std": HALF, "interpolation": "bicubic", "resize_mode": "squash", "size": 160}
    preprocessing = Preprocessing(160, None, True, HALF, HALF)
    return open_clip_family(vision, preprocess, preprocessing, (100, 64), custom_text=True)


# --- timm ---


def timm_family(
    name: str, preprocessing: Preprocessing, grid: tuple[int, int], head: str, convolutional: bool = False
) -> Family:
    def save(folder: Path) -> None:
        import timm

        timm.models.save_for_hf(strong(timm.create_model(name)), folder, safe_serialization=True)

    def load(folder: Path) -> torch.nn.Module:
        import timm

        return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()

    def expected(whole, features):
        return whole.get_submodule(head)(features.pooled)

    answer, prefix = lambda whole, pixels: whole(pixels), "timm:local-dir:"
    return Family(save, preprocessing, grid[1], grid, answer, expected, load, prefix, convolutional)


def timm_vit() -> Family:
    preprocessing = Preprocessing(168, 160, True, HALF, HALF, rounds=True)
    return timm_family("test_vit", preprocessing, (100, 64), "head")


def timm_nfnet() -> Family:
    preprocessing = Preprocessing(168, 160, True, HALF, HALF, rounds=True)
    return timm_family("test_nfnet", preprocessing, (25, 192), "head.fc", convolutional=True)


FAMILIES: dict[str, Callable[[], Family]] = {
    "clip": clip,
    "siglip": siglip,
    "beit": beit_finetuned,
    "beit-pretrained": beit_pretrained,
    "vit": vit,
    "dinov2": dinov2,
    "dinov2-registers": lambda: dinov2(registers=True),
    "open_clip-vit": open_clip_vit,
    "open_clip-resnet": open_clip_resnet,
    "open_clip-coca": open_clip_coca,
    "open_clip-timm": open_clip_timm,
    "timm-vit": timm_vit,
    "timm-nfnet": timm_nfnet,
}
