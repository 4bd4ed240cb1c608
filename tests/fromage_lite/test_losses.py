"""The losses: against the reference implementation's own figures, and against the slow, obvious computation."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fromage_lite.config import FromageConfig
from fromage_lite.data.batches import Collator, Negatives, StepBatch, join_pairs
from fromage_lite.data.encoding import IGNORED, SequenceEncoder
from fromage_lite.data.interleaved import Example, Image, Ret, Text, TrainingData
from fromage_lite.losses import contrastive_losses, info_nce, label_loss, retrieval_pass, sequence_pass, step_losses
from fromage_lite.model import Fromage
from fromage_lite.recipes.recipe import Recipe, Weights
from fromage_lite.train import make_optimizer, optimizer_step

GOLDEN = Path(os.environ.get("FROMAGE_GOLDEN", Path(__file__).parents[1] / "golden"))
CASES = sorted(path.parent for path in GOLDEN.glob("*/outputs.json"))
STEPS = [(case, concat) for case in CASES for concat in (0, 1)]
PREFIX = "A picture of"
MAX_LEN_FALLBACK = 24


class GoldenCase:
    """One folder of the reference's figures, as our model and our batches."""

    def __init__(self, folder: Path) -> None:
        from safetensors.torch import load_file

        self.folder = folder
        self.figures = json.loads((folder / "outputs.json").read_text())
        self.tensors = load_file(folder / "outputs.safetensors")
        self.captions = [entry["caption"] for entry in json.loads((GOLDEN / "captions.json").read_text())]
        self.arguments = json.loads((folder / "model_args.json").read_text())
        self.max_tokens = self.figures["case"].get("max_len", MAX_LEN_FALLBACK)
        self.model = self._model()
        features = self.tensors["images.pooler_output_direct"].numpy()
        self.data = TrainingData(features, [(caption, row) for row, caption in enumerate(self.captions)])
        self.encoder = SequenceEncoder(self.model.language, self.model.config)

    def _model(self) -> Fromage:
        arguments = self.arguments
        config = FromageConfig(
            language_model=str(GOLDEN / arguments["opt_version"]),
            vision_encoder=str(GOLDEN / arguments["visual_encoder"]),
            n_visual_tokens=arguments["n_visual_tokens"],
            retrieval_dim=arguments["shared_emb_dim"],
            text_emb_layers=tuple(arguments["text_emb_layers"]),
            lm_rows=arguments["retrieval_token_idx"],
        )
        model = Fromage.from_config(config, device="cpu")
        checkpoint = torch.load(self.folder / "pretrained_ckpt.pth.tar", weights_only=True)["state_dict"]
        parameters = model.trained_parameters()
        with torch.no_grad():
            for name, value in checkpoint.items():
                parameters[our_name(name)].copy_(value.reshape(parameters[our_name(name)].shape))
        return model

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
    batch = golden.batch(range(4), bool(concat), PREFIX if prefix else "").captioning
    key = f"cap.prefix{prefix}.concat{concat}"
    expected = golden.tensors[f"{key}.full_labels"]
    width = batch.labels.shape[1]  # the reference pads to a fixed length, and leaves [RET] behind the caption
    assert torch.equal(batch.labels, expected[:, :width])
    assert (expected[:, width:] == IGNORED).all()
    loss = sequence_pass(golden.model, batch)[0]
    figures = golden.figures["forward"][key]
    assert loss.loss.item() == pytest.approx(figures["loss"], abs=1e-5)
    assert 100 * loss.correct.item() / loss.count == pytest.approx(figures["acc1"], abs=1e-3)


@pytest.mark.parity
@pytest.mark.parametrize("prefix", [0, 1])
def test_retrieval_losses_and_queries_equal_the_reference(golden, prefix):
    batch = golden.batch(range(4), prefix=PREFIX if prefix else "").retrieval
    key = f"ret.prefix{prefix}"
    labels = [row[row != IGNORED].tolist() for row in batch.labels]
    expected = golden.tensors[f"{key}.full_labels"]
    expected[:, 0] = IGNORED  # nothing precedes it: the reference's shift drops it
    assert labels == [row[row != IGNORED].tolist() for row in expected]
    loss, queries = retrieval_pass(golden.model, batch)
    figures = golden.figures["forward"][key]
    assert loss.loss.item() == pytest.approx(figures["loss"], abs=1e-5)
    assert torch.allclose(queries, golden.tensors[f"{key}.last_embedding"], atol=1e-5)
    keys = golden.model.image_embeds(batch.features)
    scaled = golden.model.bridge.logit_scale.exp() * keys
    assert torch.allclose(scaled, golden.tensors[f"{key}.visual_embs_scaled"], atol=1e-4)
    assert torch.allclose((scaled @ queries.T).T, golden.tensors[f"{key}.logits_per_text"], atol=1e-4)
    text, image = contrastive_losses(golden.model, queries, keys, batch.groups)
    assert text.item() == pytest.approx(figures["contrastive_loss_text"], abs=1e-5)
    assert image.item() == pytest.approx(figures["contrastive_loss_image"], abs=1e-5)


@pytest.mark.parity
def test_tokens_equal_the_reference(golden):
    """`caption[RET]` without a blank, cut so that `[RET]` is the last token."""
    for rows, key in ((range(4), "batch4"), (range(8, 16), "batch8")):
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
    losses = step_losses(golden.model, golden.batch(range(4), bool(concat)), Weights())
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
        tolerance = torch.where(gradients[name].abs() < 1e-6, 2 * 3e-4, 1e-5)
        assert ((parameter - wanted).abs() <= tolerance).all(), name


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
        assert difference.max() <= 6 * 3e-4 and difference.mean() < 2e-6, name


# --- against the slow, obvious computation ---


def tiny_data(model, groups=None) -> TrainingData:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(8, model.vision.dim)).astype(np.float32)
    captions = [
        "a cat",
        "a big dog on the beach",
        "two apples",
        "a red car at night.",
        "three cats and a lion",
        "a tree",
    ]
    return TrainingData(features, list(zip(captions, range(6), strict=True)), groups=groups)


def retrieval_batch(model):
    encoder, data = SequenceEncoder(model.language, model.config), tiny_data(model)
    return Collator(data).retrieval([encoder.retrieval_caption(*pair) for pair in data.captions])


def gradients(model) -> dict[str, torch.Tensor]:
    found = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.trained_parameters().items()
    }
    for parameter in model.trained_parameters().values():
        parameter.grad = None
    return found


def test_cached_retrieval_pass_equals_a_full_differentiated_run_of_each_caption(tiny_model):
    """The captions have different lengths, so a fault in the padding or the positions would show."""
    batch = retrieval_batch(tiny_model)
    loss, queries = retrieval_pass(tiny_model, batch)
    direction = torch.randn(queries.shape, generator=torch.Generator().manual_seed(0))
    (loss.loss + (queries * direction).sum()).backward()
    fast = gradients(tiny_model)

    total, count, rows = 0.0, 0, []
    for ids, mask in zip(batch.ids, batch.mask, strict=True):
        whole = torch.cat([ids[mask], torch.tensor([tiny_model.language.ret_token_id])])[None]
        output = tiny_model.language.forward(tiny_model.language.embed(whole, tiny_model.bridge.ret_row))
        logits = tiny_model.language.logits(output.hidden[0, :-1], tiny_model.bridge.output_row)
        total = total + F.cross_entropy(logits, whole[0, 1:], reduction="sum")
        count += whole.shape[1] - 1
        rows.append(tiny_model.bridge.query_embeds([output.layers[0][0, -1:]]))
    slow_queries = torch.cat(rows)
    (total / count + (slow_queries * direction).sum()).backward()
    slow = gradients(tiny_model)

    assert count == loss.count
    assert loss.loss.item() == pytest.approx((total / count).item(), abs=1e-5)
    assert torch.allclose(queries, slow_queries, atol=1e-5)
    for name in slow:
        assert torch.allclose(fast[name], slow[name], atol=1e-4, rtol=1e-4), name


def test_padded_sequences_equal_sequences_run_one_by_one(tiny_model):
    encoder, collate = SequenceEncoder(tiny_model.language, tiny_model.config), Collator(tiny_data(tiny_model))
    examples = [
        Example((Text("Q: "), Image(0), Text(" what is this?\nA:"), Text(" a cat", True), Text("\n", True))),
        Example((Text("Q: a cat\nA:"), Text(" here", True), Ret(3), Text("\n", True, True),
                 Text("Q: and in the desert?\nA:"), Ret(4), Text("\n", True))),
        Example((Text("Q: "), Image(1), Text(" and "), Image(2), Text(" how many?\nA:"), Text(" three", True))),
    ]  # fmt: skip
    encoded = [encoder.example(example) for example in examples]
    loss, queries = sequence_pass(tiny_model, collate.sequences(encoded))
    alone = [sequence_pass(tiny_model, collate.sequences([one])) for one in encoded]
    count = sum(part.count for part, _ in alone)
    assert loss.count == count
    assert loss.loss.item() == pytest.approx(sum(part.loss.item() * part.count for part, _ in alone) / count, abs=1e-5)
    assert torch.allclose(queries, torch.cat([rows for _, rows in alone]), atol=1e-5)
    assert len(queries) == 2


def test_only_the_bridge_gets_gradients_and_all_of_it_does(tiny_model):
    encoder, data = SequenceEncoder(tiny_model.language, tiny_model.config), tiny_data(tiny_model)
    collate = Collator(data)
    captioning = collate.sequences([encoder.captioned_image(*pair) for pair in data.captions])
    step_losses(tiny_model, StepBatch(captioning, retrieval_batch(tiny_model)), Weights())["total"].backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in tiny_model.bridge.parameters())
    assert all(parameter.grad is None for parameter in tiny_model.language.model.parameters())


def test_a_loss_of_weight_zero_counts_for_nothing(tiny_model):
    batch = StepBatch(retrieval=retrieval_batch(tiny_model))
    losses = step_losses(tiny_model, batch, Weights(contrastive=0, retrieval=2))
    assert losses["total"].item() == pytest.approx(2 * losses["retrieval"].item(), rel=1e-6)


def test_contrastive_loss_of_perfect_and_of_equal_vectors(tiny_model):
    """By hand: equal vectors leave log(B); orthogonal right ones leave log(1 + (B - 1) exp(-scale))."""
    scale = tiny_model.bridge.logit_scale.exp().item()
    groups = torch.arange(4)
    text, image = contrastive_losses(tiny_model, torch.ones(4, 16) / 4, torch.ones(4, 16) / 4, groups)
    assert text.item() == pytest.approx(math.log(4), abs=1e-5) and image.item() == pytest.approx(math.log(4), abs=1e-5)
    text, image = contrastive_losses(tiny_model, torch.eye(4, 16), torch.eye(4, 16), groups)
    assert text.item() == pytest.approx(math.log1p(3 * math.exp(-scale)), abs=1e-6)
    assert image.item() == pytest.approx(text.item(), abs=1e-7)


def test_pictures_that_look_alike_are_no_negatives_of_each_other(tiny_model):
    equal = torch.ones(4, 16) / 4
    text, image = contrastive_losses(tiny_model, equal, equal, torch.tensor([0, 0, 1, 2]))
    # Two queries choose among 3, two among 4.
    assert text.item() == pytest.approx((2 * math.log(3) + 2 * math.log(4)) / 4, abs=1e-5)
    assert image.item() == pytest.approx(text.item(), abs=1e-6)


def test_further_negatives_join_the_text_to_image_direction_only(tiny_model):
    queries = keys = torch.ones(2, 16) / 4
    negatives = Negatives(torch.zeros(5, tiny_model.vision.dim), torch.tensor([7, 8, 9, 10, 0]))
    bias = tiny_model.bridge.visual_fc.bias.detach()
    tiny_model.bridge.visual_fc.bias.data = torch.ones_like(bias)  # so that each further picture is the same vector
    text, image = contrastive_losses(tiny_model, queries, keys, torch.tensor([0, 1]), negatives)
    # The last further picture looks like the first query's own.
    assert text.item() == pytest.approx((math.log(6) + math.log(7)) / 2, abs=1e-5)
    assert image.item() == pytest.approx(math.log(2), abs=1e-5)


def test_dialogue_queries_choose_among_all_pictures_of_the_step(tiny_model):
    encoder, data = SequenceEncoder(tiny_model.language, tiny_model.config), tiny_data(tiny_model)
    collate = Collator(data)
    dialogue = encoder.example(Example((Text("Q: a tree\nA:"), Ret(5), Text("\n", True))))
    batch = StepBatch(
        None, retrieval_batch(tiny_model), collate.sequences([dialogue]), collate.negatives(np.array([6]))
    )
    with torch.no_grad():
        tiny_model.bridge.logit_scale.fill_(-60)  # every logit nearly 0: the loss counts the candidates
        losses = step_losses(tiny_model, batch, Weights())
    # Row 5 itself, the 5 other captioned rows (row 5 is left out there), and row 6.
    assert losses["dialogue_contrastive"].item() == pytest.approx(math.log(7), abs=1e-4)
    assert set(losses) == {"captioning", "retrieval", "contrastive", "dialogue", "dialogue_contrastive", "total"} - {
        "captioning"
    }


def test_dialogues_without_a_picture_request_have_no_contrastive_loss(tiny_model):
    encoder, collate = SequenceEncoder(tiny_model.language, tiny_model.config), Collator(tiny_data(tiny_model))
    dialogue = encoder.example(Example((Image(0), Text("Q: what is this?\nA:"), Text(" a cat\n", True))))
    losses = step_losses(tiny_model, StepBatch(dialogues=collate.sequences([dialogue])), Weights())
    losses["total"].backward()
    assert losses["dialogue_contrastive"].item() == 0 and losses["total"].item() == losses["dialogue"].item()


def test_info_nce_and_label_loss_shapes(tiny_model):
    losses = info_nce(tiny_model, torch.ones(3, 16) / 4, torch.ones(5, 16) / 4, torch.tensor([0, 1, 4]),
                      torch.arange(3), torch.tensor([0, 1, 8, 9, 2]))  # fmt: skip
    assert losses.shape == (3,)
    hidden = torch.randn(2, 3, tiny_model.language.head_dim)
    labels = torch.tensor([[IGNORED, 4, IGNORED], [5, IGNORED, tiny_model.language.ret_token_id]])
    assert label_loss(tiny_model, hidden, labels).count == 3
