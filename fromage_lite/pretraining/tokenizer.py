"""The layout of a shipped LM's tokenizer: OPT's, with text folded to lower case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.models import Model

BOS_ID, PAD_ID, EOS_ID = 0, 1, 2
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")


def new_tokenizer(model: Model) -> Tokenizer:
    """An empty byte-level tokenizer round a model of the tokenizers library."""
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, out: Path) -> None:
    """Saves it as a fast tokenizer that `AutoTokenizer.from_pretrained(out)` loads.

    As in OPT, every text is led by `</s>`, which also ends texts.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", EOS_ID)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="</s>",
        eos_token="</s>",
        unk_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    fast.save_pretrained(out)
