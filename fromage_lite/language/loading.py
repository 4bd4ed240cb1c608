"""Loading a causal language model: quantised, spread over several GPUs, or as it is. It must take pictures."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fromage_lite.checkpoint.hub import file_options, no_progress_bars
from fromage_lite.checkpoint.locate import resolve_model_name
from fromage_lite.errors import ConfigError
from fromage_lite.files import damaged
from fromage_lite.language.checking import check_logits
from fromage_lite.language.model import LanguageModel
from fromage_lite.placement import CPU, Placement

# transformers imports torchao wherever it is installed, and that makes torch warn about torchao's own code.
logging.getLogger("torch.utils._pytree").addFilter(lambda record: "register_constant" not in record.getMessage())


def load_language_model(
    name: str,
    place: Placement = CPU,
    *,
    base_dir: Path | None = None,
    revision: str | None = None,
    rows: int | None = None,
) -> LanguageModel:
    """Loads a causal LM and its tokenizer from a folder or the Hub.

    Args:
        name: a folder or a Hub name.
        place: where and how precisely it runs; by default on the CPU in float32.
        base_dir: where a relative folder counts from.
        revision: of the Hub repository.
        rows: how many embedding rows are words; None is all.

    Raises:
        CheckpointError: if either is missing or damaged, or the LM can't take pictures.
        ConfigError: if the options do not fit the model or the GPUs.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    resolved = resolve_model_name(name, base_dir)
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolved, revision=revision)
        with no_progress_bars(), _compact_memory(place):
            model = AutoModelForCausalLM.from_pretrained(
                resolved, revision=revision, **file_options(), **lm_options(place)
            )
    except Exception as error:  # transformers raises anything from OSError to SafetensorError on a bad file
        raise damaged("language model", name, error) from error
    language = LanguageModel(model, tokenizer, name, rows)
    bring_back(model, language.decoder)
    check_rounding(model)
    check_logits(language)
    return language


def lm_options(place: Placement) -> dict[str, Any]:
    """The placement as options of `AutoModelForCausalLM.from_pretrained`.

    With a device map each tensor goes from the file to its device and precision on its own; the model is never there
    twice.
    """
    options: dict[str, Any] = {"dtype": place.dtype, "device_map": {"": place.device}}
    if place.max_memory is not None:
        options |= {"device_map": "auto", "max_memory": dict(place.max_memory)}
    if place.quantize is not None:
        options["quantization_config"] = _quantization_config(place)
    return options


def check_rounding(model: Any) -> None:
    """Makes layers of four bits compute on a CPU what they should.

    bitsandbytes gives wrong products there where the columns are no multiple of 64, and fails to repack for CPUs with
    AVX512-BF16 where the rows are none of 32.

    Raises:
        ConfigError: a layer can't be rounded to int4 on a CPU.
    """
    for name, module in model.named_modules():
        if type(module).__name__ != "Linear4bit" or module.weight.device.type != "cpu":
            continue
        if module.in_features % 64:
            raise ConfigError(
                f"Layer {name} of the language model has {module.in_features} inputs; int4 on a CPU needs a multiple "
                "of 64.",
                "Give --quantize int8.",
            )
        if module.out_features % 32:
            module.support_avx512bf16_for_cpu = False


def bring_back(model: Any, decoder: Any) -> None:
    """Has an LM that is spread over devices return what it computes to where its input came from.

    accelerate does so for the whole model only; here decoder and head are called on their own.

    Raises:
        ConfigError: a part of the model found no room on a GPU.
    """
    places = {str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()}
    if len(places) < 2:
        return
    if places & {"cpu", "disk"}:
        raise ConfigError(
            "The language model does not fit the GPUs together.", "Give --quantize int4, or choose a smaller one."
        )
    attach_return(decoder)
    attach_return(model.get_output_embeddings())


def attach_return(module: Any) -> None:
    """Has one module of a spread model return its results to the device of its input."""
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    hook = getattr(module, "_hf_hook", None)
    if hook is None:
        first = next(module.parameters()).device
        hook = AlignDevicesHook(execution_device=first, skip_keys=["past_key_values"])
        add_hook_to_module(module, hook)
    hook.io_same_device = True


@contextlib.contextmanager
def _compact_memory(place: Placement) -> Iterator[None]:
    """Has what is freed while an LM is rounded go back to the system at once (glibc on the CPU; elsewhere nothing).

    Otherwise the layers' original weights leave holes between the rounded ones: a model of layers below 32 MB then
    takes more memory rounded than it does as it is.
    """
    mmap_threshold, trim_threshold, largest = -3, -1, 32 * 2**20  # names and limit of malloc.h
    if place.quantize is None or place.device.type != "cpu" or not sys.platform.startswith("linux"):
        yield
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", lambda name, value: 0)  # musl has none
    set_option(mmap_threshold, 2**20)
    try:
        yield
    finally:  # where glibc's own adjustment ends up: temporary tensors need not be asked of the system each time
        set_option(mmap_threshold, largest)
        set_option(trim_threshold, 2 * largest)


def _quantization_config(place: Placement) -> Any:
    """On a CPU, `language.int8`; LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339) or NF4 (2023, arXiv 2305.14314)."""
    if place.rounds_alone:
        from fromage_lite.language.int8 import Int8Config

        return Int8Config()
    from transformers import BitsAndBytesConfig

    if place.quantize == "int8":
        warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")  # once a layer and step
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=place.dtype,
    )
