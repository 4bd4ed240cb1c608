"""The figures of a playground bridge, on held-out scenes. All replies come from the dialogue's own event stream."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from fromage_lite.chat.agent import Agent
from fromage_lite.config import GenerationSettings
from fromage_lite.evaluate.metrics import mean, recall_at_k, same_group
from fromage_lite.evaluate.replies import reply, same_answer
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.playground.data import encode_scenes
from fromage_lite.playground.evaluation.edges import found_questions, small_talk
from fromage_lite.playground.evaluation.matches import match_figures
from fromage_lite.playground.evaluation.named import names_exactly, setting_named, things_named
from fromage_lite.playground.evaluation.probe import exact_sets, fit_linear_probe
from fromage_lite.playground.evaluation.replies import Pictures
from fromage_lite.playground.evaluation.searching import search_figures
from fromage_lite.playground.pictures import gallery
from fromage_lite.playground.pretraining.lm import text_accuracy
from fromage_lite.playground.text import talk
from fromage_lite.playground.text.asking import request_text, setting_change_text
from fromage_lite.playground.text.grammar import PLAIN, description, full_description
from fromage_lite.playground.text.questions import KINDS, MY_PICTURE, ask, questions
from fromage_lite.playground.world.scene import (
    HELD_OUT_SEED,
    Scene,
    Split,
    has_held_out_pair,
    is_trainable,
    sample_scene,
)
from fromage_lite.playground.world.things import SETTINGS, THINGS
from fromage_lite.vision import EncoderSpace, VisionEncoder
from index.search.hits import Hit

Figures = dict[str, float]


class PlaygroundEvaluation:
    """Measures one agent.

    Args:
        agent: model and the playground's index.
        n: held-out scenes a figure (retrieval takes `n_retrieval`).
        n_retrieval: scenes of the retrieval figures.
        seed: decides scenes and questions.
        split: `val` (unseen pictures of seen combinations) or `unseen_pairs`.
    """

    def __init__(
        self, agent: Agent, *, n: int = 500, n_retrieval: int = 1000, seed: int = 1, split: Split = "val"
    ) -> None:
        self.agent, self.n, self.n_retrieval, self.seed, self.split = agent, n, n_retrieval, seed, split

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"evaluation {name} {self.split} {self.seed}")

    def _scenes(self, rng: random.Random, n: int, groups: Sequence[int] | None = None) -> list[Scene]:
        return [sample_scene(rng, self.split, groups[i % len(groups)] if groups else None) for i in range(n)]

    def _features(self, scenes: Sequence[Scene], offset: int) -> npt.NDArray[np.float16]:
        return encode_scenes(self.agent.model.vision, scenes, HELD_OUT_SEED + self.seed * 10_000_000 + offset)

    # --- the frozen parts ---

    def language_model(self) -> Figures:
        """`lm_text_qa`: the LM on text alone."""
        language = self.agent.model.language
        return {"lm_text_qa": text_accuracy(language.model, language.tokenizer, self.n, self.seed, self.split)}

    def probe(self, probe: torch.nn.Linear) -> Figures:
        """`probe_1_2`, `probe_3_4`: a linear probe (`things_probe`) on the pooled feature names all things."""
        figures: Figures = {}
        for name, groups in (("probe_1_2", (1, 2)), ("probe_3_4", (3, 4))):
            scenes = self._scenes(self._rng(name), self.n_retrieval, groups)
            figures[name] = float(exact_sets(probe, self._features(scenes, 0), _presence(scenes)).mean())
        return figures

    # --- captions and retrieval ---

    def captions(self) -> Figures:
        """`caption_1_2`, `caption_3_4`: every thing named, none invented; `caption_setting`."""
        figures: Figures = {}
        settings: list[bool] = []
        for name, groups in (("caption_1_2", (1, 2)), ("caption_3_4", (3, 4))):
            scenes = self._scenes(self._rng(name), self.n, groups)
            features = torch.from_numpy(self._features(scenes, 100_000).astype(np.float32))
            texts = [caption_of(self.agent, pooled) for pooled in tqdm(features, desc=name, leave=False)]
            figures[name] = mean([names_exactly(text, scene) for text, scene in zip(texts, scenes, strict=True)])
            settings += [setting_named(text) == scene.setting for text, scene in zip(texts, scenes, strict=True)]
        figures["caption_setting"] = mean(settings)
        return figures

    def retrieval(self) -> Figures:
        """`t2i_r1`, `t2i_r5`, `i2t_r1`: full descriptions against pictures, and the encoder's own text tower beside."""
        model = self.agent.model
        scenes = self._scenes(self._rng("retrieval"), self.n_retrieval)
        texts = [full_description(scene) for scene in scenes]
        pooled = torch.from_numpy(self._features(scenes, 200_000).astype(np.float32))
        with torch.no_grad():
            images = model.image_embeds(pooled).numpy()
        queries = torch.cat([model.query_embeds([text]) for text in tqdm(texts, desc="queries", leave=False)]).numpy()
        relevant = same_group(scenes)
        similarities = queries @ images.T
        figures = {
            "t2i_r1": recall_at_k(similarities, 1, relevant),
            "t2i_r5": recall_at_k(similarities, 5, relevant),
            "i2t_r1": recall_at_k(similarities.T, 1, relevant),
        }
        if model.vision.has_text_tower:
            space = EncoderSpace(model.vision)
            own = space.text_embeds(texts).cpu().numpy() @ space.image_embeds(pooled).cpu().numpy().T
            figures["encoder_t2i_r1"] = recall_at_k(own, 1, relevant)
        return figures

    # --- dialogues ---

    def questions(self, prefix: str = "vqa", per_kind: int | None = None) -> Figures:
        """`vqa` and `vqa_KIND`: one question on each picture; right only if the answer is the expected one."""
        rng = self._rng("vqa")
        per_kind = per_kind or -(-self.n // len(KINDS))
        right: dict[str, list[bool]] = {kind: [] for kind in KINDS}
        silent: list[bool] = []
        with Pictures() as pictures:
            for number in tqdm(range(per_kind * len(KINDS)), desc=prefix, leave=False):
                kind, question = KINDS[number % len(KINDS)], None
                while question is None:
                    scene = sample_scene(rng, self.split)
                    question = ask(scene, rng, kind)
                picture = pictures.save(scene, HELD_OUT_SEED + self.seed * 10_000_000 + 300_000 + number)
                text, hits = reply(self.agent.dialogue(), (picture, question.text))
                right[kind].append(same_answer(text, question.answer))
                silent.append(not hits)
        figures = {f"{prefix}_{kind}": mean(answers) for kind, answers in right.items()}
        figures[prefix] = mean([answer for answers in right.values() for answer in answers])
        if prefix == "vqa":
            figures["ret_silent_on_questions"] = mean(silent)
        return figures

    def later_questions(self) -> Figures:
        """`later_vqa`: a question on a picture after one to three other turns. These are talk, and then the question is
        any; or they ask for other pictures, and then it is what the user's own shows."""
        rng = self._rng("later")
        right: list[bool] = []
        with Pictures() as pictures:
            for number in tqdm(range(self.n), desc="later", leave=False):
                scene, dialogue = sample_scene(rng, self.split), self.agent.dialogue()
                picture = pictures.save(scene, HELD_OUT_SEED + self.seed * 10_000_000 + 400_000 + number)
                (first,), (last,) = questions(scene, rng, 1), questions(scene, rng, 1)
                reply(dialogue, (picture, first.text))
                text, answer = last.text, last.answer
                for _ in range(rng.randint(1, 3)):
                    if number % 2:
                        other = request_text(sample_scene(rng, self.split), rng, PLAIN)
                        text, answer = rng.choice(MY_PICTURE), description(scene)
                    else:
                        other = rng.choice((talk.fact, talk.small_talk, talk.unknown))(rng)[0]
                    reply(dialogue, (other,))
                right.append(same_answer(reply(dialogue, (text,))[0], answer))
        return {"later_vqa": mean(right)}

    def requests(self, n: int = 300) -> Figures:
        """`ret_when_asked`, `request_satisfied`, `follow_up_satisfied`, against the playground's own pictures."""
        rng = self._rng("requests")
        shown = gallery()
        available = {(scene.things, scene.setting) for scene in shown}
        asked: list[bool] = []
        satisfied: list[bool] = []
        followed: list[bool] = []
        for _ in tqdm(range(n), desc="requests", leave=False):
            scene = rng.choice([s for s in rng.sample(shown, 40) if _fits(s, self.split)] or shown)
            dialogue = self.agent.dialogue()
            _, hits = reply(dialogue, (request_text(scene, rng, PLAIN),))
            asked.append(bool(hits))
            satisfied.append(_shows(hits, scene))
            places = [p for p in SETTINGS if p != scene.setting and (scene.things, p) in available]
            if places:
                changed = replace(scene, setting=rng.choice(places))
                _, hits = reply(dialogue, (setting_change_text(changed.setting, rng),))
                followed.append(_shows(hits, changed))
        return {
            "ret_when_asked": mean(asked),
            "request_satisfied": mean(satisfied),
            "follow_up_satisfied": mean(followed),
        }

    def first_contact(self) -> Figures:
        """Searches in plain words, questions on found pictures, small talk at the edge, and what the index hasn't."""
        return {
            **search_figures(self.agent),
            **found_questions(self.agent, self.n, self.seed),
            **small_talk(self.agent),
            **match_figures(self.agent, 300, self.seed),
        }


def things_probe(vision: VisionEncoder, n_train: int = 10_000, seed: int = 1) -> torch.nn.Linear:
    """A linear probe for the things in a scene, fitted on the pooled features of training scenes."""
    rng = random.Random(f"probe {seed}")
    scenes = [sample_scene(rng, "train") for _ in range(n_train)]
    return fit_linear_probe(encode_scenes(vision, scenes, 0), _presence(scenes))


def caption_of(agent: Agent, pooled: torch.Tensor, max_new_tokens: int = 40) -> str:
    """The model's caption of an image, given by its pooled feature `(dim,)`: what it says right after the image."""
    model = agent.model
    settings = GenerationSettings(max_new_tokens=max_new_tokens, ret_mode="off")
    with torch.no_grad():
        prompt = model.prompt_embeds([pooled])
        tokens = list(stream(model, DecodingState(model), prompt, settings, stop_strings=("\n",)))
    text = "".join(token.text for token in tokens).strip()
    return text.split(".")[0] + "." if "." in text else text


def _presence(scenes: Sequence[Scene]) -> npt.NDArray[np.float32]:
    return np.array([[float(thing in scene.things) for thing in THINGS] for scene in scenes], dtype=np.float32)


def _fits(scene: Scene, split: Split) -> bool:
    return has_held_out_pair(scene) if split == "unseen_pairs" else is_trainable(scene)


def _shows(hits: Sequence[Hit], scene: Scene) -> bool:
    """Whether the first picture has the things and the setting asked for (more may be in it)."""
    if not hits:
        return False
    caption = hits[0].caption
    return scene.things <= things_named(caption) and setting_named(caption) == scene.setting
