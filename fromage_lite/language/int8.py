"""Linear layers with weights of eight bits, for an LM on a CPU: one scale an output row, activations as they are.

At batch size 1 decoding takes as long as reading the weights, so a quarter of the bytes is up to four times the speed.
torch has a kernel for it; the libraries of quantisation reach it through a compiler only (torchao), or are made for
GPUs and round the activations too (bitsandbytes' LLM.int8).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.core_model_loading import ConversionOps
from transformers.pytorch_utils import Conv1D
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.quantizers.quantizers_utils import get_module_from_name, should_convert_module
from transformers.utils.quantization_config import QuantizationConfigMixin

METHOD = "fromage_lite_int8"
LARGEST = 127.0
BLOCK = 32
"""The kernel is called where the inputs are a multiple of it: it reads whole registers, past the end of other rows."""


def round_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (out, in) -> int8 of the same shape, and the scale of each row, (out,) bfloat16.

    The rows are divided by the rounded scale, so that its rounding is no error of its own.
    """
    scale = (weight.float().abs().amax(dim=1) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
    scale = scale.to(torch.bfloat16)
    return (weight.float() / scale.float()[:, None]).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale


class _Product(torch.autograd.Function):
    """Activations (..., in) times rounded weights; the gradient is the activations' alone, since the LM is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, scale)
        rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16).contiguous()
        if weight.shape[1] % BLOCK:
            product = (rows @ weight.to(torch.bfloat16).T) * scale
        else:
            product = torch._weight_int8pack_mm(rows, weight, scale)
        return product.view(*x.shape[:-1], -1).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        weight, scale = ctx.saved_tensors
        return (grads[0] * scale.to(grads[0])) @ weight.to(grads[0].dtype), None, None


class Int8Linear(nn.Linear):
    """A frozen linear layer of rounded weights; it computes in bfloat16 and answers in its input's precision."""

    def __init__(self, in_features: int, out_features: int, bias: bool, dtype: torch.dtype) -> None:
        super().__init__(in_features, out_features, bias, dtype=dtype)
        empty = torch.empty(out_features, in_features, dtype=torch.int8, device=self.weight.device)
        self.weight = nn.Parameter(empty, requires_grad=False)
        self.scale = nn.Parameter(torch.empty(out_features, dtype=torch.bfloat16, device=empty.device), False)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out), in the precision of the input."""
        product: Tensor = _Product.apply(input, self.weight, self.scale)
        return product if self.bias is None else product + self.bias.to(product.dtype)


@register_quantization_config(METHOD)
class Int8Config(QuantizationConfigMixin):
    """Has `from_pretrained` round an LM's linear layers, but for its head, as they are read from their file."""

    def __init__(self, **_: Any) -> None:
        self.quant_method = METHOD


class _Round(ConversionOps):
    """One layer's weights on their way from the file into the model, so that they are never there twice."""

    def __init__(self, quantizer: _Int8Quantizer) -> None:
        self.hf_quantizer = quantizer

    def convert(self, input_dict: dict[str, Any], *_: Any, full_layer_name: str, **__: Any) -> dict[str, Tensor]:
        result: dict[str, Tensor] = {}
        for name, value in input_dict.items():
            weight = value[0] if isinstance(value, list) else value
            is_turned = full_layer_name.removesuffix(".weight") in self.hf_quantizer.turned
            rounded, scale = round_rows(weight.T.contiguous() if is_turned else weight)
            result |= {name: rounded, f"{name.removesuffix('weight')}scale": scale}
        return result


@register_quantizer(METHOD)
class _Int8Quantizer(HfQuantizer):
    requires_calibration = False
    is_trainable = True
    quantized_element_size = 1.0

    def is_serializable(self) -> bool:
        return False

    def param_needs_quantization(self, model: Any, param_name: str, **_: Any) -> bool:
        module, name = get_module_from_name(model, param_name)
        return isinstance(module, Int8Linear) and name == "weight"

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        kept = self.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
        self.turned: set[str] = set()  # layers whose file has (in, out): GPT-2's
        for name, module in list(model.named_modules()):
            is_turned = isinstance(module, Conv1D)
            if not (is_turned or type(module) is nn.Linear) or not should_convert_module(name, kept):
                continue
            shape = tuple(module.weight.shape)
            n_out, n_in = shape[::-1] if is_turned else shape
            with torch.device("meta"):
                rounded = Int8Linear(n_in, n_out, module.bias is not None, module.weight.dtype)
            model.set_submodule(name, rounded)
            if is_turned:
                self.turned.add(name)

    def get_quantize_ops(self) -> ConversionOps:
        return _Round(self)
