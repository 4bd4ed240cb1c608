"""The oracle is `generate` of transformers, on the same random LM."""

import pytest
import torch

from fromage_lite.errors import MessageError
from fromage_lite.model.beams import beam_search, beam_search_batch
from tests.fromage_lite.model.test_decoding import naive


def generated(model, embeds, n_beams, count, length_penalty):
    """Texts and scores as transformers has them; what our model never says is suppressed there, too."""
    language = model.language
    output = language.model.generate(
        inputs_embeds=embeds.to(language.dtype),
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
        num_beams=n_beams,
        num_return_sequences=n_beams,
        max_new_tokens=count,
        length_penalty=length_penalty,
        do_sample=False,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    return [language.decode(ids) for ids in output.sequences.tolist()], output.sequences_scores.tolist()


@pytest.fixture
def plain(tiny_model, monkeypatch):
    """The tiny model in float32, which says any word of its LM."""
    monkeypatch.setattr(tiny_model.config.__class__, "suppress_tokens", (), raising=False)
    tiny_model.__dict__["suppressed_ids"] = ()
    tiny_model.__dict__["_suppressed"] = torch.zeros(0, dtype=torch.long)
    return tiny_model


@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 2.0])
@pytest.mark.parametrize("prompt", ["a cat", "Q: what is this?\nA:"])
def test_beams_and_scores_are_those_of_transformers(plain, prompt, length_penalty):
    embeds = plain.prompt_embeds([prompt])
    texts, scores = generated(plain, embeds, 3, 12, length_penalty)
    beams = beam_search(plain, embeds, 3, 12, length_penalty)
    assert [beam.text.replace("</s>", "") for beam in beams] == [text.replace("</s>", "") for text in texts]
    assert [beam.score for beam in beams] == pytest.approx(scores, abs=2e-3)


def test_one_beam_is_greedy(tiny_model, pictures):
    embeds = tiny_model.prompt_embeds(["Q: ", pictures[0], " what is this?\nA:"])
    ids = naive(tiny_model, embeds, 15, [tiny_model.language.ret_token_id])
    ends = [i for i, id in enumerate(ids) if id in tiny_model.language.eos_ids]
    (beam,) = beam_search(tiny_model, embeds, 1, 15)
    assert beam.text == tiny_model.language.decode(ids[: ends[0]] if ends else ids)


def test_prompts_of_several_lengths_decode_as_each_alone(tiny_model):
    prompts = [tiny_model.prompt_embeds([text]) for text in ("a cat", "Q: what is this?\nA:", "a")]
    longest = max(prompt.shape[1] for prompt in prompts)
    pads = [longest - prompt.shape[1] for prompt in prompts]
    together = torch.cat([torch.nn.functional.pad(p, (0, 0, pad, 0)) for p, pad in zip(prompts, pads, strict=True)])
    mask = torch.tensor([[False] * pad + [True] * (longest - pad) for pad in pads])
    batch = beam_search_batch(tiny_model, together, 3, 8, mask=mask)
    for prompt, beams in zip(prompts, batch, strict=True):
        alone = beam_search(tiny_model, prompt, 3, 8)
        assert [beam.text for beam in beams] == [beam.text for beam in alone]
        assert [beam.score for beam in beams] == pytest.approx([beam.score for beam in alone], abs=2e-2)


def test_a_stop_string_ends_a_text_and_is_not_in_it(tiny_model):
    embeds = tiny_model.prompt_embeds(["a cat"])
    (free,) = beam_search(tiny_model, embeds, 1, 15)
    stop = free.text[3:5]
    assert beam_search(tiny_model, embeds, 1, 15, stop_strings=(stop,))[0].text == free.text[: free.text.find(stop)]


def test_texts_that_do_not_fit_are_refused(tiny_model):
    with pytest.raises(MessageError, match="128 positions"):
        beam_search(tiny_model, tiny_model.prompt_embeds(["a cat"]), 3, 200)
