"""The training mathematics against the reference implementation's own figures: losses, gradients, optimiser steps."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Collator, StepBatch, join_pairs
from fromage_lite.training.data.encoding import IGNORED, SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.losses import contrastive_losses, label_loss, step_losses
from fromage_lite.training.optimizing import make_optimizer, optimizer_step
from fromage_lite.training.recipe import Recipe, Weights

GOLDEN = Path(os.environ.get("FROMAGE_GOLDEN", Path(__file__).parents[2] / "golden"))
CASES = sorted(path.parent for path in GOLDEN.glob("*/outputs.json"))
STEPS = [(case, concat) for case in CASES for concat in (0, 1)]
BATCHES = {"batch4": range(4), "batch8": range(8, 16)}  # rows of captions.json, as the figures' README has them
LEARNING_RATE = 3e-4
MAX_LEN_FALLBACK = 24


class GoldenCase:
    """One folder of the reference's figures, as our model and our batches."""

    def __init__(self, folder: Path) -> None:
        from safetensors.torch import load_file

        self.folder = folder
        self.figures = json.loads((folder / "outputs.json").read_text())
        self.tensors = load_file(folder / "outputs.safetensors")
        self.captions = [entry["caption"] for entry in json.loads((GOLDEN / "captions.json").read_text())]
        self.max_tokens = self.figures["case"].get("max_len", MAX_LEN_FALLBACK)
        self.model = Fromage.from_pretrained(folder, device="cpu")
        features = self.tensors["images.pooler_output_direct"].numpy()
        self.data = TrainingData(features, [(caption, row) for row, caption in enumerate(self.captions)])
        self.encoder = SequenceEncoder(self.model.language, self.model.config)
        self.input_prefix = self.figures["generate"]["gen.batch3"]["prefix"]

    def batch(self, rows, concat: bool = False, prefix: str = "") -> StepBatch:
        options = {"input_prefix": prefix, "max_tokens": self.max_tokens}
        pairs = [self.data.captions[row] for row in rows]
        captioning = [self.encoder.captioned_image(caption, row, **options) for caption, row in pairs]
        retrieval = [self.encoder.retrieval_caption(caption, row, **options) for caption, row in pairs]
        collate = Collator(self.data)
        captioning = join_pairs(captioning) if concat else captioning
        return StepBatch(captioning=collate.sequences(captioning), retrieval=collate.retrieval(retrieval))

    def of_trained(self, name: str, tensors, kind: str) -> torch.Tensor:
        """The reference's tensor that belongs to one of our parameters."""
        for key, value in tensors.items():
            start, _, rest = key.partition(".")
            if start == kind and our_name(rest) == name:
                return value[self.model.language.ret_token_id] if name == "ret_row" else value
        raise KeyError(name)


def our_name(reference: str) -> str:
    """The reference's parameter names -> ours."""
    if "embed_tokens" in reference or "embeddings.weight" in reference and "visual" not in reference:
        return "ret_row"
    name = reference.removeprefix("model.")
    parts = name.split(".")  # text_hidden_fcs.<i>.0.weight: a Sequential of one layer there
    return ".".join([*parts[:2], parts[3]]) if parts[0] == "text_hidden_fcs" else name


@pytest.fixture(params=CASES, ids=lambda folder: folder.name)
def golden(request):
    return GoldenCase(request.param)


@pytest.mark.parity
@pytest.mark.parametrize("prefix", [0, 1])
@pytest.mark.parametrize("concat", [0, 1])
def test_captioning_loss_and_labels_equal_the_reference(golden, prefix, concat):
    batch = golden.batch(BATCHES["batch4"], bool(concat), golden.input_prefix if prefix else "").captioning
    key = f"cap.prefix{prefix}.concat{concat}"
    expected = golden.tensors[f"{key}.full_labels"]
    width = batch.labels.shape[1]  # the reference pads to a fixed length, and leaves [RET] behind the caption
    assert torch.equal(batch.labels, expected[:, :width])
    assert (expected[:, width:] == IGNORED).all()
    output = golden.model.caption_forward(batch.ids, batch.features, batch.labels)
    figures = golden.figures["forward"][key]
    assert label_loss(output.logits, output.labels).item() == pytest.approx(figures["loss"], abs=1e-5)
    is_right = (output.logits.argmax(dim=-1) == output.labels).float()
    assert 100 * is_right.mean().item() == pytest.approx(figures["acc1"], abs=1e-3)


@pytest.mark.parity
@pytest.mark.parametrize("prefix", [0, 1])
@pytest.mark.parametrize("concat", [0, 1])
@torch.no_grad()
def test_captioning_logits_equal_the_reference(golden, prefix, concat):
    """At every position up to the last label; behind it the reference has `[RET]` and padding."""
    model, key = golden.model, f"cap.prefix{prefix}.concat{concat}"
    batch = golden.batch(BATCHES["batch4"], bool(concat), golden.input_prefix if prefix else "").captioning
    hidden = model.language.forward(model.sequence_embeds(batch.ids, batch.features)).hidden
    logits, expected = model.language.logits(hidden, model.bridge.output_row), golden.tensors[f"{key}.logits"]
    ranks, count = 0, 0
    for row, labels in enumerate(batch.labels):
        places = (labels != IGNORED).nonzero()[:, 0]
        until = int(places.max()) + 1
        torch.testing.assert_close(logits[row, :until], expected[row, :until], atol=1e-4, rtol=1e-4)
        best = logits[row, places - 1].topk(5).indices
        ranks += int((best == labels[places][:, None]).any(dim=1).sum())
        count += len(places)
    assert 100 * ranks / count == pytest.approx(golden.figures["forward"][key]["acc5"], abs=1e-3)


@pytest.mark.parity
def test_every_caption_has_labels_unlike_with_the_references_inference_tokenizer_U3(golden):
    """There the padding is the beginning of text, and labels from the first padding on are masked: none is left, and
    the loss is no number. Its training script has another padding; here padding is no token at all."""
    tokens = golden.tensors["batch4.tokens"]
    masked = {
        state: (tokens == golden.figures[f"{state}_tokenizer"]["pad_token_id"]).cumsum(dim=1) > 0
        for state in ("inference", "train")
    }
    assert masked["inference"].all() and not masked["train"].all(dim=1).any()
    batch = golden.batch(BATCHES["batch4"]).captioning
    assert (batch.labels != IGNORED).any(dim=1).all()
    output = golden.model.caption_forward(batch.ids, batch.features, batch.labels)
    assert label_loss(output.logits, output.labels).isfinite()


@pytest.mark.parity
@pytest.mark.parametrize("prefix", [0, 1])
def test_retrieval_losses_and_queries_equal_the_reference(golden, prefix):
    batch = golden.batch(BATCHES["batch4"], prefix=golden.input_prefix if prefix else "").retrieval
    key = f"ret.prefix{prefix}"
    labels = [row[row != IGNORED].tolist() for row in batch.labels]
    expected = golden.tensors[f"{key}.full_labels"]
    expected[:, 0] = IGNORED  # nothing precedes it: the reference's shift drops it
    assert labels == [row[row != IGNORED].tolist() for row in expected]
    output = golden.model.retrieval_forward(batch.ids, batch.mask, batch.labels)
    queries = output.queries
    figures = golden.figures["forward"][key]
    assert label_loss(output.logits, output.labels).item() == pytest.approx(figures["loss"], abs=1e-5)
    assert torch.allclose(queries, golden.tensors[f"{key}.last_embedding"], atol=1e-5)
    keys = golden.model.image_embeds(batch.features)
    scaled = golden.model.bridge.logit_scale.exp() * keys
    assert torch.allclose(scaled, golden.tensors[f"{key}.visual_embs_scaled"], atol=1e-4)
    assert torch.allclose((scaled @ queries.T).T, golden.tensors[f"{key}.logits_per_text"], atol=1e-4)
    text, image = contrastive_losses(golden.model, queries, keys, batch.groups)
    assert text.item() == pytest.approx(figures["contrastive_loss_text"], abs=1e-5)
    assert image.item() == pytest.approx(figures["contrastive_loss_image"], abs=1e-5)
    for name, scores in (("text", queries @ keys.T), ("image", keys @ queries.T)):
        found = [recall(scores, 1), recall(scores, 5)]
        assert found == pytest.approx([figures[f"acc_{name}_top1"], figures[f"acc_{name}_top5"]], abs=1e-3)


@pytest.mark.parity
def test_contrastive_losses_of_a_larger_batch_equal_the_reference(golden):
    batch = golden.batch(BATCHES["batch8"]).retrieval
    output = golden.model.retrieval_forward(batch.ids, batch.mask, batch.labels)
    queries = output.queries
    keys = golden.model.image_embeds(batch.features)
    text, image = contrastive_losses(golden.model, queries, keys, batch.groups)
    figures = golden.figures["forward"]["ret.batch8"]
    assert label_loss(output.logits, output.labels).item() == pytest.approx(figures["loss"], abs=1e-5)
    assert text.item() == pytest.approx(figures["contrastive_loss_text"], abs=1e-5)
    assert image.item() == pytest.approx(figures["contrastive_loss_image"], abs=1e-5)
    scores = golden.model.bridge.logit_scale.exp() * queries @ keys.T
    assert torch.allclose(scores, golden.tensors["batch8.logits_per_text"], atol=1e-4)
    assert [recall(scores, 1), recall(scores, 5)] == pytest.approx(figures["acc_text"], abs=1e-3)
    assert [recall(scores.T, 1), recall(scores.T, 5)] == pytest.approx(figures["acc_image"], abs=1e-3)


def recall(scores: torch.Tensor, k: int) -> float:
    """How many of the rows have the right column, the one of their number, among their best k, in percent."""
    best = scores.topk(min(k, len(scores))).indices
    return 100 * (best == torch.arange(len(scores))[:, None]).any(dim=1).float().mean().item()


@pytest.mark.parity
def test_tokens_equal_the_reference(golden):
    """`caption[RET]` without a blank, cut so that `[RET]` is the last token."""
    for key, rows in BATCHES.items():
        tokens, lengths = golden.tensors[f"{key}.tokens"], golden.tensors[f"{key}.caption_len"]
        for place, row in enumerate(rows):
            encoded = golden.encoder.retrieval_caption(golden.captions[row], row, max_tokens=golden.max_tokens)
            assert encoded.ids.tolist() == tokens[place, : lengths[place]].tolist()


@pytest.mark.parity
@pytest.mark.parametrize(("case", "concat"), STEPS, ids=lambda value: getattr(value, "name", f"concat{value}"))
def test_gradients_and_one_adamw_step_equal_the_reference(case, concat):
    from safetensors.torch import load_file

    golden = GoldenCase(case)
    figures = golden.figures[f"train_step_concat{concat}"]
    expected = load_file(case / f"train_step_concat{concat}.safetensors")
    parameters = golden.model.trained_parameters()
    optimizer = make_optimizer(golden.model, Recipe("paper", max_scale=None))
    frozen = {name: tensor.clone() for name, tensor in golden.model.language.model.state_dict().items()}
    losses = step_losses(golden.model, golden.batch(BATCHES["batch4"], bool(concat)), Weights())
    losses["total"].backward()

    assert losses["captioning"].item() == pytest.approx(figures["loss_lm_captioning"], abs=1e-5)
    assert losses["retrieval"].item() == pytest.approx(figures["loss_lm_retrieval"], abs=1e-5)
    contrastive = (figures["contrastive_loss_text"] + figures["contrastive_loss_image"]) / 2
    assert losses["contrastive"].item() == pytest.approx(contrastive, abs=1e-5)
    assert losses["total"].item() == pytest.approx(figures["loss_total"], abs=3e-5)
    gradients = {name: parameter.grad.clone() for name, parameter in parameters.items()}
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, golden.of_trained(name, expected, "grad"), atol=1e-4, rtol=1e-4), name

    norm = optimizer_step(golden.model, optimizer, Recipe("paper", max_scale=None))
    assert norm == pytest.approx(figures["grad_norm"], rel=1e-4)
    for name, parameter in parameters.items():
        wanted = golden.of_trained(name, expected, "after")
        # AdamW's first step moves every number by lr * sign(grad): where the gradient is rounding noise either sign is
        # right.
        tolerance = torch.where(gradients[name].abs() < 1e-6, 2 * LEARNING_RATE, 1e-5)
        assert ((parameter - wanted).abs() <= tolerance).all(), name
    # The reference steps its whole embedding matrix, with the gradient of every row but `[RET]`'s set to zero.
    assert figures["embedding_rows_changed"] == [golden.model.language.ret_token_id]
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in golden.model.language.model.state_dict().items())


@pytest.mark.parity
def test_three_steps_end_where_the_reference_ends(golden):
    from safetensors.torch import load_file

    expected = load_file(golden.folder / "train_3steps.safetensors")
    recipe = Recipe("paper", max_scale=None)
    optimizer = make_optimizer(golden.model, recipe)
    for start, concat in zip((0, 4, 8), golden.figures["train_3steps"]["concat_flags"], strict=True):
        step_losses(golden.model, golden.batch(range(start, start + 4), concat), Weights())["total"].backward()
        optimizer_step(golden.model, optimizer, recipe)
        optimizer.zero_grad()
    for name, parameter in golden.model.trained_parameters().items():
        difference = (parameter - golden.of_trained(name, expected, "after3")).abs()
        assert difference.max() <= 6 * LEARNING_RATE and difference.mean() < 2e-6, name
