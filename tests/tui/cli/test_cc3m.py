"""Every command of docs/cc3m.md, on a stand-in of CC3M: the same tables, served from this machine, and tiny models."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests.tui.command_line import call

DOCUMENT = Path(__file__).parents[3] / "docs" / "cc3m.md"
SHORTER = ("--steps", "4", "--batch-size", "4", "--device", "cpu", "--tracker", "none")
COUNT = 24  # addresses; every third is dead


def documented() -> list[list[str]]:
    """The `fromage-lite` commands of the document, in their order."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    lines = "".join(text for kind, text in blocks if not kind).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("fromage-lite ")]


def serve(address: str, pages, table: Path, first: int) -> None:
    lines = []
    for number in range(first, first + COUNT):
        picture = io.BytesIO()
        Image.new("RGB", (40, 30), (5 * number % 256, 100, 50)).save(picture, "JPEG")
        if number % 3:
            pages[f"/{number}.jpg"] = (200, {}, picture.getvalue())
        lines.append(f"a picture of colour {number}\t{address}/{number}.jpg\n")
    table.write_text("".join(lines))


def test_the_document_names_the_commands_of_each_step():
    verbs = [command[0] for command in documented()]
    assert verbs == ["train", "train", "train", "train", "index", "search", "chat"]


@pytest.mark.slow
def test_the_documented_commands_lead_from_the_tables_to_a_search(
    web, tiny_lm_dir, tiny_encoder_dir, tmp_path, monkeypatch
):
    address, pages, asked = web
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("index.sources.download.Downloader._turn", lambda *_: 0.0)  # of a single server
    serve(address, pages, tmp_path / "Train_GCC-training.tsv", 0)
    serve(address, pages, tmp_path / "Validation_GCC-1.1.0-Validation.tsv", COUNT)
    models = {
        "facebook/opt-125m": str(tiny_lm_dir),
        "openai/clip-vit-base-patch32": f"open_clip:local-dir:{tiny_encoder_dir}",
    }
    said = []
    for command in documented():
        words = [models.get(word, word) for word in command]
        if words[0] == "chat":  # a screen of its own
            words = ["ask", "hello", *words[1:]]
        if words[0] == "train":
            words += SHORTER
        result = call(*words)
        assert result.exit_code == 0, (words, result.output)
        said.append(result.stdout)
        if "--dry-run" in words:
            assert not asked and not (tmp_path / "runs").exists()
            assert f"for {COUNT} pictures" in result.stdout
    trained = said[1]
    assert "16 captions from Train_GCC-training.tsv. 8 bad rows were left out (8 x HTTP 404)" in trained
    assert "Held out: 16 captions from Validation_GCC-1.1.0-Validation.tsv" in trained
    assert "Trained 4 steps" in trained and "Trained 4 steps" in said[2]
    assert sorted(path.name for path in Path("runs/cc3m").iterdir() if path.is_dir())[:2] == ["best", "features"]
    assert Path("runs/rates/find_lr.csv").is_file()
    assert "a picture of colour" in said[5]
