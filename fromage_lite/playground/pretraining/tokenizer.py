"""The playground's tokenizer: byte-level BPE over the grammar's own text, in OPT's layout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fromage_lite.pretraining.tokenizer import BOS_ID, EOS_ID, SPECIAL_TOKENS, new_tokenizer, save_tokenizer

VOCAB_SIZE = 1024


def train_tokenizer(texts: Iterable[str], out: Path) -> None:
    """Train and save a fast tokenizer that `AutoTokenizer.from_pretrained(out)` loads."""
    from tokenizers import models, pre_tokenizers, trainers

    tokenizer = new_tokenizer(models.BPE(unk_token=None))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    save_tokenizer(tokenizer, out)


def save_encoder_tokenizer(lm_folder: Path, out: Path, context_length: int) -> None:
    """The same vocabulary for the encoder's text tower, which pools at the `</s>` that ends a text."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_file(str(lm_folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", BOS_ID), ("</s>", EOS_ID)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
        model_max_length=context_length,
    )
    fast.save_pretrained(out)
