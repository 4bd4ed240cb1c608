"""The suite's report: tables, plots, examples, and what of the paper shows in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fromage_lite.evaluate.intervals import Figure
from fromage_lite.evaluate.report.document import Block, Code, Plot, Report, Samples, Section, Table, shown
from fromage_lite.evaluate.tasks.questions import SHOTS
from fromage_lite.evaluate.tasks.result import TaskResult
from fromage_lite.evaluate.tasks.stories import CONTEXTS
from fromage_lite.playground.suite.bridges import ABLATIONS, BEGINNINGS, LOSSES, PICTURE_COUNTS, VISUAL_TOKENS
from fromage_lite.playground.suite.findings import WITHOUT, findings
from fromage_lite.playground.suite.measuring import ROUNDS
from fromage_lite.playground.suite.stages import Results, Suite

_RANKS = ("recall@1", "recall@5", "recall@10", "median_rank")
_TOWER = "text tower"
_WITH_PICTURES = "5_captions_4_images/recall@1"
_CONTEXT_NAMES = {
    "1_caption": "1 caption",
    "5_captions": "5 captions",
    "5_captions_4_images": "5 captions + 4 pictures",
}


def make_report(suite: Suite, tasks: Mapping[str, Results], ablations: Mapping[str, TaskResult]) -> Report:
    """The whole report."""
    paper = suite.paper
    options = suite.options
    own = {name: results[paper] for name, results in tasks.items()}
    titles = {entry.name: entry.title for entry in ABLATIONS}
    sections = [
        Section("What of the paper shows here", [_findings(own, ablations), _READING]),
        Section("Captions (COCO format)", _captions(tasks["captions"], own)),
        Section("Retrieval (COCO format)", _retrieval(tasks["retrieval"], own)),
        Section("Contextual retrieval (VIST format, the paper's Table 1)", _stories(tasks["stories"], own)),
        Section("Pictures by dialogue (VisDial format, the paper's Table 2)", _dialogues(tasks["dialogues"], own)),
        Section(
            "Answers by likelihood (VisDial format, the paper's Table 2)",
            _answers(tasks["answers"], tasks["answers_as_original"][paper]),
        ),
        Section("Questions with examples in the context (VQA v2 format)", _questions(tasks["questions"], own)),
        Section("With and without [RET]", [_ABOUT_RET, _ret(ablations)]),
        Section("Captioning and retrieval together, and each alone", [_short(ablations, LOSSES)]),
        Section("Visual tokens", _tokens(ablations)),
        Section("Data", _sizes(ablations)),
        Section("How the map to visual tokens begins", [_short(ablations, BEGINNINGS), _BEGINNING]),
        Section("How it was made", [_made(suite), Code(_command(suite)), _seconds(suite, titles)]),
    ]
    facts = f"{', '.join(suite.bridges)} of {options.model}; seed {options.seed}; 95 % intervals by 1,000 resamples"
    return Report("FROMAGe's evaluation in miniature", facts, sections)


_READING = (
    "Yes and no are said where the two intervals do not touch, or where that of the paired difference leaves out 0; "
    "else it says: not told apart. No worse is yes unless the figures tell a loss."
)
_ABOUT_RET = (
    "Without [RET] the query is the mean of the frozen language model's states over the caption, whitened and mapped "
    "linearly; pictures, loss, rate, steps and batches are the same."
)
_BEGINNING = (
    "The ablations are short runs: they tell settings apart, and do not reach what the full recipe reaches. With "
    "`text` the map begins as the least-squares fit to the embeddings of each picture's tags; the first row has that "
    "and one step of training."
)


def _findings(own: Mapping[str, TaskResult], ablations: Mapping[str, TaskResult]) -> Table:
    rows = [(entry.claim, entry.seen, entry.verdict) for entry in findings(own, ablations)]
    return Table(("the paper's finding", "here", "does it show?"), rows)


def _table(figures: Mapping[str, Mapping[str, Figure]], keys: Sequence[str], first: str = "") -> Table:
    """A row for each name, a column for each figure."""
    names = [key.replace("_", " ") for key in keys]
    return Table((first, *names), [(name, *(shown(part.get(key)) for key in keys)) for name, part in figures.items()])


def _under(figures: Mapping[str, Figure], prefix: str) -> dict[str, Figure]:
    return {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}


def _counted(results: Results) -> str:
    counts = next(iter(results.values())).counts
    return ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in counts.items()) + "."


def _captions(results: Results, own: Mapping[str, TaskResult]) -> list[Block]:
    rows = {
        f"{bridge}, {way.replace('_', ' ')}": _under(result.figures, f"{way}/")
        for bridge, result in results.items()
        for way in ("greedy", "beam_3")
    }
    words = _table(rows, ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l"))
    scores = _table(rows, ("cider_d", "clip_score", "ref_clip_score"))
    return [_counted(results), words, scores, "The four best and the four worst by ROUGE-L:", _samples(own["captions"])]


def _retrieval(results: Results, own: Mapping[str, TaskResult]) -> list[Block]:
    rows: dict[str, Mapping[str, Figure]] = {}
    for way in ("text_to_image", "image_to_text"):
        for bridge, result in results.items():
            rows[f"{way.replace('_', ' ')}, {bridge}"] = _under(result.figures, f"{way}/")
        tower = _under(next(iter(results.values())).figures, f"text_tower/{way}/")
        if tower:
            rows[f"{way.replace('_', ' ')}, {_TOWER}"] = tower
    return [_counted(results), _table(rows, _RANKS), _samples(own["retrieval"])]


def _stories(results: Results, own: Mapping[str, TaskResult]) -> list[Block]:
    rows: dict[str, Mapping[str, Figure]] = {}
    lines: dict[str, list[Figure | None]] = {}
    tower = next(iter(results.values())).figures
    sources = {name: result.figures for name, result in results.items()}
    if "text_tower/1_caption/recall@1" in tower:
        sources[_TOWER] = _under(tower, "text_tower/")
    for name, figures in sources.items():
        for context in CONTEXTS:
            if part := _under(figures, f"{context}/"):
                rows[f"{name}, {_CONTEXT_NAMES[context]}"] = part
        lines[name] = [figures.get(f"{context}/recall@1") for context in CONTEXTS]
    places = [_CONTEXT_NAMES[context] for context in CONTEXTS]
    plot = Plot("stories", "The last picture of a story", "what is read", "recall@1", places, lines)
    return [_counted(results), plot, _table(rows, _RANKS), _samples(own["stories"])]


def _dialogues(results: Results, own: Mapping[str, TaskResult]) -> list[Block]:
    first = next(iter(results.values())).figures
    lines: dict[str, list[Figure | None]] = {}
    for name, result in results.items():
        for form, words in (("", "caption first"), ("caption_last/", "caption last")):
            lines[f"{name}, {words}"] = [result.figures.get(f"{form}rounds_{n}/recall@1") for n in ROUNDS]
    lines[_TOWER] = [first.get(f"text_tower/rounds_{n}/recall@1") for n in ROUNDS]
    plot = Plot("dialogues", "The picture of a dialogue", "rounds read", "recall@1", [str(n) for n in ROUNDS], lines)
    columns = ("", *(f"{n} rounds" for n in ROUNDS))
    table = Table(columns, [(name, *map(shown, figures)) for name, figures in lines.items()])
    original = {name: _under(result.figures, "as_original/") for name, result in results.items()}
    return [
        _counted(results),
        plot,
        table,
        "Each caption names one thing of its picture; what else is there is told by the dialogue. With the caption "
        "last, [RET] stands after a caption, as in training. Last, the setting of the original's script: all rounds "
        "without a caption, and for each picture the rank of its dialogue:",
        _table(original, _RANKS),
        _samples(own["dialogues"]),
    ]


def _answers(results: Results, original: TaskResult) -> list[Block]:
    rows = {name: result.figures for name, result in results.items()}
    dialogues = f"{original.counts['dialogues']} dialogues"
    rows[f"as the original's script scores (unshifted), {dialogues}"] = original.figures
    keys = ("ndcg", "mrr", "recall@1", "recall@5", "recall@10", "mean_rank")
    first = next(iter(results.values()))
    return [_counted(results), _table(rows, keys), _samples(first)]


def _questions(results: Results, own: Mapping[str, TaskResult]) -> list[Block]:
    lines = {name: [result.figures.get(f"shots_{n}/accuracy") for n in SHOTS] for name, result in results.items()}
    plot = Plot(
        "questions", "Questions answered", "examples in the context", "accuracy", [str(n) for n in SHOTS], lines
    )
    table = Table(("", *(f"{n} examples" for n in SHOTS)), [(name, *map(shown, part)) for name, part in lines.items()])
    return [_counted(results), plot, table, _samples(own["questions"])]


_SHORT = ("cider_d", "bleu_4", "all_named", "text_to_image/recall@1", "5_captions/recall@1", _WITH_PICTURES)


def _short(ablations: Mapping[str, TaskResult], names: Mapping[str, object]) -> Table:
    return _table({str(title): ablations[name].figures for name, title in names.items()}, _SHORT)


def _ret(ablations: Mapping[str, TaskResult]) -> Table:
    keys = ("text_to_image/recall@1", "image_to_text/recall@1", *(f"{context}/recall@1" for context in CONTEXTS))
    rows = {"with [RET]": ablations["together"].figures, "mean of the states": ablations[WITHOUT].figures}
    return _table(rows, keys)


def _tokens(ablations: Mapping[str, TaskResult]) -> list[Block]:
    lines = {key: [ablations[name].figures.get(key) for name in VISUAL_TOKENS] for key in ("all_named", "bleu_4")}
    places = [str(n) for n in VISUAL_TOKENS.values()]
    plot = Plot("visual_tokens", "By the number of visual tokens", "visual tokens", "figure", places, lines)
    said = "All begin from `scaled` first values: the fit to tags is made for 17 tokens."
    return [plot, _short(ablations, VISUAL_TOKENS), said]


def _sizes(ablations: Mapping[str, TaskResult]) -> list[Block]:
    keys = ("all_named", "text_to_image/recall@1")
    lines = {key: [ablations[name].figures.get(key) for name in PICTURE_COUNTS] for key in keys}
    places = [f"{n:,}" for n in PICTURE_COUNTS.values()]
    plot = Plot("data", "By the number of training pictures", "captioned pictures", "figure", places, lines)
    return [plot, _short(ablations, PICTURE_COUNTS)]


def _samples(result: TaskResult) -> Samples:
    return Samples(result.samples)


def _made(suite: Suite) -> str:
    options, sizes = suite.options, suite.options.sizes
    return (
        f"Held-out scenes, written in the published formats and read back by their readers: {sizes.pictures} captioned "
        f"pictures, {sizes.stories} stories, {sizes.dialogues} dialogues, {sizes.questions} questions. Each ablation "
        f"is the recipe `fromage` for {options.steps} steps of {options.batch_size} captions, measured on "
        f"{options.ablation_pictures} pictures and {options.ablation_stories} stories."
    )


def _command(suite: Suite) -> str:
    options = suite.options
    return (
        f"fromage-lite evaluate --suite paper --model {options.model} --out {options.out} --seed {options.seed} "
        f"--steps {options.steps}"
    )


def _seconds(suite: Suite, titles: Mapping[str, str]) -> Table:
    rows = []
    for name, seconds in suite.seconds.items():
        trained = name.startswith("bridge_")
        title = titles[name.removeprefix("bridge_")] if trained else name.replace("_", " ")
        rows.append((f"trained: {title}" if trained else title, f"{seconds:.0f}"))
    return Table(("stage", "seconds"), [*rows, ("all", f"{sum(suite.seconds.values()):.0f}")])
