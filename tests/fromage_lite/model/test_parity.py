"""Equal to the original FROMAGe, by figures that its own code produced (see the README beside them).

Runs over every case folder under FROMAGE_GOLDEN and reads all dimensions from the case's own files. U1, U2, S7, …
name findings about the reference.
"""

import json
import os
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fromage_lite.config import GenerationSettings
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.sampling import choose
from fromage_lite.vision import VisionEncoder

GOLDEN = Path(os.environ.get("FROMAGE_GOLDEN", Path(__file__).parents[2] / "golden"))
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/model_args.json"))
EXACT = {"atol": 1e-5, "rtol": 1e-5}
LOGITS = {"atol": 1e-4, "rtol": 1e-4}

pytestmark = pytest.mark.parity


class Case:
    """One case: our model with the reference's weights, and the reference's results."""

    def __init__(self, name):
        folder = GOLDEN / name
        self.model = Fromage.from_pretrained(folder, device="cpu")
        self.tensors = load_file(folder / "outputs.safetensors")
        self.results = json.loads((folder / "outputs.json").read_text())
        self.paths = [entry["image"] for entry in json.loads((GOLDEN / "captions.json").read_text())]

    def segments(self, prompt):
        return [part["text"] if "text" in part else self.picture(part["image"], part["load"]) for part in prompt]

    @staticmethod
    def picture(path, load="direct"):
        image = Image.open(GOLDEN / path)
        return (image.resize((224, 224)) if load == "url224" else image).convert("RGB")

    def prompt(self, kind):
        results = self.results["images_and_texts"]
        return self.segments(results[f"{kind}.factor1.max_num_rets1.max_img_per_ret1"]["prompt"])

    def ranking(self, query):
        return (self.tensors["emb_matrix"] @ query[0]).argsort(descending=True).tolist()


REPLIES = [
    (name, kind)
    for name in CASES
    for kind, figures in json.loads((GOLDEN / name / "outputs.json").read_text())["images_and_texts"].items()
    if figures["num_words"]
]


@pytest.fixture(scope="module")
def case_of():
    """Cases by name, each loaded once."""
    return cache(Case)


@pytest.fixture(params=CASES)
def case(request, case_of):
    return case_of(request.param)


def generate(case, embeds, count, choose=choose, **settings):
    """The reference says everything it is told to: no limit on pictures, no end at a line break."""
    settings = GenerationSettings(max_new_tokens=count, max_images=10**6, **settings)
    with torch.no_grad():
        return list(stream(case.model, DecodingState(case.model), embeds, settings, choose=choose))


def test_there_are_cases():
    assert CASES


def test_pixels_and_pooled_features(case):
    pixel_values = case.model.vision.preprocess([case.picture(path) for path in case.paths])
    torch.testing.assert_close(pixel_values, case.tensors["images.pixel_values_direct"], **EXACT)
    squashed = case.model.vision.preprocess([case.picture(path, "url224") for path in case.paths])
    torch.testing.assert_close(squashed, case.tensors["images.pixel_values_url224"], **EXACT)
    pooled = case.model.vision.encode(pixel_values).pooled
    torch.testing.assert_close(pooled, case.tensors["images.pooler_output_direct"], **EXACT)


def test_visual_tokens_and_image_embeddings(case):
    pooled = case.model.vision.encode(case.tensors["images.pixel_values_direct"]).pooled
    torch.testing.assert_close(case.model.visual_embeds(pooled), case.tensors["images.visual_embs_captioning"], **EXACT)
    unit = case.tensors["images.visual_embs_retrieval"][:, 0]
    unit = unit / unit.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(case.model.image_embeds(pooled), unit, **EXACT)
    scaled = case.model.image_embeds(pooled) * case.model.bridge.logit_scale.exp()
    torch.testing.assert_close(scaled, case.tensors["emb_matrix"], **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("prefix", [0, 1])
def test_logits_hidden_states_and_query_of_captions_with_ret(case, prefix):
    """S4: the query is read at `[RET]` itself, and what predicts `[RET]` one position earlier."""
    language, bridge, key = case.model.language, case.model.bridge, f"ret.prefix{prefix}"
    layers = case.model.config.text_emb_layers
    tokens, before = case.tensors["batch4.tokens"], []
    if prefix:
        before = language.tokenize(case.results["generate"]["gen.batch3"]["prefix"])
    ids = torch.cat([torch.tensor(before, dtype=torch.long).expand(len(tokens), -1), tokens], dim=1)
    output = language.forward(language.embed(ids, bridge.ret_row), layers=layers)
    logits = language.logits(output.hidden, bridge.output_row)
    torch.testing.assert_close(logits, case.tensors[f"{key}.logits"], **LOGITS)
    for layer, state in zip(layers, output.layers, strict=True):
        torch.testing.assert_close(state, case.tensors[f"{key}.hidden_states.{layer}"], **LOGITS)
    rows, places = torch.arange(len(ids)), len(before) + case.tensors["batch4.caption_len"] - 1
    query = bridge.query_embeds([state[rows, places] for state in output.layers])
    torch.testing.assert_close(query, case.tensors[f"{key}.last_embedding"], **EXACT)
    torch.testing.assert_close(logits[rows, places - 1], case.tensors[f"{key}.last_output_logit"], **LOGITS)


@pytest.mark.parametrize("kind", ["single", "inter"])
def test_interleaved_prompt(case, kind):
    """S10: one beginning of text, before the first text; images before it stay in front."""
    torch.testing.assert_close(
        case.model.prompt_embeds(case.prompt(kind)), case.tensors[f"gen.{kind}.input_embs"], **EXACT
    )


@pytest.mark.parametrize("factor", ["factor1", "factorR"])
@pytest.mark.parametrize("kind", ["single", "inter"])
def test_greedy_generation_with_the_papers_factor(case, kind, factor):
    """S6: the factor multiplies the raw logit. The reference re-runs the sequence for each token; we keep a cache."""
    expected, seen = case.results["generate"][f"gen.{kind}.{factor}"], []
    last = len(expected["ids"]) - 1
    tokens = generate(
        case,
        case.model.prompt_embeds(case.prompt(kind)),
        last + 1,
        choose=lambda logits, *a: seen.append(logits) or choose(logits, *a),
        ret_scale_factor=expected["ret_scale_factor"],
    )
    assert [token.id for token in tokens] == expected["ids"]
    torch.testing.assert_close(torch.stack(seen), case.tensors[f"gen.{kind}.{factor}.logits"], **LOGITS)
    queries = [token.query_embeds for token in tokens if token.query_embeds is not None]
    assert len(queries) == len(expected["ret_positions"])
    if queries:
        key = f"gen.{kind}.{factor}"
        torch.testing.assert_close(queries[0][0], case.tensors[f"{key}.ret_embedding"], **EXACT)
        for query, place in zip(queries, expected["ret_positions"], strict=True):
            start = case.tensors[f"{key}.embeddings_last_call"].shape[1] - last  # the last token was never fed (U2)
            if place < last:
                expected_query = case.tensors[f"{key}.embeddings_last_call"][0, start + place]
                torch.testing.assert_close(query[0], expected_query, **EXACT)
        assert case.ranking(queries[0])[:10] == expected["top10"]
        scores = case.model.bridge.logit_scale.exp() * case.model.image_embeds(
            case.tensors["images.pooler_output_direct"]
        )
        torch.testing.assert_close(scores @ queries[0][0], case.tensors[f"{key}.scores"], **LOGITS)


@pytest.mark.parametrize(("name", "kind"), REPLIES)
def test_the_interleaved_reply(name, kind, case_of):
    """Words and ranked pictures in their order. S8: the reference drops what follows the last `[RET]` that it uses,
    and cuts at a line break; S9: a picture comes once in a call."""
    case, expected = case_of(name), case_of(name).results["images_and_texts"][kind]
    per_ret, rets = expected["max_img_per_ret"], expected["max_num_rets"]
    settings = GenerationSettings(max_new_tokens=expected["num_words"], ret_scale_factor=expected["ret_scale_factor"],
                                  images_per_ret=per_ret, max_images=per_ret * rets)  # fmt: skip
    parts, shown = [""], set()
    embeds = case.model.prompt_embeds(case.segments(expected["prompt"]))
    for token in stream(case.model, DecodingState(case.model), embeds, settings, stop_strings=("\n",)):
        parts[-1] += token.text
        if token.query_embeds is not None:
            found = [i for i in case.ranking(token.query_embeds) if i not in shown][:per_ret]
            shown |= set(found)
            parts += [[case.paths[i] for i in found], ""]
    wanted = [part.get("images") or part["text"].removesuffix("[RET]").strip() for part in expected["output"]]
    found = [part if isinstance(part, list) else part.strip() for part in parts]
    assert found[: len(wanted)] == wanted
    assert len(wanted) > 1 or not shown


@pytest.mark.parametrize("kind", ["single", "inter"])
def test_ret_at_the_last_index_has_a_query_unlike_the_reference_U2(case, kind):
    expected = case.results["generate"][f"gen.{kind}.factorR"]
    count, embeds = expected["ret_positions"][0] + 1, case.tensors[f"gen.{kind}.input_embs"]
    tokens = generate(case, embeds, count, ret_scale_factor=expected["ret_scale_factor"])
    assert tokens[-1].id == case.model.language.ret_token_id
    torch.testing.assert_close(tokens[-1].query_embeds[0], case.tensors[f"gen.{kind}.factorR.ret_embedding"], **EXACT)


def test_min_word_tokens(case):
    expected = case.results["generate"]["gen.single.factorR.min_word_tokens9"]
    tokens = generate(case, case.tensors["gen.single.input_embs"], len(expected["ids"]),
                      ret_scale_factor=expected["ret_scale_factor"],
                      min_word_tokens=expected["min_word_tokens"])  # fmt: skip
    assert [token.id for token in tokens] == expected["ids"]


def test_nucleus_sampling_with_the_same_seed(case):
    expected = case.results["generate"]["gen.single.sample"]
    tokens = generate(case, case.tensors["gen.single.input_embs"], len(expected["ids"]),
                      temperature=expected["temperature"], top_p=expected["top_p"],
                      seed=expected["torch_manual_seed"])  # fmt: skip
    assert [token.id for token in tokens] == expected["ids"]


def test_captions_of_single_images(case):
    expected = case.results["generate"]["gen.batch3"]
    for row, ids in enumerate(expected["ids"]):
        segments = [case.picture(case.paths[row]), expected["prefix"]]
        embeds = case.model.prompt_embeds(segments, add_bos=False)
        tokens = generate(case, embeds, len(ids), min_word_tokens=expected["min_word_tokens"])
        assert [token.id for token in tokens] == ids


def test_log_likelihood(case):
    """S11: the mean over all text labels but the very first position."""
    for expected in case.results["log_lik"]:
        found = case.model.log_likelihood(case.segments(expected["prompt"]))
        assert found == pytest.approx(expected["score"], abs=1e-5)


def test_search_by_text_without_generation(case):
    expected = case.results["images_and_texts"]["zero_text_only"]
    caption = expected["prompt"][0]["text"].removesuffix("[RET]")
    best = case.ranking(case.model.query_embeds([caption]))[: expected["max_img_per_ret"]]
    assert [case.paths[i] for i in best] == expected["output"][1]["images"]


def test_search_with_an_image_before_ret_is_right_unlike_the_reference_U1(case):
    """The reference reads the query a few positions too early when an image stands before `[RET]`."""
    expected = case.results["images_and_texts"]["zero_image_text"]
    picture, caption = case.segments(expected["prompt"])
    best = case.ranking(case.model.query_embeds([picture, caption.removesuffix("[RET]")]))
    best = best[: expected["max_img_per_ret"]]
    assert [case.paths[i] for i in best] == expected["zero_image_text_corrected_top3"]
    assert expected["output"][1]["images"] != expected["zero_image_text_corrected_top3"]


def test_a_whole_clip_gives_the_same_features_as_its_vision_tower(case):
    whole = case.model.base_dir / f"{case.model.config.vision_encoder}-full"
    if not whole.is_dir():
        pytest.skip("this case has no whole CLIP")
    pooled = VisionEncoder.load(str(whole)).encode(case.tensors["images.pixel_values_direct"]).pooled
    torch.testing.assert_close(pooled, case.tensors["images.pooler_output_direct"], **EXACT)
