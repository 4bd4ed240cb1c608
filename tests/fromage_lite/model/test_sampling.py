import math
from collections import Counter

import pytest
import torch

from fromage_lite.config import GenerationSettings
from fromage_lite.model.sampling import (
    apply_ret_policy,
    choose,
    keep_nucleus,
    may_say_ret,
    must_say_ret,
    probability,
    suppress,
)

RET = 3
LOGITS = torch.tensor([2.0, 1.0, 0.0, 1.5])


def ret_logit(step=0, said=0, **settings):
    return apply_ret_policy(LOGITS.clone(), RET, GenerationSettings(**settings), step, said)[RET].item()


def test_off_forbids_ret():
    assert ret_logit(ret_mode="off", ret_bias=100.0) == -math.inf


def test_auto_adds_the_bias_after_the_factor():
    assert ret_logit() == 1.5
    assert ret_logit(ret_bias=2.0) == 3.5
    assert ret_logit(ret_scale_factor=2.0, ret_bias=1.0) == 4.0


def test_the_papers_factor_lowers_a_negative_logit():
    logits = torch.tensor([0.0, -1.0])
    assert apply_ret_policy(logits, 1, GenerationSettings(ret_scale_factor=3.0), 0, 0)[1] == -3.0


def test_always_leaves_the_models_own_logit_alone():
    assert ret_logit(ret_mode="always", ret_bias=5.0, ret_scale_factor=2.0) == 1.5


def test_min_word_tokens_forbids_ret_before():
    settings = GenerationSettings(min_word_tokens=2)
    assert [may_say_ret(settings, step, 0) for step in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(("max_images", "per_ret", "allowed"), [(3, 1, 3), (3, 2, 2), (1, 4, 1), (0, 1, 0)])
def test_ret_is_forbidden_once_there_are_enough_pictures(max_images, per_ret, allowed):
    settings = GenerationSettings(max_images=max_images, images_per_ret=per_ret)
    assert sum(may_say_ret(settings, 5, said) for said in range(6)) == allowed


def test_only_always_owes_a_picture():
    assert must_say_ret(GenerationSettings(ret_mode="always"), 0)
    assert not must_say_ret(GenerationSettings(ret_mode="always"), 1)
    assert not must_say_ret(GenerationSettings(ret_mode="always", max_images=0), 0)
    assert not must_say_ret(GenerationSettings(ret_mode="auto"), 0)


@pytest.mark.parametrize("settings", [{"ret_mode": "off"}, {"ret_bias": 2.0}, {"ret_mode": "always"}])
def test_the_policy_changes_the_column_of_ret_alone_and_a_choice_nothing(settings):
    logits = LOGITS.clone()
    apply_ret_policy(logits, RET, GenerationSettings(**settings), 0, 0)
    assert torch.equal(logits[:RET], LOGITS[:RET])
    before = logits.clone()
    choose(logits, temperature=0.5, top_p=0.5)
    assert torch.equal(logits, before)


def test_suppressed_tokens_are_never_chosen():
    def without(*ids):
        return suppress(LOGITS.clone(), torch.tensor(ids, dtype=torch.long))

    assert choose(LOGITS) == 0
    assert torch.equal(without(), LOGITS) and without(0, RET).isinf().tolist() == [True, False, False, True]
    assert choose(without(0)) == RET
    assert choose(without(0, RET)) == 1


def test_probability_by_hand():
    logits = torch.tensor([0.2, 0.5, 0.3]).log() + 7
    assert probability(logits, 1) == pytest.approx(0.5, abs=1e-6)
    logits[2] = -math.inf
    assert probability(logits.bfloat16(), 0) == pytest.approx(2 / 7, abs=0.01)


def test_nucleus_keeps_the_token_that_crosses_the_line():
    logits = torch.tensor([0.1, 0.5, 0.4]).log()
    assert keep_nucleus(logits, 0.45).isfinite().tolist() == [False, True, False]
    assert keep_nucleus(logits, 0.6).isfinite().tolist() == [False, True, True]
    assert keep_nucleus(logits, 0.95).isfinite().all()


def test_nucleus_keeps_one_token_at_least():
    assert keep_nucleus(torch.zeros(5), 1e-9).isfinite().sum() == 1


def test_seeded_draws_repeat_and_follow_the_probabilities():
    logits = torch.tensor([0.7, 0.3]).log()

    def draws(seed):
        generator = torch.Generator().manual_seed(seed)
        return [choose(logits, temperature=1.0, generator=generator) for _ in range(2000)]

    first = draws(4)
    assert first == draws(4)
    # 2,000 draws at 0.7 have a standard deviation of 20: five of them are 0.05.
    assert abs(Counter(first)[0] / 2000 - 0.7) < 0.05


def test_low_temperature_approaches_greedy():
    generator = torch.Generator().manual_seed(0)
    assert {choose(LOGITS, temperature=0.01, generator=generator) for _ in range(50)} == {0}
