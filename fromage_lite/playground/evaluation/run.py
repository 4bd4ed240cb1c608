"""All figures of the playground: the default bridge, unseen pairs beside it, and the captions-only bridge."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fromage_lite.chat.agent import Agent
from fromage_lite.model.fromage import Fromage
from fromage_lite.playground.evaluation.figures import Figures, PlaygroundEvaluation, things_probe
from fromage_lite.playground.pictures import ensure_playground_index
from fromage_lite.playground.world.scene import Split
from fromage_lite.progress import Report, ignore

OF_DEFAULT, OF_CAPTIONS_ONLY = 15, 5  # groups of figures


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
    progress: Report = ignore,
) -> Figures:
    """The flat table of figures.

    Args:
        folder: the playground's folder with its two bridges, or one bridge's folder.
        device, dtype, quantize: where the models run and how precisely; as in `LoadOptions`.
        n: scenes or questions a figure.
        n_retrieval: scenes of the retrieval figures.
        seed: of scenes and questions.
        report: gets a line a group of figures.
        progress: gets a sentence about each group before it is measured, and about what takes time before them.

    Returns:
        Keys without prefix are the default bridge's on held-out scenes of seen combinations; `unseen_` on scenes with
        a pair of things that never occurred together in training; `captions_only_` the captions-only bridge's, and
        `zero_shot_vqa` its answers to questions, which nothing taught it to give.
    """
    figures: Figures = {}
    captions_only = folder / "fromage"
    numbers = iter(range(1, 100))
    count = OF_DEFAULT + OF_CAPTIONS_ONLY * captions_only.is_dir()

    def add(prefix: str, what: str, measure: Callable[[], Figures]) -> None:
        progress(f"Measuring {what}, {next(numbers)} of {count} …")
        named = {prefix + key: value for key, value in measure().items()}
        figures.update(named)
        report("  ".join(f"{key} {value:.3f}" for key, value in named.items()))

    progress(f"Loading the model {folder.name} …")
    agent = open_agent(folder, device, dtype, quantize)
    progress("Fitting a probe to the image encoder …")
    probe = things_probe(agent.model.vision, seed=seed)
    splits: tuple[tuple[str, Split, str], ...] = (("", "val", ""), ("unseen_", "unseen_pairs", " of unseen pairs"))
    for prefix, split, of in splits:
        measured = PlaygroundEvaluation(agent, n=n, n_retrieval=n_retrieval, seed=seed, split=split)
        add(prefix, f"the language model{of}", measured.language_model)
        add(prefix, f"the image encoder{of}", partial(measured.probe, probe))
        add(prefix, f"captions{of}", measured.captions)
        add(prefix, f"retrieval{of}", measured.retrieval)
        add(prefix, f"questions{of}", measured.questions)
        add(prefix, f"later questions{of}", measured.later_questions)
        add(prefix, f"requests{of}", measured.requests)
        if split == "val":  # what these ask of is the same in both
            add(prefix, "first contact", measured.first_contact)
    if captions_only.is_dir():
        progress("Loading the captions-only model …")
        agent = open_agent(captions_only, device, dtype, quantize)
        measured = PlaygroundEvaluation(agent, n=n, n_retrieval=n_retrieval, seed=seed)
        add("captions_only_", "its captions", measured.captions)
        add("captions_only_", "its retrieval", measured.retrieval)
        add("", "its answers to questions", partial(measured.questions, "zero_shot_vqa"))
        add("captions_only_", "its requests", measured.requests)
        add("captions_only_", "its first contact", measured.first_contact)
    return figures


def open_agent(folder: Path, device: str = "auto", dtype: str = "auto", quantize: str = "none") -> Agent:
    """A playground bridge with the playground's pictures, made first if need be."""
    model = Fromage.from_pretrained(folder, device=device, dtype=dtype, quantize=quantize)
    agent = Agent(model, model_name=folder.name, checkpoint=str(folder))
    agent.use_index(ensure_playground_index(model))
    return agent
