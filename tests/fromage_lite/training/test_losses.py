"""The losses against the slow, obvious computation, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fromage_lite.training.data.batches import Collator, Negatives, StepBatch
from fromage_lite.training.data.encoding import IGNORED, SequenceEncoder
from fromage_lite.training.data.interleaved import Example, Image, Ret, Text, TrainingData
from fromage_lite.training.losses import contrastive_losses, info_nce, label_loss, step_losses
from fromage_lite.training.recipe import Weights


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


def test_the_cached_retrieval_forward_equals_a_full_differentiated_run_of_each_caption(tiny_model):
    """The captions have different lengths, so a fault in the padding or the positions would show."""
    batch = retrieval_batch(tiny_model)
    output = tiny_model.retrieval_forward(batch.ids, batch.mask, batch.labels)
    loss, queries = label_loss(output.logits, output.labels), output.queries
    direction = torch.randn(queries.shape, generator=torch.Generator().manual_seed(0))
    (loss + (queries * direction).sum()).backward()
    fast, n_labels = gradients(tiny_model), len(output.labels)

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

    assert count == n_labels
    assert loss.item() == pytest.approx((total / count).item(), abs=1e-5)
    assert torch.allclose(queries, slow_queries, atol=1e-5)
    for name in slow:
        assert torch.allclose(fast[name], slow[name], atol=1e-4, rtol=1e-4), name


def test_padded_sequences_equal_sequences_run_one_by_one(tiny_model):
    encoder, collate = SequenceEncoder(tiny_model.language, tiny_model.config), Collator(tiny_data(tiny_model))
    examples = [
        Example((Text("Q: "), Image(0), Text(" what is this?\nA:"), Text(" a cat", True), Text("\n", True))),
        Example(
            (
                Text("Q: a cat\nA:"),
                Text(" here", True),
                Ret(3),
                Text("\n", True, True),
                Text("Q: and in the desert?\nA:"),
                Ret(4),
                Text("\n", True),
            )
        ),
        Example((Text("Q: "), Image(1), Text(" and "), Image(2), Text(" how many?\nA:"), Text(" three", True))),
    ]
    encoded = [encoder.example(example) for example in examples]

    def forward(sequences):
        batch = collate.sequences(sequences)
        output = tiny_model.caption_forward(batch.ids, batch.features, batch.labels)
        return label_loss(output.logits, output.labels).item(), len(output.labels), output.queries

    loss, count, queries = forward(encoded)
    alone = [forward([one]) for one in encoded]
    assert count == sum(n for _, n, _ in alone)
    assert loss == pytest.approx(sum(part * n for part, n, _ in alone) / count, abs=1e-5)
    assert torch.allclose(queries, torch.cat([rows for *_, rows in alone]), atol=1e-5)
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
    named = {"retrieval", "contrastive", "dialogue", "dialogue_contrastive", "total"}
    assert set(losses) == named | {"contrastive_t2i", "contrastive_i2t"}


def test_dialogues_without_a_picture_request_have_no_contrastive_loss(tiny_model):
    encoder, collate = SequenceEncoder(tiny_model.language, tiny_model.config), Collator(tiny_data(tiny_model))
    dialogue = encoder.example(Example((Image(0), Text("Q: what is this?\nA:"), Text(" a cat\n", True))))
    losses = step_losses(tiny_model, StepBatch(dialogues=collate.sequences([dialogue])), Weights())
    losses["total"].backward()
    assert losses["dialogue_contrastive"].item() == 0 and losses["total"].item() == losses["dialogue"].item()


def test_logits_are_computed_where_there_is_a_label_and_nowhere_else(tiny_model):
    encoder, data = SequenceEncoder(tiny_model.language, tiny_model.config), tiny_data(tiny_model)
    batch = Collator(data).sequences([encoder.captioned_image(*pair) for pair in data.captions])
    output = tiny_model.caption_forward(batch.ids, batch.features, batch.labels)
    labels = batch.labels[:, 1:]
    assert output.labels.tolist() == labels[labels != IGNORED].tolist()
    assert output.logits.shape == (len(output.labels), tiny_model.language.vocab_size + 1)


def test_label_loss_by_hand():
    """Two labels: probabilities 1/2 and 1/4."""
    logits = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf], [0.0, 0.0, 0.0, 0.0]])
    assert label_loss(logits, torch.tensor([1, 3])).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert label_loss(logits[:0], torch.tensor([], dtype=torch.long)).item() == 0


def test_info_nce_gives_a_loss_a_query(tiny_model):
    losses = info_nce(
        tiny_model,
        torch.ones(3, 16) / 4,
        torch.ones(5, 16) / 4,
        torch.tensor([0, 1, 4]),
        torch.arange(3),
        torch.tensor([0, 1, 8, 9, 2]),
    )
    assert losses.shape == (3,)
