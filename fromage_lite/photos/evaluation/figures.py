"""The figures of a bridge for photographs, on simulated ones. All replies come from the dialogue's own event stream."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from fromage_lite.chat.dialogue import Dialogue
from fromage_lite.evaluate.matches import Scored, told_and_trusted
from fromage_lite.evaluate.metrics import mean
from fromage_lite.evaluate.replies import reply, same_answer
from fromage_lite.model.fromage import Fromage
from fromage_lite.photos.evaluation.named import read
from fromage_lite.photos.evaluation.simulated import simulated_agent
from fromage_lite.photos.pretraining.measuring import greedy_answers
from fromage_lite.photos.pretraining.tags import TagTable
from fromage_lite.photos.text import pictures, talk, telling
from fromage_lite.photos.text.asking import Wish, any_wish, request_text, wished
from fromage_lite.photos.text.document import Document, Mixture, Picture, say_with
from fromage_lite.photos.text.pairs import place_question, which_one
from fromage_lite.photos.text.questions import MY_PICTURE, WHAT, ask, asked_thing, yes_no_text
from fromage_lite.photos.text.searches import search_phrase
from fromage_lite.photos.text.strangers import UNKNOWN, stranger
from fromage_lite.photos.text.words import NAMES, WORDS_OF_KINDS, members, words_of
from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import with_article
from fromage_lite.photos.world.saying import Saying, kind_sums, saying
from fromage_lite.photos.world.simulator import MODES
from fromage_lite.text.forms.requests import AGAIN, CORRECTIONS, THING_CHANGES
from index.search.hits import Hit

Figures = dict[str, float]

_LEAST_NAMED = 0.35  # a name that has less is wrong
_SURELY, _SURELY_NOT = 0.55, 0.15
"""Yes/no is asked where the answer is no matter of taste."""
_PLAIN_KINDS = ("what", "kind", "which", "yes_no", "use", "ability")


class PhotosEvaluation:
    """Measures one bridge.

    Args:
        model: the model.
        n: pictures or questions a figure.
        seed: decides pictures and questions; none of them is in a training text.
    """

    def __init__(self, model: Fromage, *, n: int = 300, seed: int = 1) -> None:
        self.model, self.n, self.seed = model, n, seed
        self.agent, self.engine = simulated_agent(model, gallery())

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"photo evaluation {name} {self.seed}")

    def _each(self, name: str) -> range:
        return tqdm(range(self.n), desc=name, leave=False)  # type: ignore[return-value]

    def _dialogue(self) -> Dialogue:
        return self.agent.dialogue()

    # --- the frozen LM ---

    def language_model(self) -> Figures:
        """`photo_lm_text_qa`: one question on a plain span, word for word right."""
        rng, language = self._rng("lm"), self.model.language
        made: list[tuple[Document, str]] = []
        for number in range(self.n):
            mixture = pictures.plain(rng.randrange(len(NAMES)))
            question = ask(mixture, rng, _PLAIN_KINDS[number % len(_PLAIN_KINDS)])
            made.append((say_with([Picture(mixture)], question.text, "")[:-1], question.answer))
        tags = TagTable(language.tokenizer).to(language.device)
        given = greedy_answers(language.model, language.tokenizer, tags, [prompt for prompt, _ in made])
        return {"photo_lm_text_qa": mean([same_answer(a, right) for a, (_, right) in zip(given, made, strict=True)])}

    # --- one picture ---

    def _said(self, mixture: Mixture, rng: random.Random) -> Saying:
        return read(reply(self._dialogue(), (self.engine.show(mixture), rng.choice(WHAT[:8])))[0])

    def _drawn(self, rng: random.Random, fits: Callable[[Mixture], bool]) -> Mixture:
        while not fits(mixture := pictures.anything(rng, MODES)):
            pass
        return mixture

    def named(self) -> Figures:
        """`photo_name`, and apart for tops near the limit and above; `photo_kind`; `photo_unknown`; `photo_wrong`."""
        rng = self._rng("names")
        cases: dict[str, Callable[[Mixture], bool]] = {
            "name": lambda m: m.max() >= 0.5,
            "name_at_the_limit": lambda m: 0.5 <= m.max() < 0.6,
            "kind": lambda m: not saying(m).names and float(kind_sums(m).max()) >= 0.7,
            "unknown": lambda m: saying(m).nothing and float(kind_sums(m).max()) < 0.55,
            "any": lambda m: True,
        }
        right: dict[str, list[bool]] = {name: [] for name in cases}
        wrong: list[bool] = []
        for name, fits in cases.items():
            for _ in self._each(name):
                mixture = self._drawn(rng, fits)
                said = self._said(mixture, rng)
                is_wrong = any(number < 0 or mixture[number] < _LEAST_NAMED for number in said.names)
                if name == "any":
                    wrong.append(is_wrong)
                elif name == "unknown":
                    right[name].append(said.nothing)
                elif name == "kind":
                    holds = said.kind is not None and telling.mass(mixture, KINDS[said.kind]) >= 0.6
                    right[name].append(holds and not is_wrong)
                else:
                    right[name].append(int(mixture.argmax()) in said.names)
        figures = {f"photo_{name}": mean(values) for name, values in right.items() if values}
        return figures | {"photo_wrong": mean(wrong)}

    def yes_no(self) -> Figures:
        """`photo_yes_no`: near misses included; `photo_yes_no_kind`: "is there an animal?"; right by the first word."""
        rng = self._rng("yes or no")
        right: dict[str, list[bool]] = {"": [], "_kind": []}
        for number in self._each("yes_no"):
            of_kind = number % 2 == 1
            while True:
                mixture = pictures.anything(rng, MODES)
                if of_kind and rng.random() < 0.5:
                    word = rng.choice(CLASSES[int(mixture.argmax())].kinds)
                else:
                    word = rng.choice(list(KINDS)) if of_kind else asked_thing(mixture, rng)
                share = telling.mass(mixture, members(word))
                if share >= _SURELY or share <= _SURELY_NOT:
                    break
            text, _ = reply(self._dialogue(), (self.engine.show(mixture), yes_no_text(word, rng)))
            wanted = telling.YES_WORD if share >= _SURELY else telling.NO_WORD
            right["_kind" if of_kind else ""].append(text.split(",")[0].rstrip(".") == wanted)
        return {"photo_yes_no": mean(right[""] + right["_kind"]), "photo_yes_no_kind": mean(right["_kind"])}

    def other_questions(self) -> Figures:
        """`photo_qa_KIND`: questions of each kind on any picture, word for word right."""
        rng = self._rng("questions")
        kinds = ("what", "kind", "which", "guess", "use", "ability", "choice", "beyond")
        right: dict[str, list[bool]] = {kind: [] for kind in kinds}
        for number in self._each("questions"):
            mixture, kind = pictures.anything(rng, MODES), kinds[number % len(kinds)]
            question = ask(mixture, rng, kind)
            text, _ = reply(self._dialogue(), (self.engine.show(mixture), question.text))
            right[kind].append(same_answer(text, question.answer))
        return {f"photo_qa_{kind}": mean(values) for kind, values in right.items()}

    # --- two pictures ---

    def two(self) -> Figures:
        """`photo_two`: what is in the first or the second (`photo_two_first`), which one shows a thing (`_which`)."""
        rng = self._rng("two")
        right: dict[str, list[bool]] = {"which": [], "first": []}
        for number in self._each("two"):
            first, second = pictures.pair(rng)
            kind = "which" if number % 2 else "first"
            ask_two = which_one(first, second, rng)[:2] if number % 2 else place_question([first, second], rng)
            message = (self.engine.show(first), self.engine.show(second), ask_two[0])
            right[kind].append(same_answer(reply(self._dialogue(), message)[0], ask_two[1]))
        figures = {f"photo_two_{kind}": mean(values) for kind, values in right.items()}
        return {"photo_two": mean([value for values in right.values() for value in values])} | figures

    # --- requests ---

    def requests(self) -> Figures:
        """`photo_request`, apart by name, synonym and kind; `photo_search`; `photo_found`: a question on what a request
        found; `photo_follow_up`: another one, something else, not that."""
        rng = self._rng("requests")
        right: dict[str, list[bool]] = {"name": [], "synonym": [], "kind": []}
        found: list[bool] = []
        searched: list[bool] = []
        followed: list[bool] = []
        for number in self._each("requests"):
            kind = ("name", "synonym", "kind")[number % 3]
            wish, dialogue = _wish(kind, rng), self._dialogue()
            _, hits = reply(dialogue, (request_text(wish, rng),))
            right[kind].append(_shows(hits, wish))
            if number % 2 and hits:
                mixture = self.engine.features(hits[0].source).numpy()
                question = ask(mixture, rng, "what")
                found.append(same_answer(reply(dialogue, (question.text,))[0], question.answer))
            other, text = _follow_up(wish, rng)
            _, later = reply(dialogue, (text,))
            shown = {hit.id for hit in hits}
            followed.append(_shows(later, other) and not shown & {hit.id for hit in later})
            wish = _wish(kind, rng)
            searched.append(_shows(self.agent.search((search_phrase(wish, rng),), 1), wish))
        return {
            "photo_request": mean([value for values in right.values() for value in values]),
            **{f"photo_request_{kind}": mean(values) for kind, values in right.items()},
            "photo_search": mean(searched),
            "photo_found": mean(found),
            "photo_follow_up": mean(followed),
        }

    def own_picture(self) -> Figures:
        """`photo_own`: what is in the user's picture, after a request has found another; `photo_like_mine`: more like
        it has the first hit of its class."""
        rng = self._rng("own")
        right: list[bool] = []
        alike: list[bool] = []
        for _ in self._each("own"):
            mixture, dialogue = pictures.certain(rng), self._dialogue()
            reply(dialogue, (self.engine.show(mixture), rng.choice(WHAT)))
            reply(dialogue, (request_text(any_wish(rng), rng),))
            right.append(same_answer(reply(dialogue, (rng.choice(MY_PICTURE),))[0], telling.description(mixture)))
            _, hits = reply(dialogue, ("show me more like my picture.",))
            alike.append(_shows(hits, Wish("", (int(mixture.argmax()),))))
        return {"photo_own": mean(right), "photo_like_mine": mean(alike)}

    # --- what it does not know ---

    def strangers(self) -> Figures:
        """`photo_stranger`: requests for what the model doesn't know get words and no picture; `photo_silent`:
        small talk gets no picture."""
        rng = self._rng("strangers")
        honest: list[bool] = []
        silent: list[bool] = []
        for _ in self._each("strangers"):
            text, hits = reply(self._dialogue(), (f"show me {stranger(rng)}.",))
            honest.append(same_answer(text, UNKNOWN) and not hits)
            silent.append(not reply(self._dialogue(), (talk.small_talk(rng)[0],))[1])
        return {"photo_stranger": mean(honest), "photo_silent": mean(silent)}

    def matches(self) -> Figures:
        """`match_told`, `match_trusted`: whether a first hit's score tells if it is what was asked for."""
        scored = scored_requests(self.model, self.n, self.seed)
        return told_and_trusted(scored, self.model.config.match_score) if scored else {}


def gallery(size: int = 3500) -> list[Mixture]:
    """Simulated photographs to search in: two of every class, then any, unsure ones and some of nothing known."""
    rng = random.Random("photo gallery")
    shown = [pictures.of_class(number, rng) for number in range(len(NAMES)) for _ in range(2)]
    return shown + [pictures.anything(rng, MODES) for _ in range(size - len(shown))]


def scored_requests(model: Fromage, n: int, seed: int) -> list[Scored]:
    """First hits of `n` requests that an index can satisfy and of `n` that it can't: it lacks half of the classes."""
    rng = random.Random(f"photo matches {seed}")
    there = set(rng.sample(range(len(NAMES)), len(NAMES) // 2))
    shown = [pictures.of_class(number, rng) for number in sorted(there) for _ in range(2)]
    agent, _ = simulated_agent(model, shown)
    scored: list[Scored] = []
    for wanted_there in (True, False):
        for _ in range(n):
            while True:
                wish = any_wish(rng)
                if bool(there & set(wish.classes)) is wanted_there:
                    break
            _, hits = reply(agent.dialogue(), (request_text(wish, rng),))
            if hits:
                scored.append(Scored(hits[0].score, _shows(hits, wish)))
    return scored


def _wish(kind: str, rng: random.Random) -> Wish:
    while True:
        if kind == "name":
            word = rng.choice(NAMES)
        elif kind == "synonym":
            word = rng.choice(words_of(rng.randrange(len(NAMES)))[1:] or ("",))
        else:
            word = rng.choice(WORDS_OF_KINDS[rng.choice(list(KINDS))])
        if word:
            return Wish(word, members(word))


def _follow_up(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    draw = rng.random()
    if draw < 0.34:
        return wish, rng.choice(AGAIN)
    other = any_wish(rng)
    if draw < 0.67:
        return other, rng.choice(THING_CHANGES).format(x=wished(other, rng))
    return other, rng.choice(CORRECTIONS).format(x=with_article(other.words), y=with_article(wish.words))


def _shows(hits: list[Hit], wish: Wish) -> bool:
    """Whether the first picture's likeliest class is one of those that were asked for."""
    return bool(hits) and np.isin([NAMES.index(hits[0].caption)], list(wish.classes)).item()
