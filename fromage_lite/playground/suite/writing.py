"""Held-out scenes as data sets in the published formats: COCO captions, VIST, VisDial, VQA v2, with picture files."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fromage_lite.evaluate.formats.stories import STORY_LENGTH
from fromage_lite.playground.evaluation.named import things_named
from fromage_lite.playground.text.document import allowed
from fromage_lite.playground.text.grammar import FULL, Style, caption, full_description, phrase, setting_phrase
from fromage_lite.playground.text.questions import Question, ask, questions
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, Scene, sample_scene
from fromage_lite.playground.world.things import SETTINGS
from fromage_lite.progress import progress_bar
from index.files import replacing, write_bytes

CAPTIONS, STORIES = "captions_val2014.json", "val.story-in-sequence.json"
DIALOGUES, DENSE = "visdial_1.0_val.json", "visdial_1.0_val_dense_annotations.json"
QUESTIONS, EXAMPLES = "v2_OpenEnded_mscoco_val2014_questions.json", "v2_OpenEnded_mscoco_train2014_questions.json"
IMAGES, SCENES = "images", "scenes.json"

_FIRST_SEED = HELD_OUT_SEED + 600_000_000  # apart from the pictures of every other evaluation
_CAPTIONS_EACH, _ROUNDS, _OPTIONS = 5, 10, 100


@dataclass(frozen=True)
class Sizes:
    """How many of each: captioned pictures, stories, dialogues, questions, and examples to answer them by."""

    pictures: int = 400
    stories: int = 250
    dialogues: int = 200
    questions: int = 200
    examples: int = 100


class _Album:
    """Numbers pictures, draws them, and notes what each shows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.scenes: dict[str, Scene] = {}

    def add(self, scene: Scene) -> int:
        number = len(self.scenes) + 1
        self.scenes[str(number)] = scene
        return number

    def name(self, number: int) -> str:
        return f"{number}.png"

    def draw(self) -> None:
        """Draws those that are not there yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with progress_bar("Drawing held-out scenes", "picture") as progress:
            for number, scene in enumerate(self.scenes.values(), start=1):
                path = self._folder / self.name(number)
                if not path.exists():
                    with replacing(path) as temporary:
                        render(scene, _FIRST_SEED + number).save(temporary, "PNG", compress_level=1)
                progress(number, len(self.scenes))


def write_data(folder: Path, sizes: Sizes, seed: int) -> None:
    """Writes all data sets and their pictures, and what each picture shows (`scenes.json`: descriptions by id).

    Raises:
        OSError: the folder can't be written.
    """
    album = _Album(folder / IMAGES)
    files: dict[str, Any] = {
        CAPTIONS: _captions(album, sizes.pictures, random.Random(f"suite captions {seed}")),
        STORIES: _stories(album, sizes.stories, random.Random(f"suite stories {seed}")),
    }
    files[DIALOGUES], files[DENSE] = _dialogues(album, sizes.dialogues, random.Random(f"suite dialogues {seed}"))
    for name, n in ((QUESTIONS, sizes.questions), (EXAMPLES, sizes.examples)):
        asked, annotated = _questions(album, n, random.Random(f"suite {name} {seed}"))
        files[name] = asked
        files[name.replace("OpenEnded_", "").replace("questions", "annotations")] = annotated
    files[SCENES] = {id: full_description(scene) for id, scene in album.scenes.items()}
    album.draw()
    for name, data in files.items():
        write_bytes(folder / name, json.dumps(data).encode())


def _captions(album: _Album, n: int, rng: random.Random) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for _ in range(n):
        scene = sample_scene(rng, "val")
        number = album.add(scene)
        images.append({"id": number, "file_name": album.name(number)})
        for _ in range(_CAPTIONS_EACH):
            text = caption(scene, rng, FULL if rng.random() < 0.4 else None)
            annotations.append({"image_id": number, "id": len(annotations), "caption": text})
    return {"info": {"description": "fromage_lite playground"}, "images": images, "annotations": annotations}


def _stories(album: _Album, n: int, rng: random.Random) -> dict[str, Any]:
    images: list[dict[str, str]] = []
    annotations: list[list[dict[str, Any]]] = []
    for number in range(n):
        lines, scenes = _story(rng)
        for place, (line, scene) in enumerate(zip(lines, scenes, strict=True)):
            id = str(album.add(scene))
            images.append({"id": id, "url_o": ""})
            annotations.append(
                [
                    {
                        "original_text": line,
                        "text": line,
                        "photo_flickr_id": id,
                        "story_id": str(number),
                        "worker_arranged_photo_order": place,
                        "tier": "story-in-sequence",
                    }
                ]
            )
    return {"images": images, "annotations": annotations, "type": "story-in-sequence"}


def _story(rng: random.Random) -> tuple[list[str], list[Scene]]:
    """Five captions and their scenes: a hero in five places, each time with something else.

    Only the first names the hero; a later caption names place and company, so that alone it fits several pictures, and
    the earlier ones tell which. No training text has these words in this order.
    """
    while True:
        things = [replace(sample_scene(rng, "any", 1).groups[0], count=1) for _ in range(STORY_LENGTH + 1)]
        hero, others = things[0], things[1:]
        places = rng.sample(list(SETTINGS), STORY_LENGTH)
        scenes = [Scene((hero, other), place) for other, place in zip(others, places, strict=True)]
        if len({group.thing for group in things}) == len(things) and all(allowed(scene, "val") for scene in scenes):
            break
    lines = []
    for number, (other, place) in enumerate(zip(others, places, strict=True)):
        begins = f"once there was {phrase(hero)} and" if number == 0 else "then it was with"
        lines.append(f"{begins} {phrase(other)} {setting_phrase(place)}.")
    return lines, scenes


def _dialogues(album: _Album, n: int, rng: random.Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    asked, answered = _Numbered(), _Numbered()
    dialogs, dense = [], []
    for _ in range(n):
        scene, turns = _ten_questions(rng)
        number = album.add(scene)
        dialog, options_of = [], []
        for turn in turns:
            options = _options(turn, rng)
            options_of.append(options)
            dialog.append(
                {
                    "question": asked.number(turn.text.removesuffix("?")),
                    "answer": answered.number(turn.answer),
                    "answer_options": [answered.number(option) for option in options],
                    "gt_index": options.index(turn.answer),
                }
            )
        # The caption names one thing and leaves the rest to the dialogue.
        named = phrase(rng.choice(scene.groups), Style(colours=False))
        dialogs.append({"image_id": number, "caption": f"a picture with {named}.", "dialog": dialog})
        place = rng.randrange(_ROUNDS)
        relevance = [_relevance(option, turns[place].answer) for option in options_of[place]]
        dense.append({"image_id": number, "round_id": place + 1, "gt_relevance": relevance})
    data = {"dialogs": dialogs, "questions": asked.texts, "answers": answered.texts}
    return {"version": "1.0", "split": "val2018", "data": data}, dense


class _Numbered:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]


def _ten_questions(rng: random.Random) -> tuple[Scene, list[Question]]:
    while True:
        scene = sample_scene(rng, "val")
        asked = questions(scene, rng, 4 * _ROUNDS)
        if len(asked) >= _ROUNDS:
            return scene, asked[:_ROUNDS]


def _options(turn: Question, rng: random.Random) -> list[str]:
    """A hundred answers: the right one, and half of the others given elsewhere to questions of its kind."""
    options = {turn.answer: None}
    tries = 0
    while len(options) < _OPTIONS:
        tries += 1
        kind = turn.kind if len(options) < _OPTIONS // 2 and tries < 2 * _OPTIONS else None
        other = ask(sample_scene(rng, "val"), rng, kind)
        if other is not None:
            options.setdefault(other.answer)
    mixed = list(options)
    rng.shuffle(mixed)
    return mixed


def _relevance(option: str, answer: str) -> float:
    """1 for the answer, 0.5 for others that name the same things, else 0."""
    if option == answer:
        return 1.0
    named = things_named(answer)
    return 0.5 if named and things_named(option) == named else 0.0


def _questions(album: _Album, n: int, rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    asked, annotated = [], []
    for number in range(n):
        scene = sample_scene(rng, "val")
        question = ask(scene, rng)
        assert question is not None  # only a question of a given kind may be impossible
        image, answer = album.add(scene), question.answer.rstrip(".")
        asked.append({"image_id": image, "question": question.text, "question_id": number})
        annotated.append(
            {
                "question_id": number,
                "image_id": image,
                "question_type": question.kind,
                "answer_type": _answer_type(question),
                "multiple_choice_answer": answer,
                "answers": [{"answer_id": i + 1, "answer": answer} for i in range(10)],
            }
        )
    return {"questions": asked}, {"annotations": annotated}


def _answer_type(question: Question) -> str:
    if question.answer in ("yes.", "no."):
        return "yes/no"
    return "number" if question.kind == "how_many" else "other"


def scenes_shown(folder: Path) -> dict[str, str]:
    """What each picture shows: descriptions by id, equal where pictures are of equal scenes."""
    shown: dict[str, str] = json.loads((folder / SCENES).read_text(encoding="utf-8"))
    return shown
