import math

import pytest
import torch

from fromage_lite.model.bridge import Bridge, Whitening


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


def test_visual_tokens_get_the_norm_that_is_asked_for(bridge):
    pooled = 50 * torch.randn(64, 6)
    before = bridge.visual_embeds(pooled)
    bridge.normalise_visual(pooled, 1.5)
    after = bridge.visual_embeds(pooled)
    assert after.norm(dim=-1).mean().item() == pytest.approx(1.5, rel=1e-5)
    torch.testing.assert_close(after / after.norm(), before / before.norm())  # nothing but their scale has changed


def correlated(n=4000):
    """Features whose directions differ a hundredfold in size, around a mean far from 0."""
    mixing = torch.linalg.qr(torch.randn(6, 6)).Q @ torch.diag(torch.tensor([30.0, 10.0, 3.0, 1.0, 0.5, 0.3]))
    return torch.randn(n, 6) @ mixing.T + 40


def test_whitened_features_have_unit_covariance():
    features = correlated()
    white = Whitening.of(features)(features).double()
    torch.testing.assert_close(white.mean(0), torch.zeros(6).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(6).double(), atol=2e-3, rtol=0)


def test_a_direction_that_never_varies_stays_finite():
    features = correlated()
    features[:, 2] = 7
    assert Whitening.of(features)(features).abs().max() < 100
    assert Whitening.of(torch.ones(5, 6))(torch.ones(2, 6)).abs().max() == 0


def test_a_folded_bridge_computes_the_same_from_plain_features(bridge):
    features = correlated()
    before = bridge.visual_embeds(features)
    bridge.whiten(Whitening.of(features))
    visual, images = bridge.visual_embeds(features), bridge.image_embeds(features)
    assert (visual - before).abs().max() > 1  # it reads something else
    written = Bridge(6, 8, [8, 5], n_visual_tokens=3, retrieval_dim=4)
    written.load_state_dict(bridge.folded())
    bridge.fold()
    for one in (written, bridge):
        torch.testing.assert_close(one.visual_embeds(features), visual, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one.image_embeds(features), images, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("whitened", [False, True])
def test_the_fitted_map_is_that_of_least_squares(bridge, whitened):
    features = correlated(500)
    wanted = torch.randn(500, 3, 8) + 0.1 * features[:, :1, None]
    if whitened:
        bridge.whiten(Whitening.of(features))
    bridge.fit_visual(features, lambda part: wanted[part], chunk=128)
    bridge.fold()
    inputs = torch.cat([features, torch.ones(500, 1)], dim=1).double()
    expected = inputs @ torch.linalg.lstsq(inputs, wanted.flatten(1).double()).solution
    torch.testing.assert_close(bridge.visual_embeds(features), expected.view(500, 3, 8).float(), atol=1e-3, rtol=1e-3)


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
