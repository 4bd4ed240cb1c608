"""Captions without pictures: the gap, the noise, where captions come from, and a run that opens no picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from fromage_lite.errors import ConfigError, DataError
from fromage_lite.model.bridge import Space
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.captions import read_captions, read_pictures, write_captions
from fromage_lite.training.data.stand_ins import Captions, Gap, choose_noise, stand_in_data
from fromage_lite.training.options import RunOptions
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.run import run
from tests.fromage_lite.training.test_train import RECIPE


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(5)


@pytest.fixture
def sharing(tiny_model):
    """The tiny model with a bridge that reads the shared space."""
    config = dataclasses.replace(tiny_model.config, shared_space=True)
    return Fromage.from_parts(tiny_model.language, tiny_model.vision, config, tiny_model.base_dir)


# --- the gap and the noise ---


def test_the_gap_is_found_from_pictures_and_captions_that_do_not_belong_together(generator):
    deviations = torch.tensor([3.0, 2.0, 1.0, 0.5, *[0.0] * 16])
    text_mean, picture_mean = torch.randn(2, 20, generator=generator)
    texts = text_mean + torch.randn(4000, 20, generator=generator) * deviations
    other = torch.randn(400, 20, generator=generator) * deviations
    pictures = picture_mean + 0.4 * other + 0.2 * torch.randn(400, 20, generator=generator)
    gap = Gap.measured(texts, pictures)
    assert gap.scale == pytest.approx(0.4, rel=0.1)
    torch.testing.assert_close(gap.texts, text_mean, atol=0.2, rtol=0)
    torch.testing.assert_close(gap.across(texts).mean(dim=0), pictures.mean(dim=0), atol=1e-4, rtol=0)


def test_without_pictures_captions_stay_where_they_are(generator):
    texts = torch.randn(50, 6, generator=generator)
    torch.testing.assert_close(Gap.measured(texts, None).across(texts), texts)


def test_the_noise_is_what_nearly_all_captions_survive():
    # On a line of points at distance 1, a point is lost when the noise exceeds 1/2: with deviation s, at 1 % of normal
    # draws if 0.5 / s = 2.576.
    line = torch.arange(2000.0)[:, None]
    assert choose_noise(line) == pytest.approx(0.5 / 2.576, rel=0.15)


def test_the_noise_does_not_depend_on_repeated_captions():
    line = torch.arange(500.0)[:, None]
    assert choose_noise(line.repeat(3, 1)) == pytest.approx(choose_noise(line), rel=1e-6)


def test_places_of_the_space_come_back_from_the_features_that_stand_for_them(generator):
    space = Space(torch.randn(5, 9, generator=generator))
    places = torch.nn.functional.normalize(torch.randn(7, 5, generator=generator), dim=-1)
    assert space.inverse(places).shape == (7, 9)
    torch.testing.assert_close(space(space.inverse(places)), places)


def test_a_bridge_in_the_shared_space_does_not_see_how_long_a_feature_is(sharing, generator):
    features = torch.randn(3, sharing.vision.dim, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(sharing.image_embeds(features), sharing.image_embeds(7 * features))
        torch.testing.assert_close(sharing.visual_embeds(features), sharing.visual_embeds(0.1 * features))


# --- where captions come from ---


def test_captions_of_a_text_file_are_its_lines_once_each(tmp_path, tiny_model):
    file = tmp_path / "captions.txt"
    file.write_text("a cat\n\n  a   dog \na cat\nthe token </s> is not learnt\n", encoding="utf-8")
    assert read_captions(file, tiny_model) == ["a cat", "a dog"]


def test_captions_of_a_table_need_no_picture(tmp_path, tiny_model):
    table = tmp_path / "captions.tsv"
    table.write_text("a cat\thttp://127.0.0.1:9/gone.jpg\na dog\thttp://127.0.0.1:9/too.jpg\n", encoding="utf-8")
    assert read_captions(table, tiny_model) == ["a cat", "a dog"]


def test_a_file_without_captions_is_refused(tmp_path, tiny_model):
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(DataError, match="no captions"):
        read_captions(tmp_path / "empty.txt", tiny_model)


def test_pictures_of_a_folder_are_found_and_broken_ones_left_out(tmp_path, pictures):
    (tmp_path / "inner").mkdir()
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "inner" / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert len(read_pictures(tmp_path)) == len(pictures)
    with pytest.raises(DataError, match="no pictures"):
        read_pictures(tmp_path / "none")


def test_written_captions_begin_as_they_should_and_end_with_a_sentence(tiny_model):
    lines = list(write_captions(tiny_model, "a photo of", 70, seed=3))
    assert len(lines) == 70 and len(set(lines)) > 60
    assert all(line.startswith("a photo of") and "." not in line[:-1] for line in lines)
    assert lines == list(write_captions(tiny_model, "a photo of", 70, seed=3))
    assert lines != list(write_captions(tiny_model, "a photo of", 70, seed=4))


# --- the data ---


def test_stand_ins_lie_where_pictures_lie(sharing, pictures):
    captions = [f"a picture of {word} number {n}" for n in range(40) for word in ("cats", "dogs")]
    data, said = stand_in_data(sharing, Captions(captions[10:], captions[:10]), pictures, uses=3, seed=1)
    assert len(data.captions) == 3 * 70 == len(data.features) and len(data.validation.captions) == 10
    assert "70 captions" in said and "4 other pictures" in said and "More than" in said
    rows = [row for caption, row in data.captions if caption == captions[10]]
    assert len(rows) == 3 and len({int(data.groups[row]) for row in rows}) == 1
    copies = data.features[rows].astype(np.float32)
    assert np.abs(copies[0] - copies[1]).max() > 0  # other noise each time
    seen = sharing.bridge.in_space(sharing.image_features(pictures).pooled).mean(dim=0)
    mean = torch.from_numpy(data.features.astype(np.float32)).mean(dim=0)
    assert float((mean - seen).norm()) < 0.05


def test_a_bridge_that_reads_pooled_features_is_refused(tiny_model):
    with pytest.raises(ConfigError, match="space that texts and pictures share"):
        stand_in_data(tiny_model, Captions(["a cat", "a dog"]))


# --- a run ---


@pytest.fixture
def recipe():
    bridge = {"retrieval_dim": 8, "shared_space": True}
    return Recipe.from_dict(
        {**RECIPE.to_dict(), "steps": 4, "max_tokens": 40, "learns_from": "texts", "bridge": bridge}
    )


@pytest.fixture
def options(tmp_path, tiny_lm_dir, tiny_encoder_dir):
    (tmp_path / "captions.txt").write_text("".join(f"a picture of {n} cats\n" for n in range(60)))
    return RunOptions(
        captions=str(tmp_path / "captions.txt"),
        language_model=str(tiny_lm_dir),
        vision_encoder=f"open_clip:local-dir:{tiny_encoder_dir}",
        out=tmp_path / "run",
        device="cpu",
        export=tmp_path / "exported",
    )


def test_a_run_on_captions_alone_ends_in_a_model_for_pictures(recipe, options, tmp_path, pictures):
    lines: list[str] = []
    assert not run(recipe, options, lines.append)
    assert any("57 captions" in line and "--pictures" in line for line in lines)
    model = Fromage.from_pretrained(tmp_path / "exported", device="cpu")
    assert model.config.shared_space
    with torch.no_grad():
        embeds = model.image_embeds(model.image_features(pictures).pooled)
    torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(len(pictures)))
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "57 captions" in card and "captions.txt" in card and str(tmp_path) not in card


def test_a_run_on_captions_that_the_model_writes(recipe, options, tmp_path):
    (tmp_path / "album").mkdir()
    for number in range(3):
        Image.new("RGB", (20, 20), (80 * number, 10, 10)).save(tmp_path / "album" / f"{number}.png")
    writing = dataclasses.replace(options, captions="generate:40", pictures=tmp_path / "album", export=None)
    lines: list[str] = []
    assert not run(recipe, writing, lines.append)
    assert any("language model wrote" in line and "3 other pictures" in line for line in lines)
    with pytest.raises(ConfigError, match="no number"):
        run(recipe, dataclasses.replace(writing, captions="generate:many", overwrite=True), lines.append)


def test_recipes_and_options_that_contradict_each_other_are_refused(recipe, options):
    with pytest.raises(ConfigError, match="learns from pictures"):
        run(Recipe.from_dict({**recipe.to_dict(), "learns_from": "pictures"}), options, lambda line: None)
    with pytest.raises(ConfigError, match="shared_space"):
        Recipe.from_dict({**recipe.to_dict(), "bridge": {}})
    with pytest.raises(ConfigError, match="exclude"):
        dataclasses.replace(options, data=options.out).load_recipe()
    assert options.load_recipe().name == "text-only"
