"""Questions about pictures with their answers, from files in the format of VQA v2."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromage_lite.errors import DataError, ImageError
from fromage_lite.evaluate.formats.pictures import PictureRef, coco_names
from fromage_lite.evaluate.formats.questions import annotations_file
from index.errors import described, reason

Draw = Callable[[Mapping[str, Any]], Path]
"""Makes the picture file of an entry of `images` that holds a scene."""

_PUNCTUATION = re.compile(r"[^\w\s]")
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = {word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten".split())}


@dataclass(frozen=True)
class Question:
    """A question about a picture.

    Attributes:
        id: its number in the file.
        image_id: the picture's.
        text: the question.
        answer: the most frequent answer.
    """

    id: str
    image_id: str
    text: str
    answer: str


class VqaFile:
    """The questions of a file, and where their pictures are. Build it with `VqaFile.read`.

    Attributes:
        path: the file with the questions.
        questions: the questions that have an answer.
    """

    def __init__(
        self,
        path: Path,
        questions: tuple[Question, ...],
        images: Mapping[str, Mapping[str, Any]],
        folders: tuple[Path, ...],
        draw: Draw | None,
    ) -> None:
        self.path, self.questions = path, questions
        self._images, self._folders, self._draw = images, folders, draw

    @classmethod
    def read(cls, path: str | Path, folder: str | Path | None = None, draw: Draw | None = None) -> VqaFile:
        """Reads questions and answers.

        Args:
            path: a JSON file with `questions` (`question_id`, `image_id`, `question`) and `annotations`
                (`question_id`, `multiple_choice_answer` or `answers`); VQA v2 has the annotations in a second file,
                which is found by its name.
            folder: where the pictures are; None looks next to the file and in `images` there.
            draw: for a file whose `images` may hold scenes (`scene`) instead of files: draws the picture of such an
                entry and returns its file.

        Raises:
            DataError: a file is missing or has another form.
        """
        file = Path(path).expanduser()
        data = _load(file)
        if not isinstance(data.get("annotations"), list):
            data = {**data, "annotations": _load(annotations_file(file)).get("annotations")}
        try:
            answers = dict(_answers(data["annotations"]))
            questions = tuple(
                Question(id, str(entry["image_id"]), str(entry["question"]), answers[id])
                for entry in data["questions"]
                if (id := str(entry["question_id"])) in answers
            )
            images = {str(e.get("id", e.get("image_id"))): e for e in data.get("images", [])}
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise DataError(f"{file} is not in the format of VQA v2 ({described(error)}).") from error
        if not questions:
            raise DataError(f"{file} has no question with an answer.")
        beside = (file.parent, file.parent / "images")
        return cls(file, questions, images, beside if folder is None else (Path(folder).expanduser(),), draw)

    def draw(self, rng: random.Random) -> Question:
        """A random question; all are equally likely."""
        return rng.choice(self.questions)

    def picture(self, question: Question) -> Path:
        """The file with a question's picture.

        Raises:
            ImageError: there is no such picture, or its scene can't be drawn.
        """
        entry = self._images.get(question.image_id, {})
        if "scene" in entry and self._draw is not None:
            return self._draw(entry)
        named = (str(entry["file_name"]),) if entry.get("file_name") else ()
        ref = PictureRef(question.image_id, named + coco_names(question.image_id, self.path.name))
        if (found := ref.find(self._folders)) is not None:
            return found
        raise ImageError(
            f"There is no picture {question.image_id} in {' or '.join(map(str, self._folders))}.",
            "Name the folder: /randvqa FILE FOLDER.",
        )


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} can't be read: {reason(error)}.") from error
    if not isinstance(data, dict):
        raise DataError(f"{path} is not a file of questions: it holds no JSON object.")
    return data


def _answers(annotations: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for entry in annotations:
        answer = entry.get("multiple_choice_answer") or entry.get("answer")
        if answer is None and entry.get("answers"):
            given = [str(a["answer"]) for a in entry["answers"]]
            answer = max(given, key=given.count)
        if answer is not None:
            yield str(entry["question_id"]), str(answer)


def exact_match(reply: str, answer: str) -> bool:
    """Whether a reply equals the answer, ignoring case, punctuation, articles and how numbers are written."""
    return _normal(reply) == _normal(answer)


def _normal(text: str) -> list[str]:
    words = _PUNCTUATION.sub(" ", text.lower()).split()
    return [_NUMBERS.get(word, word) for word in words if word not in _ARTICLES]
