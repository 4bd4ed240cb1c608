"""Memory plans, against published counts of parameters and arithmetic by hand."""

import json

import pytest
import torch
import transformers

from fromage_lite.config import FromageConfig, playground_dir, read_config
from fromage_lite.errors import MemoryPlanError
from fromage_lite.language.size import language_model_size, size_of
from fromage_lite.model import memory
from fromage_lite.model.memory import announce, plan_memory, spread
from fromage_lite.placement import Placement, choose_placement
from fromage_lite.vision.libraries import encoder_parameters

CPU = torch.device("cpu")
OPT = {"vocab_size": 50272, "max_position_embeddings": 2048}
# (configuration as published, parameters as published, heads x width x layers of keys and values by hand)
PUBLISHED = {
    "facebook/opt-6.7b": (
        transformers.OPTConfig(**OPT, hidden_size=4096, word_embed_proj_dim=4096, ffn_dim=16384, num_hidden_layers=32,
                               num_attention_heads=32), 6_658_473_984, 32 * 128 * 32),
    "facebook/opt-350m": (
        transformers.OPTConfig(**OPT, hidden_size=1024, word_embed_proj_dim=512, ffn_dim=4096, num_hidden_layers=24,
                               num_attention_heads=16, do_layer_norm_before=False), 331_196_416, 16 * 64 * 24),
    "openai-community/gpt2": (transformers.GPT2Config(), 124_439_808, 12 * 64 * 12),
    "meta-llama/Llama-2-7b": (
        transformers.LlamaConfig(vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
                                 num_attention_heads=32, num_key_value_heads=32), 6_738_415_616, 32 * 128 * 32),
    "meta-llama/Meta-Llama-3-8B": (
        transformers.LlamaConfig(vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
                                 num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192),
        8_030_261_248, 8 * 128 * 32),
    "Qwen/Qwen3-0.6B": (
        transformers.Qwen3Config(vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28,
                                 num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
                                 max_position_embeddings=40960), 596_049_920, 8 * 128 * 28),
}  # fmt: skip
CLIP_LARGE = {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
              "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14, "image_size": 224}  # fmt: skip
CLIP_LARGE_SIZE = 303_179_776  # what transformers counts in the published CLIPVisionModel


@pytest.fixture
def large(tmp_path):
    """The released FROMAGe's models, by their configurations; there are no weights."""
    PUBLISHED["facebook/opt-6.7b"][0].save_pretrained(tmp_path / "opt-6.7b")
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "config.json").write_text(json.dumps(CLIP_LARGE))
    return FromageConfig(language_model=str(tmp_path / "opt-6.7b"), vision_encoder=str(tmp_path / "clip"),
                         visual_dim=1024, lm_dim=4096)  # fmt: skip


@pytest.fixture
def device(monkeypatch):
    """Sets the free and the whole memory of the device, in GB."""

    def has(free, total=80.0):
        monkeypatch.setattr(memory, "device_memory", lambda _: (int(free * 1e9), int(total * 1e9)))

    return has


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    settings, parameters, keys = PUBLISHED[name]
    size = size_of(settings)
    assert size.parameters == parameters
    assert size.cache == 2 * keys  # keys and values
    assert size.weight_bytes(torch.bfloat16, None) == 2 * parameters
    assert size.weight_bytes(torch.float32, None) == 4 * parameters


def test_a_cache_is_as_long_as_a_dialogue_can_be():
    opt, llama = (size_of(PUBLISHED[name][0]) for name in ("facebook/opt-6.7b", "meta-llama/Meta-Llama-3-8B"))
    assert opt.cache_bytes(torch.float16) == 2048 * 2 * 32 * 4096 * 2  # 1.07 GB
    assert llama.cache_bytes(torch.bfloat16) == 4096 * 2 * 32 * 1024 * 2  # grouped: an eighth a position, 0.54 GB


def test_quantised_weights_by_hand():
    size = size_of(PUBLISHED["facebook/opt-6.7b"][0])
    linear = 32 * (4 * 4096 * 4096 + 2 * 4096 * 16384)  # attention and feed-forward; embeddings and head stay
    rest = 2 * (6_658_473_984 - linear)
    assert size.weight_bytes(torch.bfloat16, "int8") == linear + 4 * 32 * (4 * 4096 + 16384 + 4096) + rest  # 6.88 GB
    # QLoRA (arXiv 2305.14314): 4 bits and, doubly quantised, 0.127 bits of constants a parameter
    assert size.weight_bytes(torch.bfloat16, "int4") == pytest.approx(linear * (4 + 0.127) / 8 + rest, rel=1e-4)


def test_the_plan_of_the_released_model(large, device):
    device(free=9.1)
    plan = plan_memory(large, Placement(CPU, torch.bfloat16))
    assert plan.parts == {
        "language model": 2 * 6_658_473_984,
        "image encoder": 2 * CLIP_LARGE_SIZE,
        "bridge": 4 * ((1024 + 1) * (4096 + 256) + (4096 + 1) * 256 + 4096 + 1),
        "KV cache": 2048 * 2 * 32 * 4096 * 2,
    }
    assert str(plan) == ("opt-6.7b in bfloat16 needs about 15.0 GB (language model 13.3, image encoder 0.6, KV cache "
                         "1.1), 9.1 GB are free on cpu; try --quantize int8.")  # fmt: skip


@pytest.mark.parametrize(
    ("free", "dtype", "advice"),
    [
        (31.0, torch.float32, ""),
        (20.0, torch.float32, "try --dtype bfloat16"),
        (12.0, torch.float32, "try --quantize int8"),
        (8.0, torch.bfloat16, "try --quantize int4"),
        (6.0, torch.float32, "try --quantize int4 --dtype bfloat16"),
        (4.0, torch.bfloat16, "try a smaller model"),
    ],
)
def test_the_advice_is_the_mildest_that_fits(large, device, free, dtype, advice):
    device(free)
    assert plan_memory(large, Placement(CPU, dtype)).advice == advice


def test_much_is_told_and_little_is_not(large, device, tiny_checkpoint):
    told = []
    device(free=79)
    place = Placement(CPU, torch.bfloat16)
    assert announce(large, place, report=told.append) == place
    assert len(told) == 1 and "needs about 15.0 GB" in told[0] and "try" not in told[0]
    announce(read_config(tiny_checkpoint), place, base_dir=tiny_checkpoint, report=told.append)
    assert len(told) == 1
    device(free=0.0)
    announce(read_config(tiny_checkpoint), place, base_dir=tiny_checkpoint, report=told.append)
    assert "0.0 GB are free" in told[1]  # what does not fit is told, however small


def test_what_could_never_fit_is_refused(large, device):
    device(free=9.1, total=10.0)
    with pytest.raises(MemoryPlanError, match=r"9\.1 GB are free on cpu of 10\.0 GB in all\. Try --quantize int8\."):
        announce(large, Placement(CPU, torch.bfloat16))
    device(free=9.1, total=16.0)  # what others hold may be given back meanwhile
    assert announce(large, Placement(CPU, torch.bfloat16))


def test_a_configuration_that_cannot_be_read_is_left_to_the_loader(tmp_path):
    config = FromageConfig(language_model=str(tmp_path), vision_encoder=str(tmp_path))
    place = choose_placement("cpu")
    assert announce(config, place) == place


def test_several_gpus_hold_what_one_does_not(large, device):
    device(free=9.1)
    plan = plan_memory(large, Placement(torch.device("cuda"), torch.bfloat16))
    beside = plan.parts["image encoder"] + plan.parts["bridge"]
    both = spread(plan, [9_100_000_000, 12_000_000_000])
    assert both is not None and both.fits and both.advice == ""
    assert both.place.max_memory == {0: 8_190_000_000 - beside, 1: 10_800_000_000}
    assert "21.1 GB are free on the GPUs together." in str(both)
    assert spread(plan, [9_100_000_000]) is None
    assert spread(plan, [9_100_000_000, 5_000_000_000]) is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("open_clip:ViT-B-32/openai", 151_277_313),  # both towers, as open_clip counts them
        ("timm:vit_base_patch16_224", 85_798_656),  # without the classifier
    ],
)
def test_sizes_of_encoders_are_the_published_ones(name, parameters):
    assert encoder_parameters(name) == parameters


def test_the_size_of_one_tower_of_two(tmp_path):
    settings = {"model_type": "clip", "text_config": {}, "vision_config": CLIP_LARGE}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert encoder_parameters(str(tmp_path)) == CLIP_LARGE_SIZE


def test_weights_that_are_quantised_in_their_file_count_as_stored(tiny_lm_dir, tmp_path):
    from safetensors.torch import save_file

    config = json.loads((tiny_lm_dir / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"a": torch.zeros(3, 5, dtype=torch.int32), "b": torch.zeros(7, dtype=torch.float16)},
              tmp_path / "model.safetensors")  # fmt: skip
    size = language_model_size(FromageConfig(language_model=str(tmp_path), vision_encoder="clip"))
    assert size.weight_bytes(torch.bfloat16, None) == 3 * 5 * 4 + 7 * 2


def test_the_containers_limit_counts_and_its_file_cache_does_not(tmp_path):
    for name, text in {
        "memory.max": "8000",
        "memory.current": "5000",
        "memory.stat": "anon 1\ninactive_file 3000",
    }.items():
        (tmp_path / name).write_text(text + "\n")
    assert list(memory._container_limits(tmp_path)) == [(8000, 2000)]
    (tmp_path / "memory.max").write_text("max\n")
    assert list(memory._container_limits(tmp_path)) == []


def test_this_computer_has_memory():
    free, total = memory.device_memory(CPU)
    assert 0 < free <= total


def test_the_shipped_model_needs_what_its_files_weigh():
    folder = playground_dir() / "fromage-chat"
    plan = plan_memory(read_config(folder), choose_placement("cpu", "float16"), base_dir=folder)
    lm = (folder.parent / "lm" / "model.safetensors").stat().st_size
    assert plan.parts["language model"] == pytest.approx(lm, rel=0.01)
