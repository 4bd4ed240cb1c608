"""Low-rank adapters (LoRA: Hu et al. 2021, arXiv 2106.09685) inside the frozen language model, by peft and in its
format: `adapter_config.json` and `adapter_model.safetensors`, which peft also loads without this program."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fromage_lite.config import ADAPTER_FILES
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.files import read_tensors, write_tensors
from fromage_lite.language.model import LanguageModel
from index.files import write_bytes

FOLDER = "adapters"
CONFIG, WEIGHTS = (Path(name).name for name in ADAPTER_FILES)


class LanguageAdapters:
    """The adapters of one language model, which computes with them from now on. They begin as if they weren't there.

    Args:
        language: gets the adapters; everything else of it stays frozen.
        rank: of each adapter.
        alpha: its output is multiplied by `alpha / rank`.
        targets: the names of the linear layers that get one.

    Raises:
        ConfigError: peft is missing, or the model has no such layers.
    """

    def __init__(self, language: LanguageModel, rank: int, alpha: float, targets: Sequence[str]) -> None:
        try:
            import peft
        except ImportError as error:
            raise ConfigError(
                "This model adapts its language model, which needs peft.",
                "Install it: pip install 'fromage-lite[lora]'",
            ) from error
        self._settings = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), task_type="CAUSAL_LM")
        try:
            with warnings.catch_warnings():  # it asks transformers for what is soon called otherwise
                warnings.simplefilter("ignore", FutureWarning)
                self._model: Any = peft.get_peft_model(language.model, self._settings)
        except ValueError as error:
            raise ConfigError(
                f"The language model {language.name} has no layers named {', '.join(targets)}.",
                "Name its own under lora_targets.",
            ) from error
        self._model.eval()
        self._parameters = {name: value for name, value in self._model.named_parameters() if value.requires_grad}

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by peft's names."""
        return dict(self._parameters)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, by the names in peft's files."""
        import peft

        tensors: dict[str, Tensor] = peft.get_peft_model_state_dict(self._model)
        return tensors

    def save(self, folder: Path, language_model: str) -> None:
        """Writes both files, each atomically.

        Args:
            folder: is made if it isn't there.
            language_model: the name to write down as the model that they belong to.

        Raises:
            OSError: they can't be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        settings = {**self._settings.to_dict(), "base_model_name_or_path": language_model, "inference_mode": True}
        write_tensors(folder / WEIGHTS, self.tensors())
        write_bytes(folder / CONFIG, (json.dumps(settings, indent=2, sort_keys=True, default=_plain) + "\n").encode())

    def load(self, folder: Path) -> None:
        """Takes the weights of a folder.

        Raises:
            CheckpointError: they are missing, damaged, or another model's.
        """
        import peft

        tensors, own = read_tensors(folder / WEIGHTS), self.tensors()
        wrong = sorted(set(tensors) ^ set(own)) or [n for n in sorted(own) if own[n].shape != tensors[n].shape]
        if wrong:
            raise CheckpointError(
                f"The adapters in {folder} do not fit the language model: {wrong[0]}.",
                "Use adapters and a config.json that belong together.",
            )
        peft.set_peft_model_state_dict(self._model, tensors)


def _plain(value: object) -> object:
    """What JSON has no form for, as peft writes it: sets are lists, and enumerations their texts."""
    return sorted(value) if isinstance(value, set) else str(value)
