"""All figures of the playground: the default bridge, unseen pairs beside it, and the captions-only bridge."""

from __future__ import annotations

from pathlib import Path

from fromage_lite.chat.agent import Agent
from fromage_lite.model.fromage import Fromage
from fromage_lite.playground.evaluation.figures import Figures, PlaygroundEvaluation, things_probe
from fromage_lite.playground.pictures import ensure_playground_index
from fromage_lite.playground.world.scene import Split
from fromage_lite.progress import Report


def evaluate_playground(
    folder: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str = "none",
    n: int = 500,
    n_retrieval: int = 1000,
    seed: int = 1,
    report: Report = print,
) -> Figures:
    """The flat table of figures.

    Args:
        folder: the playground's folder with its two bridges, or one bridge's folder.
        device, dtype, quantize: where the models run and how precisely; as in `LoadOptions`.
        n: scenes or questions a figure.
        n_retrieval: scenes of the retrieval figures.
        seed: of scenes and questions.
        report: gets a line a group of figures.

    Returns:
        Keys without prefix are the default bridge's on held-out scenes of seen combinations; `unseen_` on scenes with
        a pair of things that never occurred together in training; `captions_only_` the captions-only bridge's, and
        `zero_shot_vqa` its answers to questions, which nothing taught it to give.
    """
    figures: Figures = {}

    def add(prefix: str, part: Figures) -> None:
        named = {prefix + key: value for key, value in part.items()}
        figures.update(named)
        report("  ".join(f"{key} {value:.3f}" for key, value in named.items()))

    agent = open_agent(folder, device, dtype, quantize)
    probe = things_probe(agent.model.vision, seed=seed)
    splits: tuple[tuple[str, Split], ...] = (("", "val"), ("unseen_", "unseen_pairs"))
    for prefix, split in splits:
        measured = PlaygroundEvaluation(agent, n=n, n_retrieval=n_retrieval, seed=seed, split=split)
        add(prefix, measured.language_model())
        add(prefix, measured.probe(probe))
        for part in (
            measured.captions,
            measured.retrieval,
            measured.questions,
            measured.later_questions,
            measured.requests,
        ):
            add(prefix, part())
        if split == "val":  # what these ask of is the same in both
            add(prefix, measured.first_contact())
    captions_only = folder / "fromage"
    if captions_only.is_dir():
        agent = open_agent(captions_only, device, dtype, quantize)
        measured = PlaygroundEvaluation(agent, n=n, n_retrieval=n_retrieval, seed=seed)
        add("captions_only_", measured.captions())
        add("captions_only_", measured.retrieval())
        add("", measured.questions("zero_shot_vqa"))
        add("captions_only_", measured.requests())
        add("captions_only_", measured.first_contact())
    return figures


def open_agent(folder: Path, device: str = "auto", dtype: str = "auto", quantize: str = "none") -> Agent:
    """A playground bridge with the playground's pictures, made first if need be."""
    model = Fromage.from_pretrained(folder, device=device, dtype=dtype, quantize=quantize)
    agent = Agent(model, model_name=folder.name, checkpoint=str(folder))
    agent.use_index(ensure_playground_index(model))
    return agent
