"""Pieces of a text have the ids that they have in the whole text: each kind of tokenizer against itself."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from fromage_lite.text.marks import special
from fromage_lite.text.streaming import TextStream
from fromage_lite.text.tokens import TextEncoder

CORPUS = ["Q: what is in this picture?\nA: a cat on the beach.", "show me a cat  in the snow!\n\nHere you are: a dog.",
          "[a red car] beside (two boats), and 3 more.", "caféstraße"] * 30  # fmt: skip
TEXTS = [
    "Q: what is in this picture?\nA: a cat on the beach.\nQ: and now?\nA: 3 dogs",
    "a  cat,[red] car\n\n two boats",
]
BYTES = [f"<0x{number:02X}>" for number in range(256)]
METASPACE = {"first", "always", "never"}


def trained(kind: str) -> Tokenizer:
    """A tokenizer as they come with models, trained on a few sentences."""
    specials = ["<unk>", "<s>", "</s>", "<mark>"]
    if kind == "unigram":  # XGLM, T5: blanks are collapsed before
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
        trainer = trainers.UnigramTrainer(
            vocab_size=150, special_tokens=specials, unk_token="<unk>", show_progress=False
        )
        tokenizer.train_from_iterator(CORPUS, trainer)
    elif kind.startswith("bytes"):  # GPT-2; with a blank before every text, RoBERTa
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind.endswith("blank"))
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=specials, show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
        tokenizer.train_from_iterator(CORPUS, trainer)
    elif kind == "words":  # BERT
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        tokenizer.train_from_iterator(
            CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=specials, show_progress=False)
        )
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        scheme = kind if kind in METASPACE else "first"
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
        trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=specials + BYTES, show_progress=False)
        tokenizer.train_from_iterator(CORPUS, trainer)
        if kind == "llama":  # the older ones: the blank comes by a normalizer, and again after each special token
            data = json.loads(tokenizer.to_str())
            data["pre_tokenizer"] = None
            data["normalizer"] = {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}  # fmt: skip
            data["decoder"] = {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}  # fmt: skip
            tokenizer = Tokenizer.from_str(json.dumps(data))
    return tokenizer


KINDS = ["llama", "first", "always", "never", "unigram", "bytes", "bytes with a blank", "words"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    core = trained(request.param)
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", mask_token="<mark>"
    )


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


def seams(tokenizer, text):
    """Where a token ends, so that the text can be cut there: the place, and how many tokens come before."""
    whole = ids_of(tokenizer, text)
    for place in range(1, len(text)):
        before = ids_of(tokenizer, text[:place])
        if before == whole[: len(before)] and len(before) < len(whole):
            yield place, len(before)


@pytest.mark.parametrize("text", TEXTS)
def test_a_piece_has_the_ids_that_it_has_in_the_whole_text(tokenizer, text):
    encoder, whole = TextEncoder(tokenizer), ids_of(tokenizer, text)
    assert encoder.encode(text, begins=True) == whole
    tried = 0
    for place, count in seams(tokenizer, text):
        # A cut inside a run of blanks that the tokenizer collapses leaves none to the second piece.
        if "  " in text[place - 1 : place + 1] and ids_of(tokenizer, "a  b") == ids_of(tokenizer, "a b"):
            continue
        # Nor does the end of a word tell that it is one, where the blanks between words are no tokens.
        if text[place - 1 : place + 1].isalnum() and ids_of(tokenizer, "a b") == ids_of(tokenizer, "a  b "):
            continue
        assert encoder.encode(text[place:]) == whole[count:], text[place:]
        tried += 1
    assert tried >= 8


def test_a_reply_read_back_has_the_ids_that_were_generated(tokenizer):
    prompt, reply, end = "Q: what is in this picture?\nA:", " a cat on the beach.", "\nQ: and now?"
    whole, head = ids_of(tokenizer, prompt + reply + end), ids_of(tokenizer, prompt)
    said = ids_of(tokenizer, prompt + reply)[len(head) :]
    assert whole[: len(head) + len(said)] == head + said
    encoder = TextEncoder(tokenizer)
    stream = TextStream(encoder.decode)
    shown = "".join(stream.push(i) for i in said) + stream.flush()
    assert shown == tokenizer.decode(said).strip()
    assert encoder.encode(f" {shown}") == said
    assert encoder.encode(end) == whole[len(head) + len(said) :]


def test_typed_special_tokens_stay_text_in_every_piece(tokenizer):
    """Blanks included: what is decoded is what was typed, if the tokenizer has the characters."""
    encoder = TextEncoder(tokenizer)
    for begins in (True, False):
        ids = encoder.encode(f"{special('</s>')}a </s> cat", begins)
        assert ids.count(2) == 1 and ids[0] == 2
        template = ids_of(tokenizer, "</s>a cat")
        assert encoder.encode(f"{special('</s>')}a cat", begins) == template
        rest = ids_of(tokenizer, "</s>a")[1:]
        assert ids[1 : 1 + len(rest)] == rest


@pytest.mark.parametrize("before", ["", "<s>", "</s>", "<mark> <s>"])
@pytest.mark.parametrize("after", ["", " </s>"])
def test_what_a_tokenizer_puts_before_a_text(before, after):
    core = trained("first")
    specials = [(token, core.token_to_id(token)) for token in ("<s>", "</s>", "<mark>")]
    core.post_processor = processors.TemplateProcessing(single=f"{before} $A{after}".strip(), special_tokens=specials)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    assert TextEncoder(tokenizer).beginning() == tuple(core.token_to_id(token) for token in before.split())
