"""The suite's data read back by the readers of the published formats, its stages, and what it finds."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fromage_lite.config import playground_dir
from fromage_lite.errors import CheckpointError
from fromage_lite.evaluate.formats.captions import read_captions
from fromage_lite.evaluate.formats.dialogues import read_visdial
from fromage_lite.evaluate.formats.questions import read_questions
from fromage_lite.evaluate.formats.stories import read_vist
from fromage_lite.evaluate.intervals import Figure, mean_figure
from fromage_lite.evaluate.tasks.result import TaskResult
from fromage_lite.playground.evaluation.named import setting_named, things_named
from fromage_lite.playground.suite.bridges import ABLATIONS, ablation_recipe
from fromage_lite.playground.suite.findings import no_worse, of_difference, verdict
from fromage_lite.playground.suite.run import run_suite
from fromage_lite.playground.suite.stages import Suite, SuiteOptions, bridges_in
from fromage_lite.playground.suite.writing import (
    CAPTIONS,
    DENSE,
    DIALOGUES,
    EXAMPLES,
    IMAGES,
    QUESTIONS,
    STORIES,
    Sizes,
    scenes_shown,
    write_data,
)

SIZES = Sizes(pictures=6, stories=4, dialogues=3, questions=8, examples=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    write_data(folder, SIZES, seed=3)
    return folder


def test_captions_say_what_their_pictures_show(data):
    shown = scenes_shown(data)
    captioned = read_captions(data / CAPTIONS)
    assert len(captioned) == 6
    for entry in captioned:
        assert len(entry.captions) == 5 and entry.picture.find([data / IMAGES]) is not None
        for caption in entry.captions:
            assert things_named(caption) == things_named(shown[entry.picture.id])
            assert setting_named(caption) == setting_named(shown[entry.picture.id])


def test_only_the_first_caption_of_a_story_names_its_hero(data):
    shown, stories = scenes_shown(data), read_vist(data / STORIES)
    assert len(stories.stories) == 4 and stories.incomplete == 0
    for story in stories.stories:
        scenes = [things_named(shown[picture.id]) for picture in story.pictures]
        (hero,) = frozenset.intersection(*scenes)
        assert [hero in things_named(caption) for caption in story.captions] == [True] + [False] * 4
        for caption, scene, picture in zip(story.captions, scenes, story.pictures, strict=True):
            assert things_named(caption) | {hero} == scene and setting_named(caption) == setting_named(
                shown[picture.id]
            )


def test_dialogues_have_ten_rounds_of_a_hundred_answers(data):
    dialogues = read_visdial(data / DIALOGUES, data / DENSE)
    assert len(dialogues) == 3
    for dialogue in dialogues:
        assert len(dialogue.rounds) == 10 and len({turn.question for turn in dialogue.rounds}) == 10
        for turn in dialogue.rounds:
            assert len(set(turn.options)) == 100 and turn.options[turn.right] == turn.answer
        (dense,) = [turn for turn in dialogue.rounds if turn.relevance is not None]
        assert dense.relevance[dense.right] == 1 and sum(value == 1 for value in dense.relevance) == 1


def test_questions_and_examples_are_apart(data):
    asked, examples = read_questions(data / QUESTIONS), read_questions(data / EXAMPLES)
    assert (len(asked), len(examples)) == (8, 5)
    assert not {q.picture.id for q in asked} & {q.picture.id for q in examples}
    assert all(len(question.answers) == 10 and len(set(question.answers)) == 1 for question in asked)


def test_the_same_seed_gives_the_same_data(data, tmp_path):
    write_data(tmp_path, SIZES, seed=3)
    for name in (CAPTIONS, STORIES, DIALOGUES, DENSE, QUESTIONS):
        assert (tmp_path / name).read_bytes() == (data / name).read_bytes()


def test_another_seed_in_the_same_folder_has_pictures_of_its_own(tmp_path):
    sizes = Sizes(pictures=2, stories=1, dialogues=1, questions=1, examples=1)
    first, other = (Suite(SuiteOptions(playground_dir(), tmp_path, seed=seed, sizes=sizes)) for seed in (3, 4))
    first.write_data()
    other.write_data()
    write_data(tmp_path / "fresh", sizes, seed=4)
    for number in (1, 2):
        fresh = (tmp_path / "fresh" / IMAGES / f"{number}.png").read_bytes()
        assert (other.data / IMAGES / f"{number}.png").read_bytes() == fresh
    assert other.features != first.features


# --- stages ---


class FakeModel:
    def fingerprint(self):
        return "f"


@pytest.fixture
def suite(tmp_path):
    made = Suite(SuiteOptions(playground_dir(), tmp_path / "out"))
    made._models = {name: FakeModel() for name in made.bridges}
    return made


def measured(suite, name="x", value=0.5, trains=False):
    """The figure of a stage, and whether it was measured anew."""
    asked = []

    def measure():
        asked.append(name)
        return {"fromage": TaskResult({"a": Figure(value, 0.4, 0.6, 10)})}

    return suite.run(name, measure, trains=trains)["fromage"].figures["a"].value, bool(asked)


def test_a_finished_stage_is_not_measured_again(suite):
    assert measured(suite) == (0.5, True)
    assert measured(suite, value=0.9) == (0.5, False)


def test_other_options_or_a_damaged_file_measure_again(suite, tmp_path):
    measured(suite)
    other = Suite(SuiteOptions(playground_dir(), tmp_path / "out", seed=2))
    other._models = suite._models
    assert measured(other, value=0.9) == (0.9, True)
    for damage in (b"{", b"[]", b'{"identity": 1}', json.dumps({"identity": other._identity(False)}).encode()):
        (tmp_path / "out" / "stages" / "x.json").write_bytes(damage)
        assert measured(other, value=0.7) == (0.7, True)


def test_steps_matter_to_what_was_trained_alone(suite, tmp_path):
    measured(suite, "task"), measured(suite, "bridge", trains=True)
    longer = Suite(SuiteOptions(playground_dir(), tmp_path / "out", steps=200))
    longer._models = suite._models
    assert measured(longer, "task", 0.9) == (0.5, False)
    assert measured(longer, "bridge", 0.9, trains=True) == (0.9, True)


def test_the_papers_bridge_comes_first(tmp_path):
    assert list(bridges_in(playground_dir())) == ["fromage", "fromage-chat"]
    assert list(bridges_in(playground_dir() / "fromage-chat")) == ["fromage-chat"]
    with pytest.raises(CheckpointError, match="no bridge"):
        bridges_in(tmp_path)


# --- ablations and findings ---


def test_each_ablation_differs_from_the_first_in_what_it_says():
    recipes = {entry.name: ablation_recipe(entry, 80, 32) for entry in ABLATIONS}
    base = recipes["together"]
    assert (base.steps, base.batch_size, base.visual_init, base.bridge["n_visual_tokens"]) == (80, 32, "text", 17)
    assert recipes["captioning"].weights.contrastive == 0 and recipes["retrieval"].weights.captioning == 0
    assert recipes["untrained"].steps == 1 and recipes["random_17"].visual_init == "random"
    assert [recipes[f"scaled_{n}"].bridge["n_visual_tokens"] for n in (1, 2, 4, 8, 17)] == [1, 2, 4, 8, 17]
    assert {name for name, recipe in recipes.items() if recipe.learning_rate != base.learning_rate} == set()


def test_a_finding_needs_intervals_that_do_not_touch():
    high, low = mean_figure(np.repeat([0.0, 1.0], [10, 90])), mean_figure(np.repeat([0.0, 1.0], [60, 40]))
    assert (verdict(high, low), verdict(low, high), verdict(high, high)) == ("yes", "no", "not told apart")
    assert (no_worse(high, low), no_worse(high, high), no_worse(low, high)) == ("yes", "yes", "no")
    rises = Figure(0.2, 0.1, 0.3, 9)
    assert of_difference(rises) == "yes" and of_difference(Figure(0.0, -0.1, 0.1, 9)) == "not told apart"
    assert of_difference(Figure(-0.2, -0.3, -0.1, 9)) == "no"


@pytest.mark.slow
def test_the_whole_suite_and_again_from_what_it_kept(tmp_path, monkeypatch):
    small = tuple(replace(entry, pictures=min(entry.pictures, 40)) for entry in ABLATIONS)
    monkeypatch.setattr("fromage_lite.playground.suite.bridges.ABLATIONS", small)
    sizes = Sizes(pictures=8, stories=5, dialogues=3, questions=5, examples=4)
    options = SuiteOptions(
        playground_dir() / "fromage", tmp_path, sizes=sizes, steps=2, batch_size=8, answer_dialogues=1,
        ablation_pictures=6, ablation_stories=4, device="cpu",
    )  # fmt: skip
    page = run_suite(options)
    first = page.read_text()
    assert first.count("<tr>") > 60 and first.count("data:image/png") == 5
    for name in ("stories", "dialogues", "questions", "visual_tokens", "data"):
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 5000
    kept = (tmp_path / "stages" / "bridge_together.json").read_bytes()
    said = []
    again = run_suite(options, said.append).read_text()
    assert again.partition("How it was made")[0] == first.partition("How it was made")[0]
    assert (tmp_path / "stages" / "bridge_together.json").read_bytes() == kept
    assert sum("kept from before" in line for line in said) == 7 + len(ABLATIONS) + 1
