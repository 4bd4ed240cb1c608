"""What each stage measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fromage_lite.evaluate.formats.captions import Captioned, read_captions
from fromage_lite.evaluate.formats.dialogues import PictureDialogue, read_visdial
from fromage_lite.evaluate.formats.questions import read_questions
from fromage_lite.evaluate.formats.stories import Stories, read_vist
from fromage_lite.evaluate.intervals import Figure, mean_figure
from fromage_lite.evaluate.ranking import rank_figures
from fromage_lite.evaluate.tasks.answers import evaluate_answers
from fromage_lite.evaluate.tasks.captions import caption_figures, evaluate_captions, write_captions
from fromage_lite.evaluate.tasks.dialogues import evaluate_dialogues
from fromage_lite.evaluate.tasks.questions import evaluate_questions
from fromage_lite.evaluate.tasks.result import TaskResult
from fromage_lite.evaluate.tasks.retrieval import evaluate_retrieval, ranks_in_groups
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.evaluate.tasks.stories import CONTEXTS, Gallery, evaluate_stories, story_prompt
from fromage_lite.model.fromage import Fromage
from fromage_lite.playground.evaluation.named import things_named
from fromage_lite.playground.suite import bridges
from fromage_lite.playground.suite.bridges import Ablation, ablation_recipe, train_ablation
from fromage_lite.playground.suite.findings import WITHOUT
from fromage_lite.playground.suite.stages import RUNS, Results, Suite
from fromage_lite.playground.suite.without_ret import text_embeds, train_without_ret
from fromage_lite.playground.suite.writing import CAPTIONS, DENSE, DIALOGUES, EXAMPLES, IMAGES, QUESTIONS, STORIES

ROUNDS = (0, 1, 2, 5, 10)


@dataclass(frozen=True)
class SuiteData:
    """The data sets, read by the readers of the published formats."""

    captions: list[Captioned]
    stories: Stories
    dialogues: list[PictureDialogue]


def read_data(suite: Suite) -> SuiteData:
    """Reads what the suite wrote."""
    folder = suite.data
    return SuiteData(
        read_captions(folder / CAPTIONS),
        read_vist(folder / STORIES),
        read_visdial(folder / DIALOGUES, folder / DENSE),
    )


def measure_tasks(suite: Suite, data: SuiteData) -> dict[str, Results]:
    """The paper's tasks with the given bridges."""
    shown, seed = suite.shown(), suite.options.seed

    def each(task: Callable[[Fromage, SeenPictures], TaskResult]) -> Callable[[], Results]:
        def measure() -> Results:
            return {name: task(suite.model(name), suite.seen(suite.model(name), name)) for name in suite.bridges}

        return measure

    alike = [shown[entry.picture.id] for entry in data.captions]
    of_dialogues = [shown[entry.picture.id] for entry in data.dialogues]
    chosen = data.dialogues[: suite.options.answer_dialogues]
    asked, examples = read_questions(suite.data / QUESTIONS), read_questions(suite.data / EXAMPLES)
    stages: dict[str, Callable[[], Results]] = {
        "captions": each(lambda m, s: evaluate_captions(m, s, data.captions, clip_prefix="", seed=seed)),
        "retrieval": each(lambda m, s: evaluate_retrieval(m, s, data.captions, seed=seed, alike=alike)),
        "stories": each(lambda m, s: evaluate_stories(m, s, data.stories, seed=seed, alike=shown.__getitem__)),
        "dialogues": each(
            lambda m, s: evaluate_dialogues(m, s, data.dialogues, rounds=ROUNDS, seed=seed, alike=of_dialogues)
        ),
        "answers": each(lambda m, s: evaluate_answers(m, s, chosen, seed=seed)),
        "answers_as_original": lambda: {
            suite.paper: evaluate_answers(
                suite.model(suite.paper),
                suite.seen(suite.model(suite.paper), suite.paper),
                chosen[: max(len(chosen) // 3, 1)],
                as_original=True,
                seed=seed,
            )
        },
        "questions": each(lambda m, s: evaluate_questions(m, s, asked, examples, seed=seed)),
    }
    return {name: suite.run(name, measure) for name, measure in stages.items()}


def measure_ablations(suite: Suite, data: SuiteData) -> dict[str, TaskResult]:
    """Trains and measures each ablation's bridge, and retrieval without `[RET]`."""
    found: dict[str, TaskResult] = {}
    for entry in bridges.ABLATIONS:
        results = suite.run(f"bridge_{entry.name}", partial(_ablation, suite, data, entry), trains=True)
        found[entry.name] = results[entry.name]
    found |= suite.run(WITHOUT, lambda: {WITHOUT: _without_ret(suite, data)}, trains=True)
    return found


def _ablation(suite: Suite, data: SuiteData, entry: Ablation) -> Results:
    options = suite.options
    folder = train_ablation(
        entry,
        suite.model(suite.paper),
        suite.training,
        suite.folder / RUNS / entry.name,
        steps=options.steps,
        batch_size=options.batch_size,
        seed=options.seed,
        device=options.device,
    )
    model = Fromage.from_pretrained(folder, device=options.device)
    seen = SeenPictures(model, [suite.data / IMAGES], suite.features)
    return {entry.name: _short_measure(suite, data, model, seen)}


def _short_measure(suite: Suite, data: SuiteData, model: Fromage, seen: SeenPictures) -> TaskResult:
    """Captions, retrieval and stories on a part of the data."""
    options, shown = suite.options, suite.shown()
    some = data.captions[: options.ablation_pictures]
    seen.see(entry.picture for entry in some)
    ids = [entry.picture.id for entry in some]
    captions = write_captions(model, seen, ids)
    figures = caption_figures(captions, [entry.captions for entry in some], options.seed)
    right = [things_named(text) == things_named(shown[id]) for text, id in zip(captions, ids, strict=True)]
    figures["all_named"] = mean_figure(right, options.seed)
    retrieval = evaluate_retrieval(model, seen, some, seed=options.seed, alike=[shown[id] for id in ids])
    stories = evaluate_stories(model, seen, _some(data.stories, options.ablation_stories), seed=options.seed)
    for result in (retrieval, stories):
        figures |= {name: value for name, value in result.figures.items() if not name.startswith("text_tower/")}
    return TaskResult(figures, {"pictures": len(ids), "stories": stories.counts["evaluated"]})


def _without_ret(suite: Suite, data: SuiteData) -> TaskResult:
    """Retrieval and stories by the mean of the caption's states."""
    options, shown, model = suite.options, suite.shown(), suite.model(suite.paper)
    entry = bridges.ABLATIONS[0]
    recipe = ablation_recipe(entry, options.steps, options.batch_size)
    maps = train_without_ret(model, suite.training, recipe, entry.pictures, options.seed)
    seen, seed = suite.seen(model, suite.paper), options.seed
    some = data.captions[: options.ablation_pictures]
    seen.see(entry.picture for entry in some)
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(shown[entry.picture.id], len(numbers)) for entry in some])
    owners = np.repeat(np.arange(len(some)), [len(entry.captions) for entry in some])
    pictures = maps.pictures(seen.features([entry.picture.id for entry in some])).numpy()
    queries = text_embeds(model, maps, [[text] for entry in some for text in entry.captions])
    figures: dict[str, Figure] = {}
    for name, found in (
        ("text_to_image", ranks_in_groups(queries, pictures, groups[owners], groups)),
        ("image_to_text", ranks_in_groups(pictures, queries, groups, groups[owners])),
    ):
        figures |= {f"{name}/{key}": value for key, value in rank_figures(found, seed=seed).items()}
    stories = _some(data.stories, options.ablation_stories).stories
    seen.see(picture for story in stories for picture in story.pictures)
    ids = sorted({picture.id for story in stories for picture in story.pictures})
    search, album = Gallery(ids, ids), maps.pictures(seen.features(ids)).numpy()
    for context in CONTEXTS:
        prompts = [story_prompt(story, context, seen) for story in stories]
        ranks, _ = search.ranks(stories, text_embeds(model, maps, prompts), album)
        figures |= {f"{context}/{key}": value for key, value in rank_figures(ranks, seed=seed).items()}
    return TaskResult(figures, {"pictures": len(some), "stories": len(stories)})


def _some(stories: Stories, n: int) -> Stories:
    return replace(stories, stories=stories.stories[:n])
