"""The playground LM's first weights: what they are meant to do, they do before any training."""

import pytest
import torch

from fromage_lite.pretraining.initialization import LOOK_BACK
from fromage_lite.pretraining.lm import make_model

VOCABULARY = 1024


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    model = make_model(VOCABULARY).eval()
    model.set_attn_implementation("eager")
    return model


@torch.no_grad()
def test_look_back_heads_see_the_place_they_are_made_for(untrained):
    ids = torch.randint(VOCABULARY, (1, 60))
    attentions = untrained(input_ids=ids, output_attentions=True).attentions
    for layer, distances in enumerate(LOOK_BACK):
        for head, distance in enumerate(distances):
            weights = attentions[layer][0, head].diagonal(-distance)
            assert weights.mean() > 0.8, (layer, head)


@torch.no_grad()
def test_an_untrained_model_already_tells_what_followed_a_word_before(untrained):
    """Random words said twice: the second time each is foretold by what followed it the first time."""
    words = torch.stack([torch.randperm(VOCABULARY)[:24] for _ in range(16)])
    logits = untrained(input_ids=torch.cat([words, words], dim=1)).logits
    first, second = logits[:, :23], logits[:, 24:47]
    ranks = [(x > x.gather(2, words[:, 1:, None])).sum(2).float().median().item() for x in (first, second)]
    assert ranks[0] > VOCABULARY / 4  # nothing to go by
    assert ranks[1] < VOCABULARY / 10
