"""The playground's own questions: a small file in the format of VQA v2 over held-out scenes, drawn when asked for."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fromage_lite.config import playground_dir
from fromage_lite.errors import ImageError
from fromage_lite.evaluate.vqa import VqaFile
from fromage_lite.playground.pictures import playground_cache
from fromage_lite.playground.text.questions import ask
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, Group, Scene, sample_scene
from fromage_lite.playground.world.things import SETTINGS, THINGS
from index.errors import described, reason
from index.files import replacing, write_bytes

FILE = "vqa.json"  # in the folder of the shipped models
COUNT = 150
FIRST_SEED = HELD_OUT_SEED + 900_000_000  # apart from the pictures of the evaluation


def make_vqa(count: int = COUNT) -> dict[str, Any]:
    """Questions, annotations and, in place of image files, scenes with their render seeds. The same at every call."""
    rng = random.Random("vqa")
    images, questions, annotations = [], [], []
    for number in range(count):
        scene = sample_scene(rng, "val")
        question = ask(scene, rng)
        assert question is not None  # only a question of a given kind may be impossible
        answer = question.answer.rstrip(".")
        images.append({"id": number, "seed": FIRST_SEED + number, "scene": _scene_data(scene)})
        questions.append({"image_id": number, "question": question.text, "question_id": number})
        annotations.append(
            {
                "question_id": number,
                "image_id": number,
                "question_type": question.kind,
                "multiple_choice_answer": answer,
                "answers": [{"answer_id": 1, "answer": answer}],
            }
        )
    info = {"description": "Questions about held-out scenes of the fromage_lite playground, in the format of VQA v2"}
    return {"info": info, "images": images, "questions": questions, "annotations": annotations}


def write_vqa(path: Path, count: int = COUNT) -> None:
    """Writes the file, one entry a line."""
    data = make_vqa(count)
    parts = [f'"info": {json.dumps(data["info"])}']
    for name in ("images", "questions", "annotations"):
        lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in data[name])
        parts.append(f'"{name}": [\n{lines}\n]')
    write_bytes(path, ("{" + ",\n".join(parts) + "}\n").encode())


def open_questions(path: str | Path | None = None, folder: str | Path | None = None) -> VqaFile:
    """Questions whose pictures are files, or scenes of the playground.

    Args:
        path: as for `VqaFile.read`; None is the playground's own.
        folder: as for `VqaFile.read`.

    Raises:
        DataError: a file is missing or has another form.
    """
    return VqaFile.read(playground_dir() / FILE if path is None else path, folder, draw=picture_of)


def picture_of(image: Mapping[str, Any]) -> Path:
    """The picture of an entry of `images`, drawn into the cache folder unless it is there.

    Raises:
        ImageError: the scene can't be drawn, or the folder can't be written to.
    """
    try:
        scene, seed = _scene(image["scene"]), int(image["seed"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ImageError(f"The scene of a question can't be drawn ({described(error)}).") from error
    path = playground_cache() / "vqa" / f"{seed}.png"
    if not path.exists():
        picture = render(scene, seed)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                picture.save(temporary, "PNG")
        except OSError as error:
            raise ImageError(f"{path} can't be written: {reason(error)}.") from error
    return path


def _scene_data(scene: Scene) -> dict[str, Any]:
    groups = [[group.thing, group.count, group.size, group.colour] for group in scene.groups]
    return {"setting": scene.setting, "groups": groups}


def _scene(data: Mapping[str, Any]) -> Scene:
    groups = tuple(
        Group(str(thing), int(count), str(size), str(colour)) for thing, count, size, colour in data["groups"]
    )
    if data["setting"] not in SETTINGS or any(g.thing not in THINGS or not 1 <= g.count <= 4 for g in groups):
        raise ValueError("an unknown place or thing")
    return Scene(groups, str(data["setting"]))
