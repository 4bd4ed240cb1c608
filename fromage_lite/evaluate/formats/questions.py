"""Questions about pictures with all of their answers: VQA v2, OK-VQA, GQA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fromage_lite.errors import DataError
from fromage_lite.evaluate.formats.nodes import Node, read_json
from fromage_lite.evaluate.formats.pictures import PictureRef, coco_names


@dataclass(frozen=True)
class PictureQuestion:
    """A question about a picture.

    Attributes:
        id: its number in the file.
        picture: the picture.
        text: the question.
        answers: of all annotators, ten in VQA v2; one in GQA.
        kind: VQA's `answer_type` (`yes/no`, `number`, `other`), GQA's structural type; may be empty.
    """

    id: str
    picture: PictureRef
    text: str
    answers: tuple[str, ...]
    kind: str = ""

    @property
    def best_answer(self) -> str:
        """The most frequent answer, the first of equals: what an example in the context answers."""
        return max(self.answers, key=self.answers.count)


def read_questions(path: str | Path) -> list[PictureQuestion]:
    """Reads a file of questions, in the order of the file, without those that have no answer.

    Args:
        path: VQA v2's or OK-VQA's questions (the annotations are found by their name beside it, or are in the same
            file), or GQA's, an object of questions by id.

    Raises:
        DataError: a file is missing or has another form, or no question has an answer.
    """
    node = read_json(path)
    found = _vqa(node) if node.get("questions") is not None else _gqa(node)
    if not found:
        raise DataError(f"{node.file} has no question with an answer.")
    return found


def _vqa(node: Node) -> list[PictureQuestion]:
    annotations = node.get("annotations")
    if annotations is None:
        annotations = read_json(annotations_file(node.file))["annotations"]
    answers: dict[str, tuple[tuple[str, ...], str]] = {}
    for entry in annotations.items():
        kind = entry.get("answer_type") or entry.get("question_type")
        given = entry.get("answers")
        texts = [part["answer"].text() for part in given.items()] if given is not None else []
        if not texts:
            texts = [entry["multiple_choice_answer"].text()]
        answers[entry["question_id"].id()] = (tuple(texts), "" if kind is None else kind.text())
    names: dict[str, str] = {}
    images = node.get("images")
    for image in () if images is None else images.items():
        if (name := image.get("file_name")) is not None:
            names[image["id"].id()] = name.text()
    found = []
    for entry in node["questions"].items():
        id, image_id = entry["question_id"].id(), entry["image_id"].id()
        if id in answers:
            given_name = (names[image_id],) if image_id in names else ()
            picture = PictureRef(image_id, given_name + coco_names(image_id, node.file.name))
            found.append(PictureQuestion(id, picture, entry["question"].text(), *answers[id]))
    return found


def _gqa(node: Node) -> list[PictureQuestion]:
    found = []
    for id, entry in node.pairs():
        answer = entry.get("answer")  # the test and challenge files have none
        if answer is not None:
            types = entry.get("types")
            kind = None if types is None else types.get("structural")
            picture = PictureRef(entry["imageId"].id())
            words = entry["question"].text(), (answer.text(),), "" if kind is None else kind.text()
            found.append(PictureQuestion(id, picture, *words))
    return found


def annotations_file(questions: Path) -> Path:
    """The annotations to a file of questions: VQA v2 ships `v2_OpenEnded_mscoco_val2014_questions.json` and
    `v2_mscoco_val2014_annotations.json`, OK-VQA `OpenEnded_mscoco_val2014_questions.json` and
    `mscoco_val2014_annotations.json`.

    Raises:
        DataError: the file's name doesn't tell.
    """
    if "questions" not in questions.name:
        raise DataError(f"{questions} has no annotations.")
    name = questions.name.replace("questions", "annotations")
    places = [questions.with_name(n) for n in (name, name.replace("OpenEnded_", ""))]
    return next((place for place in places if place.exists()), places[-1])
