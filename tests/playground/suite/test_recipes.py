"""The comparison of recipes: what is equal between them, the table, and the command end to end."""

from __future__ import annotations

import pytest

from fromage_lite.config import FromageConfig
from fromage_lite.playground.suite.recipes import RECIPES, TABLE, RecipeFigures, as_table, run_recipes
from fromage_lite.training.recipe import RECIPES as FOLDER
from fromage_lite.training.recipe import load_recipe

SHIPPED = sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", [*SHIPPED, *(f"playground/{name}" for name in RECIPES)])
def test_a_shipped_recipe_makes_a_valid_bridge(name):
    recipe = load_recipe(name)
    models = {"language_model": "an/lm", "vision_encoder": "an/encoder"}
    config = FromageConfig.from_dict({**models, **recipe.bridge})
    weights = recipe.weights
    assert config.has_retrieval or not (weights.retrieval or weights.contrastive)
    assert FromageConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_compared_under_equal_conditions(name):
    recipe, first = load_recipe(f"playground/{name}"), load_recipe("playground/fromage")
    for equal in ("steps", "batch_size", "learning_rate", "data", "world", "warmup_steps", "weight_decay", "betas"):
        assert getattr(recipe, equal) == getattr(first, equal), equal
    begins_fitted = recipe.visual_init in ("text", "given")
    assert begins_fitted == ("least-squares" in RECIPES[name])


def test_the_numbers_of_the_publications():
    paper, limber, lma, epalm, git = (load_recipe(n) for n in ("paper", "limber-clip", "lma", "epalm", "git-llm"))
    assert (paper.learning_rate, paper.betas, paper.warmup_steps, paper.batch_size) == (3e-4, (0.9, 0.95), 100, 180)
    assert load_recipe("fromage-vis4").bridge["n_visual_tokens"] == 4
    assert (limber.learning_rate, limber.batch_size, limber.steps, limber.image_dropout) == (8e-4, 256, 15_000, 0.1)
    assert (lma.learning_rate, lma.visual_init, lma.bridge["n_visual_tokens"]) == (3e-3, "zero", 2)
    assert [load_recipe(f"lma-k{k}").bridge["n_visual_tokens"] for k in (1, 5)] == [1, 5]
    assert (epalm.learning_rate, epalm.prompt_rate * epalm.learning_rate) == (2e-5, 1e-5)
    assert epalm.bridge["inject_layers"] == list(range(19, 31)) and len(epalm.bridge["encoder_layers"]) == 6
    assert (git.bridge["lora_rank"], git.bridge["lora_alpha"], git.bridge["lora_targets"]) == (
        8,
        32,
        ["q_proj", "v_proj"],
    )


def test_the_table_has_a_row_a_recipe_and_a_dash_where_there_is_nothing():
    rows = {
        "fromage": RecipeFigures(1234567, 1.25, 0.5, 0.25, 1.0, 0.333, 0.9),
        "epalm": RecipeFigures(12, 0.5, 0.0, 0.0, 0.5, 0.25, None),
    }
    lines = as_table(rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| FROMAGe, one token | 1,234,567 | 1.2 | 0.50 | 0.25 | 1.00 | 0.33 | 0.90 |"
    assert lines[3].endswith("| 0.25 | – |")


@pytest.mark.slow
def test_all_recipes_train_save_load_answer_and_stand_in_the_table(tmp_path):
    table = run_recipes(tmp_path, steps=1, n=10, device="cpu")
    lines = table.read_text(encoding="utf-8").splitlines()
    assert table.name == TABLE and len(lines) == 2 + len(RECIPES)
    said: list[str] = []
    run_recipes(tmp_path, steps=1, n=10, device="cpu", report=said.append)
    assert len(said) == len(RECIPES)  # nothing is trained again
