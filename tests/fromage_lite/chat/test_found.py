"""Found pictures in the model's view of a dialogue."""

from __future__ import annotations

import dataclasses
import io

import pytest
import torch
from PIL import Image

from fromage_lite.chat.context import Context
from fromage_lite.chat.engine import Engine
from fromage_lite.chat.turns import Turn
from fromage_lite.text.marks import MARKED_RET
from index.search.hits import Hit


class Thumbnails:
    """An index that keeps one small picture."""

    def __init__(self, image: Image.Image) -> None:
        stream = io.BytesIO()
        image.save(stream, "PNG")
        self._bytes = stream.getvalue()

    def thumbnail(self, id: int) -> bytes:
        return self._bytes if id == 7 else b""


@pytest.fixture
def seeing(tiny_model, monkeypatch):
    monkeypatch.setattr(tiny_model, "config", dataclasses.replace(tiny_model.config, sees_found=True))
    return tiny_model


def turns_with(*hits):
    return [Turn(("show me a cat.",), ("here.", hits), "stop"), Turn(("thanks.",), ("fine.",), "stop")]


def prompt_of(engine, turns):
    return Context(engine).prepare(turns, ("where is it?",), 8).inputs_embeds


def test_a_found_picture_is_read_when_the_next_turn_begins(seeing, picture):
    engine = Engine(seeing)
    embeds = prompt_of(engine, turns_with(Hit(0, 0.9, picture, "")))
    pieces = [
        seeing.prompt_embeds(["Q: show me a cat.\nA:", f" here.{MARKED_RET}"]),
        seeing.prompt_embeds([engine.features(picture), "\nQ: thanks.\nA:", " fine."], add_bos=False),
        seeing.prompt_embeds(["\nQ: where is it?\nA:"], add_bos=False),
    ]
    assert torch.allclose(embeds, torch.cat(pieces, dim=1), atol=1e-6)


def test_turn_by_turn_it_is_the_same(seeing, picture):
    """What a running dialogue reads piece by piece is what a dialogue from a file reads at once."""
    engine, turns = Engine(seeing), turns_with(Hit(0, 0.9, picture, ""))
    context, fed = Context(engine), 0
    for number in range(3):
        prompt = context.prepare(turns[:number], ("where is it?",), 8)
        fed = prompt.cached + prompt.fed
        context.state.feed(prompt.inputs_embeds)
        context.rollback()
    assert fed == prompt_of(engine, turns).shape[1]


def test_where_the_file_is_gone_the_small_picture_of_the_index_serves(seeing, pictures, picture):
    engine = Engine(seeing, Thumbnails(pictures[0]))
    gone = prompt_of(engine, turns_with(Hit(7, 0.9, "/nowhere.png", "")))
    assert torch.allclose(gone, prompt_of(engine, turns_with(Hit(0, 0.9, picture, ""))), atol=1e-5)
    without = prompt_of(engine, turns_with(Hit(8, 0.9, "/nowhere.png", "")))
    assert without.shape[1] == prompt_of(engine, turns_with()).shape[1] < gone.shape[1]


def test_other_models_do_not_see_what_they_found(tiny_model, picture):
    engine = Engine(tiny_model)
    assert torch.equal(
        prompt_of(engine, turns_with(Hit(0, 0.9, picture, ""))), prompt_of(engine, turns_with(Hit(1, 0.9, "/x", "")))
    )
