"""Training data: the ids are those of the chat, batches are repeatable, tables of captions are read with care."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from fromage_lite.config import FromageConfig, GenerationSettings
from fromage_lite.errors import DataError
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.text.message import ImageSegment
from fromage_lite.text.templates import TEMPLATES
from fromage_lite.training.data.batches import Batches, Collator, join_pairs
from fromage_lite.training.data.batching import LengthBatches, shard
from fromage_lite.training.data.encoding import IGNORED, IMAGE_SLOT, SequenceEncoder
from fromage_lite.training.data.interleaved import Example, Image, Ret, Text, TrainingData, dialogue_example
from fromage_lite.training.recipe import Recipe, Weights

QA = TEMPLATES["qa"]
TURNS = [
    ((Image(0), "what is this?"), ("a cat on the beach.",)),
    (("show me a lion in the forest.",), ("here it is.", Ret(1))),
    (("how many cars are in", Image(2), "and in", Image(1), "?"), ("three.",)),
    (("and in the desert?",), (Ret(2),)),
    (("two apples.",), ("yes.",)),
]


@pytest.fixture
def encoder(tiny_model):
    return SequenceEncoder(tiny_model.language, tiny_model.config)


@pytest.fixture
def features(tiny_model):
    return np.random.default_rng(0).normal(size=(3, tiny_model.vision.dim)).astype(np.float32)


def words(model, ids) -> str:
    """Ids as text: `*` at visual tokens, `<RET>` at `[RET]`."""
    signs = {IMAGE_SLOT: "*", model.language.ret_token_id: "<RET>"}
    return "".join(signs.get(i) or model.language.tokenizer.decode([i]) for i in np.asarray(ids).tolist())


# --- the same ids as in the chat ---


@pytest.mark.parametrize(("prefix", "suffix"), [("[", "]"), (" [", " ]"), ("", "")])
def test_training_reads_a_dialogue_exactly_as_the_chat_feeds_it(tiny_model, features, monkeypatch, prefix, suffix):
    """Training that tokenizes otherwise than the chat is the classic fault. Here the chat's own decoder runs a
    dialogue whose replies are dictated, and everything that reaches the language model is compared."""
    template, fed = QA, []
    tiny_model.config = dataclasses.replace(tiny_model.config, image_prefix=prefix, image_suffix=suffix)
    encoder = SequenceEncoder(tiny_model.language, tiny_model.config)
    forward = tiny_model.language.forward

    def recording(inputs_embeds, *arguments, **options):
        fed.append(inputs_embeds[0])
        return forward(inputs_embeds, *arguments, **options)

    monkeypatch.setattr(tiny_model.language, "forward", recording)
    state = DecodingState(tiny_model)
    for number, (message, reply) in enumerate(TURNS):
        said = []
        for part in reply:
            is_text = isinstance(part, str)
            said += tiny_model.language.tokenize(f" {part}") if is_text else [tiny_model.language.ret_token_id]
        dictated = iter([*said, *tiny_model.language.tokenize("\n")])
        settings, stops = GenerationSettings(), template.stop_strings
        shown = [part if isinstance(part, str) else ImageSegment(str(part.row)) for part in message]
        segments = [
            part if isinstance(part, str) else torch.from_numpy(features[int(part.path)])
            for part in template.render_turn(shown, is_first=number == 0)
        ]
        prompt = tiny_model.prompt_embeds(segments, add_bos=number == 0)
        list(stream(tiny_model, state, prompt, settings, stop_strings=stops, choose=lambda *_, ids=dictated: next(ids)))
        assert state.finish_reason == "stop"
    if state.pending:
        state.feed()

    data = TrainingData(features, [("a cat", 0)])
    encoded = encoder.example(dialogue_example(template, TURNS))
    batch = Collator(data).sequences([encoded])
    trained = tiny_model.sequence_embeds(batch.ids, batch.features)[0]
    chat = torch.cat(fed)
    assert words(tiny_model, encoded.ids[len(chat) :]) == "\n"  # in the chat the end of the last reply is never fed
    assert torch.allclose(chat, trained[: len(chat)], atol=1e-6)


def test_answers_ret_and_turn_ends_are_the_labels_and_nothing_else(tiny_model, encoder):
    encoded = encoder.example(dialogue_example(QA, TURNS[:2]))
    assert words(tiny_model, encoded.ids) == (
        "</s>Q: [**] what is this?\nA: a cat on the beach.\nQ: show me a lion in the forest.\nA: here it is.<RET>\n"
    )
    learnt = words(tiny_model, encoded.ids[encoded.labels != IGNORED])
    assert learnt == " a cat on the beach.\n here it is.<RET>\n"
    assert encoded.image_rows == (0,) and encoded.ret_rows == (1,)


def test_captions_are_read_as_the_models_own_prompts(tiny_model, encoder, features):
    """Captioning continues `prompt_embeds([picture])`; retrieval is `query_embeds([caption])`."""
    picture, collate = torch.from_numpy(features[1]), Collator(TrainingData(features, [("a cat", 1)]))
    encoded = encoder.captioned_image("a cat", 1, separator=" ")
    assert words(tiny_model, encoded.ids) == "</s>[**] a cat"
    assert words(tiny_model, encoded.ids[encoded.labels != IGNORED]) == " a cat"
    batch = collate.sequences([encoded])
    trained = tiny_model.sequence_embeds(batch.ids, batch.features)
    assert torch.allclose(trained, tiny_model.prompt_embeds([picture, " a cat"]), atol=1e-6)
    prompt = tiny_model.prompt_embeds([picture])
    assert torch.allclose(trained[:, : prompt.shape[1]], prompt, atol=1e-6)

    encoded = encoder.retrieval_caption("a cat", 1)
    assert words(tiny_model, encoded.ids) == "</s>a cat<RET>"
    assert words(tiny_model, encoded.ids[encoded.labels != IGNORED]) == "</s>a cat<RET>"


def test_without_marks_round_images_the_beginning_of_text_follows_the_picture(tiny_model):
    """As in the paper, where the last visual token learns to be followed by it."""
    config = FromageConfig(language_model="x", vision_encoder="y", n_visual_tokens=2)
    encoded = SequenceEncoder(tiny_model.language, config).captioned_image("a cat", 0)
    assert words(tiny_model, encoded.ids) == "**</s>a cat"
    assert words(tiny_model, encoded.ids[encoded.labels != IGNORED]) == "</s>a cat"


def test_long_captions_are_cut_and_long_dialogues_refused(tiny_model, encoder):
    caption = "a big dog and a small tree in the snow."
    whole = encoder.retrieval_caption(caption, 0)
    cut = encoder.retrieval_caption(caption, 0, max_tokens=6)
    assert cut.ids.tolist() == [*whole.ids[:5].tolist(), tiny_model.language.ret_token_id]
    captioning = encoder.captioned_image(caption, 0, max_tokens=6)
    assert (captioning.labels != IGNORED).sum() == 5 and len(captioning.ids) == len(captioning.labels)
    with pytest.raises(DataError, match=r"\d+ tokens, more than max_tokens"):
        encoder.example(dialogue_example(QA, TURNS), max_tokens=20)


def test_a_literal_ret_in_a_text_is_text(tiny_model, encoder):
    text = "Q: say [RET]\nA:"
    encoded = encoder.example(Example((Text(text),)))
    tokenizer, begin = tiny_model.language.tokenizer, list(tiny_model.language.beginning)
    assert encoded.ids.tolist() == begin + tokenizer(text, add_special_tokens=False).input_ids
    assert encoded.ret_rows == ()


def test_joined_pairs_keep_pictures_and_labels_in_order(encoder):
    ones = [encoder.captioned_image(text, row) for row, text in enumerate(["a cat", "two apples", "three"])]
    joined = join_pairs(ones)
    assert [sequence.image_rows for sequence in joined] == [(0, 1), (2,)]
    assert joined[0].ids.tolist() == [*ones[0].ids.tolist(), *ones[1].ids.tolist()]


# --- batches ---


def test_batches_are_repeatable_cover_an_epoch_and_keep_lengths_together():
    lengths = np.random.default_rng(1).integers(5, 60, size=1000)
    batches = LengthBatches(lengths, 16, seed=3)
    first = [batches.batch(step) for step in range(62)]
    again = LengthBatches(lengths, 16, seed=3)
    for step in reversed(range(62)):  # asked for in any order
        assert np.array_equal(again.batch(step), first[step])
    seen = np.concatenate(first)
    assert len(set(seen.tolist())) == len(seen) == 992
    assert not np.array_equal(batches.batch(62), first[0])  # another epoch, another order
    # Padding wastes under a tenth; batches at random would waste nearly half (30 tokens of 58 on average).
    padding = sum(lengths[batch].max() * len(batch) - lengths[batch].sum() for batch in first) / seen.size
    assert padding < 0.1 * lengths.mean()


def test_processes_share_a_batch_evenly():
    parts = [shard(np.arange(10), rank, 3) for rank in range(3)]
    assert [part.tolist() for part in parts] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    with pytest.raises(DataError, match="can't be shared"):
        shard(np.arange(2), 0, 3)


def test_steps_hold_what_the_recipe_asks_for(tiny_model, encoder, features):
    data = TrainingData(features, [("a cat", 0), ("a tree", 1)], [dialogue_example(QA, TURNS)] * 2)
    step = Batches(data, encoder, Recipe("r", batch_size=2, dialogue_batch_size=1, extra_negatives=4)).step(0)
    assert len(step.retrieval.ids) == 2 and len(step.dialogues.ids) == 1 and len(step.negatives.groups) == 4
    assert step.dialogues.features.shape == (3, tiny_model.vision.dim) and len(step.dialogues.ret_groups) == 2
    always = Batches(data, encoder, Recipe("r", batch_size=2, concat_probability=1.0)).step(0)
    assert len(always.captioning.ids) == 1 and len(always.retrieval.ids) == 2 and always.dialogues is None
    quiet = Recipe("r", weights=Weights(captioning=0, retrieval=0, contrastive=0), dialogue_batch_size=1)
    assert Batches(data, encoder, quiet).step(0).retrieval is None


def test_data_that_does_not_fit_together_is_refused(features):
    with pytest.raises(DataError, match="Rows 0 to 3"):
        TrainingData(features, [("a", 0), ("b", 3)])
    with pytest.raises(DataError, match="neither"):
        TrainingData(features, [])
    with pytest.raises(DataError, match="2 groups"):
        TrainingData(features, [("a", 0)], groups=np.array([0, 1]))


def test_after_a_ret_that_ends_the_reply_nothing_more_is_learnt():
    """The decoder asks for no token there, so the end of the turn is read and not said."""
    turns = [(("a cat?",), ("here.", Ret(3))), (("thanks.",), ("you are welcome.",))]
    ends = [
        segment.label
        for segment in dialogue_example(QA, turns, ret_ends_reply=True).segments
        if isinstance(segment, Text) and segment.text == "\n"
    ]
    assert ends == [False, True]


def test_a_found_picture_is_read_after_its_ret_and_is_no_label(tiny_model, encoder):
    turns = [
        (("show me a lion.",), ("here it is.", Ret(1), Image(2))),
        (("where is it?",), ("in the forest.",)),
    ]
    encoded = encoder.example(dialogue_example(QA, turns, ret_ends_reply=True))
    assert words(tiny_model, encoded.ids) == (
        "</s>Q: show me a lion.\nA: here it is.<RET>[**]\nQ: where is it?\nA: in the forest.\n"
    )
    assert words(tiny_model, encoded.ids[encoded.labels != IGNORED]) == " here it is.<RET> in the forest.\n"
    assert encoded.image_rows == (2,) and encoded.ret_rows == (1,)


def test_millions_of_captions_are_encoded_when_they_are_needed_and_no_sooner(tiny_model, monkeypatch):
    data = TrainingData(np.zeros((8, tiny_model.vision.dim)), [(f"caption {'x' * row}", row) for row in range(8)])
    recipe = Recipe("r", batch_size=4)

    class Counting(SequenceEncoder):
        calls = 0

        def retrieval_caption(self, *arguments, **options):
            Counting.calls += 1
            return super().retrieval_caption(*arguments, **options)

    encoder = Counting(tiny_model.language, tiny_model.config)
    Batches(data, encoder, recipe)
    assert Counting.calls == 8
    monkeypatch.setattr("fromage_lite.training.data.batches.MOST_ENCODED", 7)
    lazy = Batches(data, encoder, recipe)
    assert Counting.calls == 8
    batch = lazy.step(0).retrieval
    assert Counting.calls == 12
    said = {tiny_model.language.decode(ids[mask].tolist()) for ids, mask in zip(batch.ids, batch.mask, strict=True)}
    assert len(said) == 4 and said <= {caption for caption, _ in data.captions}
