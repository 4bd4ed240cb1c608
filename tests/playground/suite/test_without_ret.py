"""The mean of a caption's states, and that its maps learn."""

import numpy as np
import torch

from fromage_lite.playground.suite.bridges import ABLATIONS, TrainingPictures, ablation_recipe
from fromage_lite.playground.suite.without_ret import mean_states, text_embeds, train_without_ret
from fromage_lite.playground.world.scene import Scene

CAPTIONS = ("a cat", "the dog on the grass", "a red cat", "x")


def test_the_mean_leaves_out_padding_and_the_beginning_of_text(tiny_model):
    means = mean_states(tiny_model, [[caption] for caption in CAPTIONS], batch_size=3)
    begins = len(tiny_model.language.beginning)
    for caption, mean in zip(CAPTIONS, means, strict=True):
        with torch.no_grad():
            states = tiny_model.language.forward(tiny_model.prompt_embeds([caption])).hidden[0]
        assert begins == 1 and torch.allclose(mean, states[1:].mean(dim=0), atol=2e-3)


def test_captions_come_to_find_their_pictures(tiny_model):
    features = np.random.default_rng(0).normal(size=(4, 24)).astype(np.float16)
    pictures = TrainingPictures([Scene((), "snow")] * 4, features, CAPTIONS)
    recipe = ablation_recipe(ABLATIONS[0], 60, 4)
    maps = train_without_ret(tiny_model, pictures, recipe, 4, seed=0)
    queries = text_embeds(tiny_model, maps, [[caption] for caption in CAPTIONS])
    images = maps.pictures(torch.from_numpy(features.astype(np.float32))).numpy()
    assert (queries @ images.T).argmax(axis=1).tolist() == [0, 1, 2, 3]
