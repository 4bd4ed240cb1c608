"""The oracle is the slow obvious way: the whole sequence again for every token, without a cache."""

import dataclasses
import threading

import pytest
import torch

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import MessageError
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.model.sampling import choose

STOPS = ("\n", "Q:")


@pytest.fixture
def ret(tiny_model):
    return tiny_model.language.ret_token_id


@pytest.fixture
def script(tiny_model):
    return Dictation(tiny_model)


class Dictation:
    """Called with pieces (texts are tokenized, numbers are ids), makes `choose` say them; returns their ids."""

    def __init__(self, model):
        self.model, self.ids = model, iter(())

    def __call__(self, *pieces):
        ids = [i for p in pieces for i in ([p] if isinstance(p, int) else self.model.language.tokenize(p))]
        self.ids = iter(ids)
        return ids

    def choose(self, *_):
        return next(self.ids)


def reply(model, state, segments, script=None, add_bos=False, stops=(), **settings):
    """The tokens of a reply that the model makes up, or the script dictates."""
    embeds = model.prompt_embeds(segments, add_bos=add_bos)
    chooser = script.choose if script else choose
    return list(stream(model, state, embeds, GenerationSettings(**settings), stop_strings=stops, choose=chooser))


def ids_of(tokens):
    return [token.id for token in tokens if token.id is not None]


def text_of(tokens):
    return "".join(token.text for token in tokens)


@torch.no_grad()
def naive(model, embeds, count, suppressed=()):
    """Greedy ids by running everything again for each token."""
    ids = []
    for _ in range(count):
        hidden = model.language.forward(embeds).hidden[:, -1]
        logits = model.language.logits(hidden, model.bridge.output_row)[0]
        logits[list(model.suppressed_ids) + list(suppressed)] = -torch.inf
        ids.append(int(logits.argmax()))
        embeds = torch.cat([embeds, model.token_embeds(ids[-1:])], dim=1)
    return ids


def test_cached_decoding_equals_the_naive_way_over_two_turns(tiny_model, pictures, ret):
    first, second = ["Q: ", pictures[0], " what is this?\nA:"], ["\nQ: and ", pictures[1], "?\nA:"]
    state = DecodingState(tiny_model)
    settings = {"max_new_tokens": 20, "ret_mode": "off"}
    one = ids_of(reply(tiny_model, state, first, add_bos=True, **settings))
    two = ids_of(reply(tiny_model, state, second, **settings))
    assert state.finish_reason == "length"

    embeds = tiny_model.prompt_embeds(first)
    assert one == naive(tiny_model, embeds, 20, [ret])
    assert len(set(one)) > 3  # the random model does not just repeat itself
    embeds = torch.cat([embeds, tiny_model.token_embeds(one), tiny_model.prompt_embeds(second, add_bos=False)], dim=1)
    assert two == naive(tiny_model, embeds, 20, [ret])
    assert state.length == embeds.shape[1] + 20


def test_a_turn_feeds_only_its_new_tokens(tiny_model, monkeypatch):
    state = DecodingState(tiny_model)
    reply(tiny_model, state, ["Q: a long first message about a cat on the beach\nA:"], max_new_tokens=5)
    fed = []
    forward = tiny_model.language.forward
    monkeypatch.setattr(
        tiny_model.language, "forward", lambda embeds, *a, **k: fed.append(embeds.shape[1]) or forward(embeds, *a, **k)
    )
    new = tiny_model.prompt_embeds(["\nQ: and a dog?\nA:"], add_bos=False).shape[1]
    reply(tiny_model, state, ["\nQ: and a dog?\nA:"], max_new_tokens=4, ret_mode="off")
    assert fed == [new + 1, 1, 1, 1]  # with the last token of the reply before; the fourth new token waits in turn


def test_undo_by_cropping_equals_a_run_that_never_had_the_turn(tiny_model, pictures):
    first, second, third = ["Q: a cat\nA:"], ["\nQ: ", pictures[0], "\nA:"], ["\nQ: and at night?\nA:"]
    state, fresh = DecodingState(tiny_model), DecodingState(tiny_model)
    for each in (state, fresh):
        reply(tiny_model, each, first, add_bos=True, max_new_tokens=9)
    length = state.length
    reply(tiny_model, state, second, max_new_tokens=12, ret_mode="always")
    state.crop(length)
    assert state.length == fresh.length == length
    undone = reply(tiny_model, state, third, max_new_tokens=15, ret_mode="always")
    never = reply(tiny_model, fresh, third, max_new_tokens=15, ret_mode="always")
    assert ids_of(undone) == ids_of(never)
    queries = [[t.query_embeds for t in tokens if t.query_embeds is not None] for tokens in (undone, never)]
    torch.testing.assert_close(queries[0], queries[1], atol=1e-5, rtol=1e-5)


def test_crop_to_nothing_and_within_the_pending_tokens(tiny_model):
    state = DecodingState(tiny_model)
    reply(tiny_model, state, ["Q: a cat\nA:"], max_new_tokens=6, ret_mode="off")
    assert len(state.pending) == 1
    state.crop(state.length - 1)
    assert (len(state.pending), state.length) == (0, state.cached)
    state.crop(0)
    assert state.length == 0
    again = reply(tiny_model, state, ["Q: a dog\nA:"], max_new_tokens=6)
    assert ids_of(again) == ids_of(reply(tiny_model, DecodingState(tiny_model), ["Q: a dog\nA:"], max_new_tokens=6))
    with pytest.raises(ValueError, match="cannot crop"):
        state.crop(state.length + 1)


@torch.no_grad()
def test_the_query_is_read_at_the_ret_position(tiny_model, script, ret):
    prompt = ["Q: show me a cat.\nA:"]
    said = script(" here it is.", ret, " and", ret)
    tokens = reply(tiny_model, DecodingState(tiny_model), prompt, script, max_new_tokens=len(said))
    queries = [token.query_embeds for token in tokens if token.query_embeds is not None]
    embeds = torch.cat([tiny_model.prompt_embeds(prompt, add_bos=False), tiny_model.token_embeds(said)], dim=1)
    hidden = tiny_model.language.forward(embeds).hidden
    start = embeds.shape[1] - len(said)
    places = [start + i for i, each in enumerate(said) if each == ret]
    expected = [tiny_model.bridge.query_embeds([hidden[:, place]]) for place in places]
    torch.testing.assert_close(queries, expected, atol=1e-5, rtol=1e-5)
    assert text_of(tokens) == "here it is. and"


def test_query_of_a_generated_ret_equals_the_search_without_generation(tiny_model, script, ret):
    script(ret)
    tokens = reply(tiny_model, DecodingState(tiny_model), ["a cat"], script, add_bos=True, max_new_tokens=1)
    torch.testing.assert_close(tokens[0].query_embeds, tiny_model.query_embeds(["a cat"]), atol=1e-5, rtol=1e-5)


def test_stop_string_is_not_shown_and_leaves_the_dialogue(tiny_model, script):
    state = DecodingState(tiny_model)
    said = script(" a red car.", "\n", "Q:")
    tokens = reply(tiny_model, state, ["Q: what?\nA:"], script, stops=STOPS)
    assert (text_of(tokens), state.finish_reason) == ("a red car.", "stop")
    prompt = tiny_model.prompt_embeds(["Q: what?\nA:"], add_bos=False).shape[1]
    assert state.length == prompt + said.index(tiny_model.language.tokenize("\n")[0])


def test_a_stop_string_over_several_tokens_is_cut_out(tiny_model, script):
    spelled = [tiny_model.language.tokenize(letter)[0] for letter in "Q:"]
    states = [DecodingState(tiny_model) for _ in range(2)]
    script(" a dog ", *spelled, " more")
    assert text_of(reply(tiny_model, states[0], ["A:"], script, stops=STOPS)) == "a dog "
    script(" a dog ", tiny_model.language.tokenizer.eos_token_id)
    reply(tiny_model, states[1], ["A:"], script, stops=STOPS)
    assert states[0].length == states[1].length
    assert states[0].finish_reason == states[1].finish_reason == "stop"


def test_visible_text_in_the_token_of_a_stop_string_stays_in_the_dialogue(tiny_model, script, monkeypatch):
    """A token may hold the end of the reply and the stop string both, as ".\\n" does in some vocabularies."""
    language = tiny_model.language
    decode = language.decode
    monkeypatch.setattr(language, "decode", lambda ids: decode(ids).replace("w", ".\n"))
    state = DecodingState(tiny_model)
    script(" a dog", *language.tokenize("w"))
    assert text_of(reply(tiny_model, state, ["A:"], script, stops=STOPS)) == "a dog."
    assert state.pending[-1:] == language.tokenize(".")


def test_end_of_text_is_not_part_of_the_dialogue(tiny_model, script):
    state = DecodingState(tiny_model)
    eos = tiny_model.language.tokenizer.eos_token_id
    said = script(" yes", eos, " never said")
    tokens = reply(tiny_model, state, ["A:"], script)
    prompt = tiny_model.prompt_embeds(["A:"], add_bos=False).shape[1]
    assert (text_of(tokens), ids_of(tokens)[-1], state.length) == ("yes", eos, prompt + said.index(eos))


@pytest.mark.parametrize("ending", ["\n", "eos"])
def test_always_says_ret_after_the_text_when_the_model_stops(tiny_model, script, ret, ending):
    ending = tiny_model.language.tokenizer.eos_token_id if ending == "eos" else ending
    said = script(" here", ending)
    state = DecodingState(tiny_model)
    tokens = reply(tiny_model, state, ["A:"], script, stops=STOPS, ret_mode="always", min_word_tokens=50)
    assert ids_of(tokens) == [*said, ret]
    assert tokens[-1].query_embeds.shape == (1, 16)
    assert (text_of(tokens), state.finish_reason) == ("here", "stop")
    torch.testing.assert_close(
        tokens[-1].query_embeds,
        reply(tiny_model, DecodingState(tiny_model), ["A: here"], ret_mode="always", max_new_tokens=1)[0].query_embeds,
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip


def test_a_reply_can_end_with_its_first_ret(tiny_model, script, ret):
    script("here it is.", ret, "cat beach ]", ret)
    tiny_model.config = dataclasses.replace(tiny_model.config, ret_ends_reply=True)
    state = DecodingState(tiny_model)
    tokens = reply(tiny_model, state, ["Q: a cat\nA:"], script, add_bos=True)
    assert ids_of(tokens)[-1] == ret
    assert ids_of(tokens).count(ret) == 1
    assert text_of(tokens) == "here it is."
    assert state.finish_reason == "stop"


def test_always_says_ret_once(tiny_model, script, ret):
    script(" one", ret, " two", "\n")
    tokens = reply(tiny_model, DecodingState(tiny_model), ["A:"], script, stops=STOPS, ret_mode="always")
    assert ids_of(tokens).count(ret) == 1


def test_always_says_ret_at_the_last_allowed_token(tiny_model, ret):
    """The reference loses a `[RET]` at the last index (it is never fed back), and fails with an IndexError."""
    state = DecodingState(tiny_model)
    tokens = reply(tiny_model, state, ["Q: a cat\nA:"], ret_mode="always", max_new_tokens=4, min_word_tokens=4)
    assert ids_of(tokens)[-1] == ret
    assert len(ids_of(tokens)) == 4
    assert tokens[-1].query_embeds is not None
    assert state.pending == []


def test_ret_at_the_last_position_of_the_language_model(tiny_model, ret):
    state = DecodingState(tiny_model)
    limit = tiny_model.language.max_positions
    state.feed(torch.zeros(1, limit - 4, tiny_model.language.dim))
    tokens = reply(tiny_model, state, ["a"], ret_mode="always", min_word_tokens=3)
    assert ids_of(tokens)[-1] == ret
    assert (len(ids_of(tokens)), state.length, state.finish_reason) == (3, limit, "length")


def test_a_prompt_beyond_the_positions_is_refused_and_changes_nothing(tiny_model):
    state = DecodingState(tiny_model)
    reply(tiny_model, state, ["Q: a cat\nA:"], max_new_tokens=3)
    length = state.length
    with pytest.raises(MessageError, match="at most 128"):
        reply(tiny_model, state, ["a cat " * 100])
    assert state.length == length
    assert reply(tiny_model, state, ["\nQ: a dog\nA:"], max_new_tokens=3)


def test_off_and_suppressed_tokens(tiny_model, ret):
    tiny_model.bridge.ret_row.data.mul_(100)  # a [RET] that would win whenever its logit is positive
    for seed in range(3):
        tokens = reply(tiny_model, DecodingState(tiny_model), ["Q:"], ret_mode="off", temperature=5.0, seed=seed)
        assert not set(ids_of(tokens)) & {ret, *tiny_model.suppressed_ids}
    many = reply(tiny_model, DecodingState(tiny_model), ["Q:"], ret_bias=1e6, max_images=4, images_per_ret=2)
    assert ids_of(many)[:2] == [ret, ret]
    assert ids_of(many).count(ret) == 2


def test_the_same_seed_gives_the_same_reply(tiny_model):
    def ids(seed):
        return ids_of(reply(tiny_model, DecodingState(tiny_model), ["Q:"], temperature=1.0, top_p=0.95, seed=seed))

    assert ids(1) == ids(1) != ids(2)


def test_cancel_ends_the_reply_within_one_token(tiny_model):
    state, cancel = DecodingState(tiny_model), threading.Event()
    embeds = tiny_model.prompt_embeds(["Q: a cat\nA:"])
    tokens = stream(tiny_model, state, embeds, GenerationSettings(ret_mode="always"), cancel=cancel)
    said = [next(tokens), next(tokens)]
    cancel.set()
    assert ids_of(tokens) == []
    assert state.finish_reason == "cancelled"
    assert state.length == embeds.shape[1] + len(said)  # what was said belongs to the dialogue


def test_an_abandoned_reply_leaves_a_usable_dialogue(tiny_model):
    state = DecodingState(tiny_model)
    tokens = stream(tiny_model, state, tiny_model.prompt_embeds(["Q: a\nA:"]), GenerationSettings())
    first = next(tokens)
    tokens.close()
    ids = ids_of(reply(tiny_model, state, ["\nQ: b\nA:"], max_new_tokens=8, ret_mode="off"))
    pieces = [tiny_model.prompt_embeds(["Q: a\nA:"]), tiny_model.token_embeds([first.id])]
    embeds = torch.cat([*pieces, tiny_model.prompt_embeds(["\nQ: b\nA:"], add_bos=False)], dim=1)
    assert ids == naive(tiny_model, embeds, 8, [tiny_model.language.ret_token_id])


def test_an_interrupted_pass_leaves_the_cache_as_it_was(tiny_model, monkeypatch):
    """Ctrl-C can fall between two layers of the LM: then one layer's cache has grown and the other's has not."""
    state, prompt = DecodingState(tiny_model), tiny_model.prompt_embeds(["Q: a cat\nA:"])
    state.feed(prompt)
    layer = tiny_model.language.model.model.decoder.layers[1]
    with monkeypatch.context() as patch:
        patch.setattr(layer, "forward", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            state.feed(prompt[:, :3])
    assert state.length == prompt.shape[1]
    fresh = DecodingState(tiny_model)
    fresh.feed(prompt)
    more = prompt[:, :2]
    torch.testing.assert_close(state.feed(more).hidden, fresh.feed(more).hidden)


def test_several_layers_make_the_query(tiny_parts, script, ret):
    from fromage_lite.config import FromageConfig
    from fromage_lite.model.fromage import Fromage

    config = FromageConfig("lm", "encoder", retrieval_dim=8, text_emb_layers=(1, -1))
    model = Fromage.from_parts(*tiny_parts, config)
    script(ret)
    (token,) = reply(model, DecodingState(model), ["a cat"], script, max_new_tokens=1)
    embeds = torch.cat([model.prompt_embeds(["a cat"], add_bos=False), model.token_embeds([ret])], dim=1)
    with torch.no_grad():
        states = model.language.model(inputs_embeds=embeds, output_hidden_states=True).hidden_states
        expected = model.bridge.query_embeds([states[1][:, -1], states[-1][:, -1]])
    torch.testing.assert_close(token.query_embeds, expected, atol=1e-5, rtol=1e-5)
