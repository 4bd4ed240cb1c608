"""How the language model gets into memory: quantised, from which files, spread over devices, and never twice."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fromage_lite.chat.events import Done
from fromage_lite.config import GenerationSettings, LoadOptions
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.language.loading import attach_return, bring_back, lm_options, load_language_model
from fromage_lite.placement import Placement, choose_placement
from fromage_lite.start import load_agent

ROOT = Path(__file__).parents[3]


@torch.inference_mode()
def logits(language):
    ids = torch.tensor([language.tokenize("show me a cat on the beach.")])
    row = torch.zeros(language.dim)
    return language.logits(language.forward(language.embed(ids, row)).hidden, row)[..., : language.vocab_size]


# --- options ---


def test_options_become_a_placement():
    assert choose_placement("cpu") == Placement(torch.device("cpu"), torch.float32)
    assert choose_placement("cpu", "bf16").dtype == torch.bfloat16
    assert choose_placement("cpu", "auto", "none").quantize is None
    assert choose_placement("auto").device.type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("options", [("toaster",), ("cpu", "fp3"), ("cpu", "auto", "int3")])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ConfigError):
        choose_placement(*options)


def test_a_quantisation_whose_library_is_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs bitsandbytes, which is not installed.*pip install bitsandbytes"):
        choose_placement("cpu", "auto", "int4")
    assert choose_placement("cpu", "auto", "int8").quantize == "int8"  # torch's own


def test_a_model_spread_over_gpus_is_laid_out_by_their_memory():
    options = lm_options(Placement(torch.device("cuda"), torch.bfloat16, max_memory={0: 7 * 10**9, 1: 10**10}))
    assert options == {"dtype": torch.bfloat16, "device_map": "auto", "max_memory": {0: 7 * 10**9, 1: 10**10}}
    alone = lm_options(Placement(torch.device("cuda", 1), torch.bfloat16))
    assert alone == {"dtype": torch.bfloat16, "device_map": {"": torch.device("cuda", 1)}}


def test_a_spread_model_gives_what_it_gives_in_one_place(tiny_lm_dir, tiny_parts):
    """With one device at hand: the hooks that carry results back are there and change nothing."""
    language = load_language_model(str(tiny_lm_dir))
    language.model.hf_device_map = {"model.decoder.layers.0": 0, "model.decoder.layers.1": 1}
    bring_back(language.model, language.decoder)
    assert language.decoder._hf_hook.io_same_device and language.model.lm_head._hf_hook.io_same_device
    torch.testing.assert_close(logits(language), logits(tiny_parts[0]))


def test_a_model_that_found_no_room_on_the_gpus_is_refused(tiny_lm_dir):
    language = load_language_model(str(tiny_lm_dir))
    language.model.hf_device_map = {"model.decoder.layers.0": 0, "model.decoder.layers.1": "cpu"}
    with pytest.raises(ConfigError, match="--quantize int4"):
        bring_back(language.model, language.decoder)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_model_on_two_gpus(tiny_lm_dir, tiny_parts):
    half = {0: 60_000, 1: 10**9}
    language = load_language_model(str(tiny_lm_dir), Placement(torch.device("cuda"), max_memory=half))
    assert len({parameter.device for parameter in language.model.parameters()}) == 2
    torch.testing.assert_close(logits(language).cpu(), logits(tiny_parts[0]), atol=1e-3, rtol=1e-3)


def test_attaching_twice_attaches_once():
    module = torch.nn.Linear(2, 2)
    attach_return(module)
    hook = module._hf_hook
    attach_return(module)
    assert module._hf_hook is hook


# --- quantisation ---


@pytest.fixture(scope="module")
def wider_lm(tmp_path_factory, tiny_tokenizer):
    """A random OPT whose layers are as wide as int4 on a CPU needs it."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wider")
    config = OPTConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=128,
        word_embed_proj_dim=64,
        ffn_dim=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        init_std=0.2,
    )
    OPTForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def need_library(quantize):
    """On a CPU int8 is torch's own."""
    if quantize == "int4":
        pytest.importorskip("bitsandbytes")


def test_eight_bits_are_rounded_row_by_row(wider_lm):
    """Each weight is off by half a step of its row at most, and products are those of the rounded weights."""
    rounded = load_language_model(str(wider_lm), Placement(quantize="int8")).decoder.layers[0].fc1
    exact = load_language_model(str(wider_lm)).decoder.layers[0].fc1
    weights = rounded.weight.float() * rounded.scale.float()[:, None]
    step = exact.weight.abs().amax(dim=1, keepdim=True) / 127
    assert ((weights - exact.weight).abs() <= 0.51 * step).all()
    inputs = torch.randn(3, 5, exact.in_features, requires_grad=True)
    expected = inputs.bfloat16().float() @ weights.T + exact.bias
    assert torch.allclose(rounded(inputs), expected, atol=0.02 * expected.abs().max().item())
    rounded(inputs).square().sum().backward()
    found, inputs.grad = inputs.grad, None
    (inputs @ weights.T + exact.bias).square().sum().backward()
    assert (found - inputs.grad).norm() < 0.01 * inputs.grad.norm()


@pytest.mark.parametrize("n_in", [4, 17, 40, 100])
def test_eight_bits_of_any_width(n_in):
    """torch's kernel reads whole registers: of such rows it would read past the end."""
    from fromage_lite.language.int8 import Int8Linear, round_rows

    layer, weight = Int8Linear(n_in, 5, False, torch.float32), torch.randn(5, n_in)
    layer.weight.data, layer.scale.data = round_rows(weight)
    inputs = torch.randn(3, 2, n_in)[:, -1]
    error = (layer(inputs) - inputs @ weight.T).norm() / (inputs @ weight.T).norm()
    assert error < 0.03


def test_the_turned_layers_of_gpt2_are_rounded_too(tiny_tokenizer, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"vocab_size": len(tiny_tokenizer), "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 64}
    GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.2)).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    rounded, exact = (load_language_model(str(tmp_path), place) for place in (Placement(quantize="int8"), Placement()))
    for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
        layer = rounded.decoder.h[1].get_submodule(name)
        assert layer.weight.dtype == torch.int8
        inputs = torch.randn(50, layer.in_features)
        wanted = exact.decoder.h[1].get_submodule(name)(inputs)
        assert 0 < (layer(inputs) - wanted).norm() / wanted.norm() < 0.02, name


# The figure is the error of normally distributed numbers: 255 steps over a row (of weights, and of inputs), and NF4.
@pytest.mark.parametrize(("quantize", "rounding"), [("int8", 0.015), ("int4", 0.1)])
def test_a_quantised_language_model(wider_lm, quantize, rounding):
    need_library(quantize)
    rounded = load_language_model(str(wider_lm), Placement(quantize=quantize))
    exact = load_language_model(str(wider_lm))
    assert rounded.model.get_input_embeddings().weight.dtype == torch.float32
    layers = {name: layer for name, layer in exact.model.named_modules() if type(layer) is torch.nn.Linear}
    del layers["lm_head"]
    assert len(layers) == 2 + 2 * 6
    for name, layer in layers.items():
        inputs = torch.randn(50, layer.in_features)
        with torch.inference_mode():
            error = (rounded.model.get_submodule(name)(inputs) - layer(inputs)).norm() / layer(inputs).norm()
        assert 0 < error < 1.3 * rounding, name
    difference = (logits(rounded) - logits(exact)).norm() / logits(exact).norm()
    assert 0 < difference < 4 * rounding


def test_a_quantised_model_chats(tiny_checkpoint):
    agent = load_agent(LoadOptions(str(tiny_checkpoint), "none", "cpu", quantize="int8"))
    dialogue = agent.dialogue(GenerationSettings(max_new_tokens=5))
    assert isinstance(list(dialogue.reply("hello."))[-1], Done)
    assert dialogue.undo() is not None


def test_layers_that_int4_computes_wrongly_on_a_cpu_are_refused(tiny_lm_dir):
    pytest.importorskip("bitsandbytes")
    with pytest.raises(
        ConfigError, match=r"has 32 inputs; int4 on a CPU needs a multiple of 64\. Give --quantize int8"
    ):
        load_language_model(str(tiny_lm_dir), Placement(quantize="int4"))


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_the_plan_of_a_quantised_model_is_what_it_takes(tiny_tokenizer, tmp_path, quantize):
    need_library(quantize)
    from transformers import LlamaConfig, LlamaForCausalLM

    from fromage_lite.language.size import size_of

    config = LlamaConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    language = load_language_model(str(tmp_path), Placement(quantize=quantize))
    taken = sum(stored_bytes(parameter) for parameter in language.model.parameters())
    assert size_of(config).weight_bytes(torch.float32, quantize) == pytest.approx(taken, rel=0.03)


def stored_bytes(parameter):
    """Bytes of a parameter with the constants that its numbers are scaled by."""
    if hasattr(parameter, "quant_state"):  # int4
        state = parameter.quant_state
        constants = [state.absmax, *([state.state2.absmax] if state.nested else [])]
        return parameter.nbytes + sum(tensor.nbytes for tensor in constants)
    return parameter.nbytes + (parameter.SCB.nbytes if getattr(parameter, "SCB", None) is not None else 0)


# --- files ---


@pytest.fixture
def bin_model(tiny_lm_dir, tmp_path):
    """The tiny LM as repositories had them before safetensors."""
    folder = shutil.copytree(tiny_lm_dir, tmp_path / "bin")
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_weights_in_a_bin_file(bin_model, tiny_parts):
    torch.testing.assert_close(logits(load_language_model(str(bin_model))), logits(tiny_parts[0]))


def test_safetensors_come_before_a_bin_file(bin_model, tiny_lm_dir, tiny_parts):
    shutil.copy(tiny_lm_dir / "model.safetensors", bin_model)
    (bin_model / "pytorch_model.bin").write_bytes(b"nothing that can be read")
    torch.testing.assert_close(logits(load_language_model(str(bin_model))), logits(tiny_parts[0]))


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_hostile_bin_file_runs_nothing(bin_model, tmp_path, form):
    path, trap = bin_model / "pytorch_model.bin", tmp_path / "trap"
    if form == "torch":
        torch.save({"model.decoder.final_layer_norm.weight": Hostile(trap)}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(trap)))
    with pytest.raises(CheckpointError, match="could not be loaded"):
        load_language_model(str(bin_model))
    assert not trap.exists()
    pickle.loads(pickle.dumps(Hostile(trap)))
    assert trap.exists(), "the trap works"


# --- memory ---

LOAD = """
import sys
import torch
from fromage_lite.language.loading import load_language_model
from fromage_lite.placement import Placement

def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024

wider, large, quantize = sys.argv[1], sys.argv[2], sys.argv[3] or None
load_language_model(wider, Placement(quantize=quantize))  # imports what there is to import
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
begun = status("VmRSS")
language = load_language_model(large, Placement(quantize=quantize))
print(status("VmHWM") - begun)
"""


@pytest.fixture(scope="module")
def large_lm(tmp_path_factory, tiny_tokenizer):
    """76 million parameters in bfloat16: 151 MB in files of 40 MB."""
    from transformers import OPTConfig, OPTForCausalLM

    folder = tmp_path_factory.mktemp("large")
    config = OPTConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=1024,
        word_embed_proj_dim=1024,
        ffn_dim=4096,
        num_hidden_layers=6,
        num_attention_heads=16,
        max_position_embeddings=128,
    )
    OPTForCausalLM(config).to(torch.bfloat16).save_pretrained(folder, max_shard_size="40MB")
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak of memory as Linux tells it")
@pytest.mark.parametrize(("quantize", "share"), [("", 1.75), ("int8", 1.0), ("int4", 1.0)])
def test_loading_never_holds_the_model_twice(wider_lm, large_lm, quantize, share):
    """In float32 it takes 4 bytes a parameter, beside the mapped pages of the file, 2 bytes, which cost nothing that
    others need; two copies would be 8 and more. A rounded model is never there in float32."""
    need_library(quantize)
    result = subprocess.run(
        [sys.executable, "-c", LOAD, str(wider_lm), str(large_lm), quantize],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    peak = int(result.stdout) / 76_000_000
    print(f"{quantize or 'float32'}: {peak:.2f} bytes a parameter")
    assert 0.5 < peak < 4 * share
