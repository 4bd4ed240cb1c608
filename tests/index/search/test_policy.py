"""Which kind of index is chosen, and that it says why."""

from __future__ import annotations

import pytest

from index.search.policy import Plan, choose_plan, is_exact, list_count, training_size


def test_few_vectors_are_searched_exactly():
    assert choose_plan(2_000, 256).kind == "IDMap,Flat"
    assert choose_plan(200_000, 256).kind == "IDMap,SQfp16"
    assert "milliseconds" in choose_plan(200_000, 256).reason


def test_many_vectors_get_lists_and_the_reason_names_what_an_exact_search_would_read():
    plan = choose_plan(3_300_000, 256)
    assert plan.kind == "IDMap,RR256,IVF8192,RaBitQ,Refine(SQfp16)"
    assert plan.reason == "An exact search would read 1.7 GB for every query." and plan.recall == 0.98


def test_the_width_counts_too():
    assert is_exact(choose_plan(100_000, 256).kind)
    assert not is_exact(choose_plan(100_000, 1024).kind)
    assert choose_plan(20_000_000, 16).kind == "IDMap,IVF16384,SQ8"  # a bit a number says little of 16 numbers


def test_who_wishes_for_all_of_the_nearest_gets_an_exact_index():
    assert choose_plan(3_300_000, 256, recall=1.0).kind == "IDMap,SQfp16"


def test_little_memory_makes_it_compact_and_so_does_asking():
    assert choose_plan(100_000, 256, memory=10**9).is_compact is False
    scarce, asked = choose_plan(100_000, 256, memory=10**8), choose_plan(100_000, 256, compact=True)
    assert scarce.is_compact and asked.is_compact
    assert "100 MB are free" in scarce.reason and "Little memory was asked for" in asked.reason
    assert (scarce.recall, asked.recall) == (0.98, 0.95)


@pytest.mark.parametrize(
    "kind, exact",
    [
        ("IDMap,Flat", True),
        ("IDMap2,SQfp16", True),
        ("IDMap,SQ8", False),
        ("IDMap,IVF16,Flat", False),
        ("IDMap,RR64,IVF16,RaBitQ,Refine(SQfp16)", False),
        ("IDMap,HNSW32,Flat", False),
    ],
)
def test_what_counts_as_exact(kind, exact):
    assert is_exact(kind) is exact
    assert (training_size(kind, 10**6) == 0) is exact


def test_an_experts_kind_maps_ids_and_stays():
    assert Plan.given("IVF64,SQ8") == Plan("IDMap,IVF64,SQ8", "This kind was asked for by name.", 0.98, False, True)


def test_lists_grow_with_the_root_of_the_count():
    assert [list_count(10**power) for power in (2, 4, 6, 8)] == [32, 512, 4096, 32768]
