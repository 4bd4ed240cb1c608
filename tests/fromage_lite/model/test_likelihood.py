"""The oracle reads every context with its continuation anew, with transformers' own model and no cache."""

import pytest
import torch

from fromage_lite.errors import MessageError
from fromage_lite.model.likelihood import continuation_log_likelihoods

ANSWERS = ("yes", "no, it is a red one", "a cat", "i can not tell", "two")


@torch.no_grad()
def separately(model, context, ids, shifted=True):
    language = model.language
    embeds = torch.cat([context, language.embed(torch.tensor([ids]), model.bridge.ret_row)], dim=1)
    logits = language.model(inputs_embeds=embeds.to(language.dtype)).logits.float()[0, :, : language.vocab_size]
    hidden = language.model.base_model(inputs_embeds=embeds.to(language.dtype)).last_hidden_state[0]
    with_ret = torch.cat([logits, (hidden @ model.bridge.output_row)[:, None]], dim=1).log_softmax(dim=-1)
    first = context.shape[1] - (1 if shifted else 0)
    return sum(with_ret[first + number, id].item() for number, id in enumerate(ids))


@pytest.mark.parametrize("batch_size", [1, 2, 25])
@pytest.mark.parametrize("shifted", [True, False])
def test_each_answer_scores_as_if_read_alone(tiny_model, pictures, batch_size, shifted):
    context = tiny_model.prompt_embeds(["Q: ", pictures[0], " what is this?\nA:"])
    answers = [tiny_model.language.tokenize(" " + answer) for answer in ANSWERS]
    scores = continuation_log_likelihoods(tiny_model, context, answers, batch_size=batch_size, shifted=shifted)
    wanted = [separately(tiny_model, context, ids, shifted) for ids in answers]
    assert scores.tolist() == pytest.approx(wanted, rel=1e-3)


def test_a_context_that_fills_the_positions_is_refused(tiny_model):
    context = tiny_model.prompt_embeds(["a cat " * 60])[:, :120]
    with pytest.raises(MessageError, match="128 positions"):
        continuation_log_likelihoods(tiny_model, context, [[5] * 20])
    with pytest.raises(ValueError, match="no tokens"):
        continuation_log_likelihoods(tiny_model, context, [[5], []])
