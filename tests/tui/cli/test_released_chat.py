"""The original FROMAGe's files, its embeddings among them, in a chat by the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.events import ImagesFound
from fromage_lite.config import GenerationSettings
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.projection import fingerprint_without_lm
from index.search.faiss_index import ImageIndex
from tests.fromage_lite.fakes import Script
from tui.cli.main import app

ROOT = Path(__file__).parents[3]
GOLDEN = Path(os.environ.get("FROMAGE_GOLDEN", ROOT / "tests" / "golden"))
CASES = sorted(path.parent for path in GOLDEN.glob("*/cc3m_embeddings.pkl"))


@pytest.fixture(scope="module")
def build():
    def build(*arguments, code=0):
        result = CliRunner().invoke(app, ["index", *map(str, arguments), "--device", "cpu"])
        assert result.exit_code == code, (result.output, result.exception)
        assert "Traceback" not in result.output
        return result.stdout if code == 0 else result.stderr

    return build


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request, build, tmp_path_factory):
    """A case, and the index of its embeddings."""
    out = tmp_path_factory.mktemp("index") / "cc3m"
    said = build(
        "--from-reference",
        request.param / "cc3m_embeddings.pkl",
        "--relative-to",
        GOLDEN,
        "--model",
        request.param,
        "--out",
        out,
    )
    assert "40 new" in said and "40 pictures" in said
    return request.param, out


def call(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_ranks_are_the_originals(case):
    folder, out = case
    results, tensors = json.loads((folder / "outputs.json").read_text()), load_file(folder / "outputs.safetensors")
    index = ImageIndex.open(out)
    checked = 0
    for name, generated in results["generate"].items():
        if "top10" in generated:
            query = tensors[f"{name}.ret_embedding"][None]
            hits = index.search(query, 10)[0]
            assert [hit.id for hit in hits] == generated["top10"]
            scale = np.exp(Fromage.from_pretrained(folder, device="cpu").bridge.logit_scale.item())
            np.testing.assert_allclose(
                [scale * hit.score for hit in hits], np.sort(tensors[f"{name}.scores"])[::-1][:10], rtol=1e-4
            )
            checked += 1
    assert checked


def test_search_and_ask_by_the_command_line(case):
    folder, out = case
    options = ("--model", folder, "--index", out, "--json")
    expected = json.loads((folder / "outputs.json").read_text())["images_and_texts"]["zero_text_only"]
    caption = expected["prompt"][0]["text"].removesuffix("[RET]")
    found = call("search", caption, "--top", 3, *options)["images"]
    assert [image["path"] for image in found] == [str(GOLDEN / path) for path in expected["output"][1]["images"]]
    reply = call("ask", "show me a picture", "--ret", "always", "--max-new-tokens", 5, *options)
    assert reply["images"] and Path(reply["images"][0]["path"]).is_file()


def test_a_model_is_known_by_the_same_fingerprint_without_its_lm(case, tiny_checkpoint):
    for folder in (case[0], tiny_checkpoint):
        model = Fromage.from_pretrained(folder, device="cpu")
        assert fingerprint_without_lm(folder, "cpu") == (model.fingerprint(), model.config.retrieval_dim)


def test_the_embeddings_of_one_model_serve_no_other(case, build, tiny_checkpoint, tmp_path):
    folder, out = case
    refused = CliRunner().invoke(
        app, ["ask", "hello", "--model", str(tiny_checkpoint), "--index", str(out), "--device", "cpu"]
    )
    assert refused.exit_code == 2 and "another model" in refused.stderr
    # The command that it names can't help here, and says why.
    assert "another model made" in build("--model", tiny_checkpoint, "--out", out, code=2)
    assert "40 pictures indexed" in build("--model", folder, "--out", out)
    assert len(ImageIndex.open(out)) == 40
    refused = build(
        "--from-reference", folder / "cc3m_embeddings.pkl", "--model", tiny_checkpoint, "--out", out, code=2
    )
    assert "width 16" in refused or "another model's embeddings" in refused


def test_errors_of_an_import_are_one_sentence(case, build, tmp_path):
    folder, _ = case
    pickle = folder / "cc3m_embeddings.pkl"
    (tmp_path / "text.pkl").write_text("no pickle")
    for arguments, words in [
        (("--from-reference", tmp_path / "nothing.pkl", "--model", folder, "--out", tmp_path / "x"), "nothing.pkl"),
        (("--from-reference", tmp_path / "text.pkl", "--model", folder, "--out", tmp_path / "x"), "text.pkl"),
        (("--from-reference", pickle, "--out", tmp_path / "x"), "--model, which made the embeddings"),
        (("--from-reference", pickle, "--model", folder), "--out"),
        ((tmp_path, "--from-reference", pickle, "--model", folder, "--out", tmp_path / "x"), "its own pictures"),
        (("--relative-to", tmp_path), "only for --from-reference"),
    ]:
        assert words in build(*arguments, code=2)
    assert not (tmp_path / "x").exists()


def test_a_picture_that_is_gone_from_the_web_makes_room_for_the_next(tiny_model, tmp_path, web, pictures, monkeypatch):
    """As the original does, and further: not only what is no picture, but also what can't be fetched is passed over."""
    import io

    from index.building.projected import import_embeddings
    from index.search.derive import derive_index

    address, pages, asked = web
    data = io.BytesIO()
    pictures[0].save(data, "PNG")
    pages |= {"/page.png": (200, {}, b"<html>no picture</html>"), "/there.png": (200, {}, data.getvalue())}
    paths = [f"{address}/{name}.png" for name in ("gone", "page", "there", "later")]
    rows = np.random.default_rng(0).normal(size=(4, tiny_model.config.retrieval_dim)).astype(np.float32)
    import_embeddings([(paths, rows)], tmp_path / "i", bridge_fingerprint=tiny_model.fingerprint())
    derive_index(tmp_path / "i", lambda vectors: vectors, tiny_model.fingerprint())
    index = ImageIndex.open(tmp_path / "i", tiny_model.fingerprint())
    search = index.search

    def in_order(query, k, exclude=()):  # whatever the model asks for
        return [sorted(search(query, k, exclude)[0], key=lambda hit: hit.id)]

    monkeypatch.setattr(index, "search", in_order)
    agent = Agent(tiny_model, index)
    script = Script(agent)
    script.say("here.[RET]")
    dialogue = agent.dialogue(GenerationSettings())
    (found,) = [event for event in dialogue.reply("show me") if isinstance(event, ImagesFound)]
    assert [hit.source for hit in found.hits] == [f"{address}/there.png"]
    assert agent.thumbnail(found.hits[0])[:2] == b"\xff\xd8"
    assert asked == ["/gone.png", "/page.png", "/there.png"]
