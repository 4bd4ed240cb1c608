"""Dialogues at the edge: questions about found pictures, and messages kept apart from training."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fromage_lite.chat.agent import Agent
from fromage_lite.evaluate.metrics import mean
from fromage_lite.evaluate.replies import reply, same_answer
from fromage_lite.playground.evaluation.named import things_named
from fromage_lite.playground.evaluation.replies import Pictures
from fromage_lite.playground.pictures import gallery
from fromage_lite.playground.text import talk
from fromage_lite.playground.text.asking import request_text
from fromage_lite.playground.text.grammar import PLAIN, full_description
from fromage_lite.playground.text.kept_apart import EDGES, SHOWN, Edge
from fromage_lite.playground.text.questions import MY_PICTURE, ask
from fromage_lite.playground.world.scene import HELD_OUT_SEED, sample_scene

_SHOWN_SEED = HELD_OUT_SEED + 800_000_000


def found_questions(agent: Agent, n: int, seed: int = 1) -> dict[str, float]:
    """`found_vqa`: a question on the picture that a request found, answered as the picture has it. A third of the
    requests say where, a third do not, and a third ask for what the index hasn't; every other question comes after a
    turn of talk."""
    rng = random.Random(f"found {seed}")
    scenes = {full_description(scene): scene for scene in gallery()}
    right: list[bool] = []
    for number in range(n):
        dialogue = agent.dialogue()
        wanted = sample_scene(rng, "val", 2) if number % 3 == 2 else rng.choice(list(scenes.values())[:800])
        _, hits = reply(dialogue, (request_text(wanted, rng, PLAIN, with_setting=number % 3 == 0),))
        if not hits:
            right.append(False)
            continue
        scene, question = scenes[hits[0].caption], None
        if number % 2:
            reply(dialogue, (rng.choice((talk.fact, talk.small_talk))(rng)[0],))
        while question is None or question.text in MY_PICTURE:
            question = ask(scene, rng)
        right.append(same_answer(reply(dialogue, (question.text,))[0], question.answer))
    return {"found_vqa": mean(right)}


def small_talk(agent: Agent) -> dict[str, float]:
    """`small_talk`: messages that no training text has get one of the answers that make sense."""
    with Pictures() as pictures:
        picture = pictures.save(SHOWN, _SHOWN_SEED)
        return {"small_talk": mean([is_answered(agent, edge, (picture,)) for edge in EDGES])}


def is_answered(agent: Agent, edge: Edge, picture: Sequence[object]) -> bool:
    """Whether the reply to a message is one of those that make sense there."""
    text, found = edge_reply(agent, edge, picture)
    return any(same_answer(text, answer) for answer in edge.answers) or bool(edge.finds and edge.finds <= found)


def edge_reply(agent: Agent, edge: Edge, picture: Sequence[object]) -> tuple[str, frozenset[str]]:
    """What is said to a message after what comes before it, and the things in the first picture found."""
    dialogue = agent.dialogue()
    if edge.before == "picture":
        reply(dialogue, (*picture, "is this a piano?"))  # type: ignore[arg-type]
    elif edge.before != "first":
        reply(dialogue, (edge.before,))
    text, hits = reply(dialogue, (edge.message,))
    return text, things_named(hits[0].caption) if hits else frozenset()
