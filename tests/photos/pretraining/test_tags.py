"""Visual tokens in the LM's own embeddings, and the tokenizer that keeps every tag whole."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from fromage_lite.photos.pretraining.corpus import Encoder
from fromage_lite.photos.pretraining.tags import TagTable, slot_ids
from fromage_lite.photos.pretraining.tokenizer import make_tokenizer
from fromage_lite.photos.text.document import Asked, Picture, say_with
from fromage_lite.photos.text.pictures import plain
from fromage_lite.photos.text.words import words_of
from fromage_lite.photos.world.classes import CLASSES

WIDTH = 8
NUMBER = {row.name: number for number, row in enumerate(CLASSES)}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    out = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(out, documents=150)
    return AutoTokenizer.from_pretrained(out)


def test_every_word_of_a_name_is_one_token(tokenizer):
    for number in range(len(CLASSES)):
        for words in words_of(number):
            ids = tokenizer.encode(f" {words}", add_special_tokens=False)
            assert len(ids) == len(words.split()), words
            assert tokenizer.decode(ids) == f" {words}"


@pytest.mark.parametrize(
    "text", ["Q: Show me a Dragoon, ZÜRICH 12:30 <v1> [x]!\nA: i can't", "\x00\t🙂 jack-o'-lantern's"]
)
def test_any_text_comes_back_in_lower_case(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text.lower()
    assert not set(ids) & set(slot_ids(tokenizer))  # nobody can type a place of a span


def test_a_plural_is_the_noun_and_an_s(tokenizer):
    dog, dogs = (tokenizer.encode(text, add_special_tokens=False) for text in (" dog", " dogs"))
    assert dogs[:1] == dog
    assert tokenizer.decode(dogs[1:]) == "s"


def test_the_visual_map_gives_what_stands_in_the_pretraining_text(tokenizer):
    """Six tokens a picture: the place's own embedding, and the mixture of the tags' embeddings."""
    torch.manual_seed(0)
    table = torch.randn(len(tokenizer), WIDTH)
    mixture = np.zeros(1000, dtype=np.float32)
    mixture[NUMBER["bald eagle"]], mixture[NUMBER["hen"]] = 0.75, 0.25
    row = lambda word: table[tokenizer.encode(f" {word}", add_special_tokens=False)].sum(0)  # noqa: E731
    slots = table[slot_ids(tokenizer)]
    wanted = slots + torch.stack(
        [
            row("-"),
            0.75 * row("bald") + 0.25 * row("-"),
            0.75 * row("eagle") + 0.25 * row("hen"),
            0.75 * (row("bird") + row("of") + row("prey")) + 0.25 * row("-"),
            row("bird"),
            row("animal"),
        ]
    )
    tags = TagTable(tokenizer)
    weight, bias = tags.visual_map(table, slot_ids(tokenizer))
    mapped = (weight @ torch.from_numpy(mixture) + bias).view(6, WIDTH)
    torch.testing.assert_close(mapped, wanted)
    document = Encoder(tokenizer, slot_ids(tokenizer)).encode(say_with([Picture(mixture)], "what is it?", "a bird."))
    (at, _), *_ = document.spans
    embeds = table[torch.tensor([document.ids])]
    filled = tags.fill(embeds, table, torch.tensor([[0, at]]), torch.from_numpy(mixture)[None])
    torch.testing.assert_close(filled[0, at : at + 6], wanted)
    torch.testing.assert_close(filled[0, at + 6 :], embeds[0, at + 6 :])


def test_the_thing_that_a_question_asks_for_is_found_at_its_last_word(tokenizer):
    asked = Asked("bird of prey", (21, 22), (0.9,))
    document = say_with([Picture(plain(22))], "is it a bird of prey?", "yes.", asked)
    encoded = Encoder(tokenizer, slot_ids(tokenizer)).encode(document)
    ((at, found),) = encoded.things
    assert found == asked
    assert tokenizer.decode(encoded.ids[at - 2 : at + 1]) == " bird of prey"
    assert tokenizer.decode(encoded.ids[at + 1]) == "?"
