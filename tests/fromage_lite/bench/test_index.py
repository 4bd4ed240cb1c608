"""`fromage-lite bench index` on few vectors: its figures are flat, and true."""

from __future__ import annotations

import json

import pytest

import fromage_lite.bench.index
from index.search.policy import Plan
from tui.cli.main import main


def test_the_figures_are_flat_and_named_by_size_and_structure(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "index", "--rows", "2000", "--dim", "32", "--json", str(tmp_path / "figures.json")])
    assert ended.value.code == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert all(isinstance(value, float | int | str) for value in figures.values())
    for prefix in ("", "unstructured_"):
        for key in ("speedup_vs_scan", "exact_vs_scan", "open_ms", "scan_bf16_ms", "scan_fp32_100_ms", "index_build_s"):
            assert figures[f"{prefix}{key}_2000"] > 0
        assert figures[f"{prefix}recall_at_10_2000"] == figures[f"{prefix}recall_at_1_2000"] == 1.0
        assert figures[f"{prefix}index_kind_2000"] == "IDMap,Flat"
    said = capsys.readouterr()
    assert json.loads(said.out).keys() == figures.keys() and "2,000 unstructured vectors" in said.err


def test_an_index_with_lists_is_measured_compactly_too(monkeypatch):
    lists = Plan("IDMap,RR64,IVF16,RaBitQ,Refine(SQfp16)", "Many.", 0.9, is_certain=True)
    exact = Plan("IDMap,SQfp16", "All.")
    monkeypatch.setattr(
        fromage_lite.bench.index, "choose_plan", lambda count, dim, recall: exact if recall == 1.0 else lists
    )
    figures = fromage_lite.bench.index.measure_index([2000], 64, ["clustered"], 0.9, print)
    assert figures["recall_at_10_2000"] == figures["compact_recall_at_10_2000"] >= 0.8
    assert figures["compact_memory_ratio_2000"] > 0
    assert figures["compact_file_bytes_2000"] > figures["exact_file_bytes_2000"]


def test_a_size_that_is_none_is_a_clear_error(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "index", "--only", "5m"])
    assert ended.value.code == 2 and "There is no size 5m" in capsys.readouterr().err
