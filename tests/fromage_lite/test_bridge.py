import math

import pytest
import torch

from fromage_lite.bridge import Bridge


@pytest.fixture
def bridge():
    torch.manual_seed(0)
    return Bridge(visual_dim=6, lm_dim=8, layer_dims=[8, 5], n_visual_tokens=3, retrieval_dim=4)


def test_shapes_and_norms(bridge):
    pooled = torch.randn(2, 6)
    assert bridge.visual_embeds(pooled).shape == (2, 3, 8)
    images, queries = bridge.image_embeds(pooled), bridge.query_embeds([torch.randn(2, 8), torch.randn(2, 5)])
    assert images.shape == queries.shape == (2, 4)
    torch.testing.assert_close(images.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(queries.norm(dim=-1), torch.ones(2))


def test_visual_tokens_are_slices_of_one_map(bridge):
    pooled = torch.randn(1, 6)
    flat = bridge.visual_embeddings.weight @ pooled[0] + bridge.visual_embeddings.bias
    torch.testing.assert_close(bridge.visual_embeds(pooled)[0, 1], flat[8:16])


def test_layers_are_summed_before_normalising(bridge):
    first, second = torch.randn(1, 8), torch.randn(1, 5)
    total = bridge.text_hidden_fcs[0](first) + bridge.text_hidden_fcs[1](second)
    torch.testing.assert_close(bridge.query_embeds([first, second]), total / total.norm())
    with pytest.raises(ValueError, match="2 layer"):
        bridge.query_embeds([first])


def test_tied_has_one_row_and_untied_two(bridge):
    assert bridge.output_row is bridge.ret_row
    untied = Bridge(6, 8, [8], output_dim=5)
    assert untied.output_row.shape == (5,)
    assert "ret_output_row" in dict(untied.named_parameters())


def test_renormalise_sets_the_norm_and_keeps_the_direction():
    bridge = Bridge(6, 8, [8], output_dim=5)
    before = bridge.ret_row.detach().clone()
    bridge.renormalise_ret(2.5, 0.5)
    assert bridge.ret_row.norm().item() == pytest.approx(2.5)
    assert bridge.ret_output_row.norm().item() == pytest.approx(0.5)
    assert torch.cosine_similarity(before, bridge.ret_row, dim=0).item() == pytest.approx(1.0)


def test_low_precision_inputs_are_computed_in_float32(bridge):
    assert bridge.visual_embeds(torch.randn(1, 6, dtype=torch.bfloat16)).dtype == torch.float32
    assert bridge.logit_scale.item() == pytest.approx(math.log(1 / 0.07))
