"""Recipes and tables of captions are read with care."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PILImage

from fromage_lite.config import FromageConfig
from fromage_lite.errors import ConfigError, DataError, FingerprintError, StoreError
from fromage_lite.training.data.tables import read_store, read_table
from fromage_lite.training.recipe import Recipe, load_recipe

# --- recipes ---


@pytest.mark.parametrize("name", ["fromage", "fromage-chat", "paper"])
def test_shipped_recipes_load_and_survive_json(name):
    recipe = load_recipe(name)
    assert recipe.name == name and Recipe.from_dict(recipe.to_dict()) == recipe
    assert (recipe.dialogue_batch_size > 0) == (name == "fromage-chat")
    FromageConfig.from_dict({"language_model": "x", "vision_encoder": "y", **recipe.bridge})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", "no key 'stepz'"),
        ("steps = 0", "steps must be a whole number >= 1, not 0"),
        ("[weights]\ncaption = 1", "no key 'weights.caption'"),
        ('schedule = "linear"', "schedule must be cosine or constant"),
        ("steps = ", "not valid TOML"),
        ('betas = "x"', "betas must be"),
        ("learning_rate = 'fast'", "learning_rate must be a number, not 'fast'"),
        ("steps = true", "steps must be a whole number, not True"),
        ("betas = [0.9]", "betas must be a list"),
        ("whiten_features = 1", "whiten_features must be true or false, not 1"),
        ("weights = 1", "weights must be a section"),
        ("[weights]\nretrieval = '1'", "weights.retrieval must be a number, not '1'"),
        ("[data]\ncaptions = 'many'", "data must be a section"),
        ("lerning_rate = 1", "Did you mean 'learning_rate'"),
        ("extends = 3", "extends must be the name of a recipe, not 3"),
        ('extends = "fromag"', "There is no recipe 'fromag'"),
        ('extends = "mine.toml"', "extends itself"),
    ],
)
def test_a_wrong_recipe_says_which_key(tmp_path, text, message):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(tmp_path / "mine.toml")


PLAYGROUND = {
    "world": "playground",
    "bridge": {
        "n_visual_tokens": 17,
        "retrieval_dim": 256,
        "image_prefix": " [",
        "image_suffix": " ]",
        "suppress_tokens": [" [", "["],
        "ret_ends_reply": True,
        "query_form": "search: {}",
        "sees_found": True,
    },
    "weights": dict.fromkeys(["captioning", "retrieval", "contrastive", "dialogue", "dialogue_contrastive"], 1.0),
    "steps": 600,
    "batch_size": 64,
    "concat_probability": 0.5,
    "caption_separator": " ",
    "input_prefix": "",
    "learning_rate": 0.01,
    "visual_rate": 0.005,
    "visual_init": "text",
    "whiten_features": True,
    "betas": [0.9, 0.95],
    "weight_decay": 0.0,
    "warmup_steps": 100,
    "schedule": "cosine",
    "final_learning_rate": 0.01,
    "clip_norm": 1.0,
    "max_scale": 100.0,
    "mixed_precision": "bf16",
    "validate_every": 200,
    "save_every": 200,
    "validation_examples": 512,
    "paper": {},
    "learns_from": "pictures",
    "begin_first": False,
    "learn_end": False,
    "writing_prompt": "A picture of",
    "prompt_rate": 1.0,
    "adapter_rate": 1.0,
    "image_dropout": 0.0,
}
VALUES = {
    "fromage": PLAYGROUND
    | {
        "name": "fromage",
        "data": {"captions": 12000, "dialogues": 0, "validation": 512},
        "dialogue_batch_size": 0,
        "extra_negatives": 0,
        "max_tokens": 128,
    },
    "fromage-chat": PLAYGROUND
    | {
        "name": "fromage-chat",
        "steps": 700,
        "data": {"captions": 12000, "dialogues": 16000, "validation": 512},
        "dialogue_batch_size": 40,
        "extra_negatives": 512,
        "max_tokens": 500,
    },
    "paper": PLAYGROUND
    | {
        "name": "paper",
        "paper": {
            "title": "Grounding Language Models to Images for Multimodal Inputs and Outputs",
            "arxiv": "2301.13823",
            "language_model": "facebook/opt-6.7b",
            "vision_encoder": "openai/clip-vit-large-patch14",
        },
        "bridge": {"n_visual_tokens": 1, "retrieval_dim": 256},
        "data": {},
        "steps": 20000,
        "batch_size": 180,
        "dialogue_batch_size": 0,
        "extra_negatives": 0,
        "caption_separator": "",
        "max_tokens": 24,
        "learning_rate": 0.0003,
        "visual_rate": 1.0,
        "visual_init": "random",
        "whiten_features": False,
        "schedule": "constant",
        "final_learning_rate": 0.0,
        "validate_every": 1000,
        "save_every": 500,
    },
}


@pytest.mark.parametrize("name", VALUES)
def test_shipped_recipes_hold_these_values(name):
    assert load_recipe(name).to_dict() == VALUES[name]


def test_a_recipe_extends_another_in_its_sections_too(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.toml").write_text('extends = "paper"\nsteps = 7\n[bridge]\nn_visual_tokens = 4\n')
    (tmp_path / "sub" / "mine.toml").write_text('extends = "../base.toml"\nseed = 1\n')
    with pytest.raises(ConfigError, match="no key 'seed' in a recipe"):
        load_recipe(tmp_path / "sub" / "mine.toml")
    (tmp_path / "sub" / "mine.toml").write_text('extends = "../base.toml"\nbatch_size = 3\n')
    recipe = load_recipe(tmp_path / "sub" / "mine.toml")
    assert (recipe.name, recipe.steps, recipe.batch_size, recipe.max_tokens) == ("mine", 7, 3, 24)
    assert recipe.bridge == {"n_visual_tokens": 4, "retrieval_dim": 256}


def test_recipes_that_extend_each_other_are_refused(tmp_path):
    (tmp_path / "one.toml").write_text('extends = "two.toml"')
    (tmp_path / "two.toml").write_text('extends = "one.toml"')
    with pytest.raises(ConfigError, match="extends itself"):
        load_recipe(tmp_path / "one.toml")


def test_an_unknown_recipe_lists_the_shipped_ones():
    with pytest.raises(ConfigError, match="fromage, fromage-chat, fromage-vis4.* paper, "):
        load_recipe("fromag")


# --- tables of captions ---


@pytest.fixture
def table(tmp_path):
    """Forty rows over twenty pictures, two captions each."""
    folder = tmp_path / "images"
    folder.mkdir()
    lines = []
    for number in range(20):
        PILImage.new("RGB", (40, 30), (12 * number, 100, 50)).save(folder / f"{number}.png")
        lines += [f"a picture {number}\t{number}.png", f"number {number}\t{number}.png"]
    path = tmp_path / "captions.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_gives_features_captions_and_a_held_out_part(tiny_model, table, tmp_path):
    data, report = read_table(table, tiny_model, tmp_path / "store", images_root=tmp_path / "images")
    assert (report.used, report.bad) == (40, 0)
    assert len(data.captions) == 38 and len(data.validation.captions) == 2  # one picture of twenty, with both captions
    caption, row = data.captions[-1]
    number = caption.split()[-1]
    picture = PILImage.open(tmp_path / "images" / f"{number}.png")
    expected = tiny_model.image_features([picture]).pooled[0].numpy()
    assert np.allclose(data.features[row], expected, rtol=2e-3, atol=2e-3)  # fp16


def test_features_are_computed_once(tiny_model, table, tmp_path, monkeypatch):
    options = {"images_root": tmp_path / "images"}
    first, _ = read_table(table, tiny_model, tmp_path / "store", **options)
    monkeypatch.setattr(tiny_model.vision, "encode", None)  # a second run must not need it
    again, _ = read_table(table, tiny_model, tmp_path / "store", **options)
    assert np.array_equal(first.features, again.features)
    assert first.captions == again.captions and first.fingerprint == again.fingerprint
    stored, report = read_store(tmp_path / "store", tiny_model)
    assert (report.used, report.bad) == (20, 0)
    assert len(stored.captions) == 19 and len(stored.validation.captions) == 1  # a store has one caption a picture


def test_bad_rows_are_counted_and_too_many_are_an_error(tiny_model, table, tmp_path):
    broken = tmp_path / "images" / "broken.png"
    broken.write_bytes(b"no picture")
    rows = "no tab here\na missing one\tmissing.png\na broken one\tbroken.png\n\t1.png\n"
    table.write_text(table.read_text() + rows)
    options = {"images_root": tmp_path / "images"}
    with pytest.raises(DataError, match="4 of 44 rows of .* can't be used.*line 41"):
        read_table(table, tiny_model, tmp_path / "store", **options)
    data, report = read_table(table, tiny_model, tmp_path / "store", max_bad_share=0.1, **options)
    assert (report.used, report.bad) == (40, 4) and "line 41" in report.example
    assert len(data.captions) + len(data.validation.captions) == 40


CONTROL = {
    "the key [RET] on a keyboard": "the control token [RET]",
    "the end </s> of it": "the control token </s>",
    "<pad>": "the control token <pad>",
    "a marked \x02</s>\x03": "the control token </s>",
    "a bell \a rings": "the control character U+0007",
    "red \x1b[31mletters": "the control character U+001B",
    "a C1 \x9b": "the control character U+009B",
}


@pytest.mark.parametrize("caption", CONTROL)
def test_a_control_token_in_a_caption_is_one_bad_row(tiny_model, table, tmp_path, caption):
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:7], f"{caption}\t3.png", *lines[7:]]))
    data, report = read_table(table, tiny_model, tmp_path / "store", images_root=tmp_path / "images")
    assert (report.used, report.bad) == (40, 1)
    assert report.example == f"{table}, line 8: its caption holds {CONTROL[caption]}."
    assert len(data.captions) + len(data.validation.captions) == 40


@pytest.mark.parametrize("caption", ["press RET", "[ret] and [RE]", "a < b > c", "</S>", "tab\tinside", "pad"])
def test_what_only_looks_like_a_control_token_is_a_caption(tiny_model, table, tmp_path, caption):
    table.write_text(f"{caption}\t3.png\n" + table.read_text())
    _, report = read_table(table, tiny_model, tmp_path / "store", images_root=tmp_path / "images")
    assert (report.used, report.bad) == (41, 0)


def test_control_tokens_in_the_captions_of_a_store_are_counted(tiny_model, tmp_path):
    from index.building.build import TsvReader, build_store

    for number in range(3):
        PILImage.new("RGB", (20, 20), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
    path = tmp_path / "table.tsv"
    path.write_text("one\t0.png\nthe [RET] key\t1.png\n\t2.png\n")
    build_store(
        TsvReader(path),
        lambda images: tiny_model.image_features(images).pooled.numpy(),
        tmp_path / "store",
        encoder_fingerprint=tiny_model.vision.fingerprint(),
    )
    with pytest.raises(DataError, match=r"1 of 2 rows of .*/store can't be used.*1\.png.*\[RET\]"):
        read_store(tmp_path / "store", tiny_model)
    data, report = read_store(tmp_path / "store", tiny_model, max_bad_share=0.5)
    assert data.captions == [("one", 0)] and (report.used, report.bad) == (1, 1)


def test_a_table_of_bad_rows_alone_is_an_error(tiny_model, table, tmp_path):
    table.write_text("[RET]\t0.png\n")
    with pytest.raises(StoreError, match=r"The first: .*line 1.*\[RET\]"):
        read_table(table, tiny_model, tmp_path / "store", images_root=tmp_path / "images", max_bad_share=1.0)


def test_the_training_split_reads_every_dialect_alike(tiny_model, table, tmp_path):
    """The same forty captions, as a spreadsheet for Windows and one for old Macs would save them."""
    options = {"images_root": tmp_path / "images"}
    plain, _ = read_table(table, tiny_model, tmp_path / "store", **options)
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    quoted = "\r\n".join(f'"{caption}"\t"{image}"' for caption, image in rows)
    for data in (quoted.encode("utf-16"), table.read_text().replace("\n", "\r").encode("utf-8-sig")):
        table.write_bytes(data)
        again, report = read_table(table, tiny_model, tmp_path / "store", **options)
        assert (again.captions, again.fingerprint, report.bad) == (plain.captions, plain.fingerprint, 0)


def test_missing_tables_and_stores_of_another_encoder_are_refused(tiny_model, table, tmp_path, monkeypatch):
    with pytest.raises(StoreError, match="no file"):
        read_table(tmp_path / "nothing.tsv", tiny_model, tmp_path / "store")
    read_table(table, tiny_model, tmp_path / "store", images_root=tmp_path / "images")
    monkeypatch.setattr(tiny_model.vision, "fingerprint", lambda: "another")
    with pytest.raises(FingerprintError, match="another image encoder"):
        read_store(tmp_path / "store", tiny_model)
