"""Visual Dialog v1.0: `visdial_1.0_val.json` and its dense annotations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fromage_lite.errors import DataError
from fromage_lite.evaluate.formats.nodes import Node, read_json
from fromage_lite.evaluate.formats.pictures import PictureRef, coco_names


@dataclass(frozen=True)
class Round:
    """A question about a picture, with its answers to choose from.

    Attributes:
        question: without its question mark, as in the file.
        answer: what was answered.
        options: candidate answers, 100 in the published files.
        right: which of them is the answer.
        relevance: of each option, from 0 to 1 (dense annotations); None where there is none.
    """

    question: str
    answer: str
    options: tuple[str, ...]
    right: int
    relevance: tuple[float, ...] | None = None


@dataclass(frozen=True)
class PictureDialogue:
    """A picture, its caption, and rounds of questions about it."""

    picture: PictureRef
    caption: str
    rounds: tuple[Round, ...]


def read_visdial(path: str | Path, dense: str | Path | None = None) -> list[PictureDialogue]:
    """Reads dialogues with answers (the training and validation files; the test file has none).

    Args:
        path: the file.
        dense: its dense annotations; None is without.

    Raises:
        DataError: a file is missing or has another form, or they do not belong together.
    """
    node = read_json(path)
    data = node["data"]
    questions = [entry.text() for entry in data["questions"].items()]
    answers = [entry.text() for entry in data["answers"].items()]
    found = []
    for dialog in data["dialogs"].items():
        id = dialog["image_id"].id()
        rounds = tuple(_round(entry, questions, answers) for entry in dialog["dialog"].items())
        picture = PictureRef(id, coco_names(id, node.file.name))
        found.append(PictureDialogue(picture, dialog["caption"].text(), rounds))
    if not found:
        raise DataError(f"{node.file} has no dialogue.")
    return found if dense is None else _with_relevance(found, read_json(dense))


def _round(node: Node, questions: list[str], answers: list[str]) -> Round:
    options = tuple(answers[option.integer(below=len(answers))] for option in node["answer_options"].items())
    return Round(
        question=questions[node["question"].integer(below=len(questions))],
        answer=answers[node["answer"].integer(below=len(answers))],
        options=options,
        right=node["gt_index"].integer(below=len(options)),
    )


def _with_relevance(dialogues: list[PictureDialogue], node: Node) -> list[PictureDialogue]:
    """Each annotation is of one round, counted from 1, of the dialogue about its picture."""
    places = {dialogue.picture.id: number for number, dialogue in enumerate(dialogues)}
    found = list(dialogues)
    for entry in node.items():
        id = entry["image_id"].id()
        if id not in places:
            raise DataError(f"{node.file}: {entry.place} is about picture {id}, of which there is no dialogue.")
        dialogue = found[places[id]]
        number = entry["round_id"].integer(least=1, below=len(dialogue.rounds) + 1) - 1
        named = entry.get("gt_relevance") or entry["relevance"]  # the training file has the shorter name
        relevance = tuple(value.number() for value in named.items())
        chosen = dialogue.rounds[number]
        if len(relevance) != len(chosen.options):
            raise DataError(
                f"{node.file}: {entry.place} has {len(relevance)} numbers for {len(chosen.options)} answers."
            )
        rounds = (*dialogue.rounds[:number], replace(chosen, relevance=relevance), *dialogue.rounds[number + 1 :])
        found[places[id]] = replace(dialogue, rounds=rounds)
    return found
