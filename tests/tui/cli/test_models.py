"""`fromage-lite models`, and short names in place of folders."""

from __future__ import annotations

import json

from tests.tui.command_line import call


def test_models_are_listed_with_what_they_take(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_model.save_pretrained("runs/mine/best")
    lines = call("models").stdout.splitlines()
    assert any(line.startswith("playground") for line in lines)
    mine = lines.index("runs/mine/best")
    assert "lm sees with encoder" in lines[mine + 1] and "on disk" in lines[mine + 2]
    released = lines[lines.index("fromage/fromage_model/fromage_vis4") + 2]
    assert (
        "not here (git clone https://github.com/kohjingyu/fromage)" in released and "memory 15.0 GB in bf16" in released
    )


def test_programs_get_one_object_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = [json.loads(line) for line in call("models", "--json").stdout.splitlines()]
    assert sum(model["is_default"] for model in models) == 1
    playground = next(model for model in models if model["name"] == "playground")
    assert playground["kind"] == "shipped" and playground["disk"] > 30_000_000 and playground["download"] == 0
