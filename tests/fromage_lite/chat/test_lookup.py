"""Searches that filter, fold, sort and leave out what fits less; what finds the pictures is a list."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.lookup import date_of
from fromage_lite.errors import ConfigError
from index.pictures.facts import Facts
from index.search.hits import Hit
from tests.fromage_lite.fakes import ListedPictures


class Album(ListedPictures):
    """Pictures 0, 1, 2, … whose facts are told; it notes how many were asked for."""

    def __init__(self, facts: list[Facts]) -> None:
        super().__init__(0)
        self.hits = [Hit(i, 0.9 - i / 100, f"/pictures/{i}.png", f"picture {i}") for i in range(len(facts))]
        self.known, self.asked = facts, []

    def search(self, query_embeds, k, exclude=(), among=None):
        self.asked.append(k)
        return super().search(query_embeds, k, exclude, among)

    def select(self, filters):
        return np.array([hit.id for hit in self.hits if filters.folder in hit.source], dtype=np.int64)

    def facts(self, ids):
        return [self.known[id] for id in ids]

    def features(self, ids):
        return None


def album(*hashes: int) -> Album:
    """Pictures with these hashes, of which two are alike if they are equal."""
    return Album([Facts(phash=(2**15 - 1) << (15 * value)) for value in hashes])


def ids(hits):
    return [hit.id for hit in hits]


def test_as_many_different_pictures_as_are_asked_for(tiny_model):
    index = album(*[0] * 40, 1, 1, 2)
    agent = Agent(tiny_model, index)
    found = agent.look_up("a cat", 3)
    assert ids(found) == [0, 40, 42] and [len(hit.alike) for hit in found] == [39, 1, 0]
    assert ids(agent.look_up("a cat", 4)) == [0, 40, 42], "there are no more"
    assert ids(agent.look_up("a cat all:yes", 3)) == [0, 1, 2]
    assert ids(agent.look_up("a cat top:2", 30)) == [0, 40]


def test_what_is_excluded_is_neither_found_nor_alike(tiny_model):
    found = Agent(tiny_model, album(0, 0, 1, 1)).look_up("a cat", 5, exclude=[0, 3])
    assert ids(found) == [1, 2] and not any(hit.alike for hit in found)


def test_filters_hold_before_anything_is_counted(tiny_model):
    agent = Agent(tiny_model, album(*range(4), *range(4)))
    agent.index.hits = [replace(hit, source=f"/{'b' if hit.id > 4 else 'a'}/{hit.id}") for hit in agent.index.hits]
    assert ids(agent.look_up("a cat folder:/b/", 2)) == [5, 6]
    assert agent.look_up("a cat folder:/nowhere/", 2) == []


def test_thresholds(tiny_model, monkeypatch):
    agent = Agent(tiny_model, album(0, 1, 2, 3))
    assert ids(agent.look_up("a cat min-score:0.875", 5)) == [0, 1, 2]
    with pytest.raises(ConfigError, match="threshold"):
        agent.look_up("a cat min-score:auto", 5)
    monkeypatch.setattr(tiny_model, "config", replace(tiny_model.config, match_score=0.885))
    assert ids(agent.look_up("a cat min-score:auto", 5)) == [0, 1]


def test_sorted_by_date_the_best_ones_are_shown_newest_first(tiny_model):
    at_noon = int(datetime(2024, 5, 3, 12).timestamp()) * 10**9
    dates = [
        Facts(taken="2020-01-01T00:00:00+05:00"),
        Facts(),
        Facts(taken="2024-05-03T12:00:01"),
        Facts(modified_ns=at_noon),
        Facts(taken="2030-01-01T00:00:00"),
    ]
    agent = Agent(tiny_model, Album(dates))
    assert ids(agent.look_up("a cat sort:date", 4)) == [2, 3, 0, 1]
    assert date_of(dates[3]) == "2024-05-03T12:00:00" and date_of(dates[0]) == "2020-01-01T00:00:00"


def test_an_index_without_facts_can_be_searched_but_not_filtered(tiny_model):
    agent = Agent(tiny_model, ListedPictures())
    assert ids(agent.look_up("a cat", 3)) == [0, 1, 2]
    for typed in ("a cat folder:x", "a cat sort:date"):
        with pytest.raises(ConfigError, match="index"):
            agent.look_up(typed, 3)
    assert agent.facts(agent.look_up("a cat", 1)) == [Facts()]


def test_one_search_is_enough_where_little_is_folded(tiny_model):
    index = album(0, 0, 1, 2, 3)
    Agent(tiny_model, index).look_up("a cat", 3)
    assert len(index.asked) == 1


def test_an_index_that_is_replaced_meanwhile_knows_its_pictures(tiny_model):
    """A builder at work: the search opens what is there by then, with a picture that the earlier index lacked."""
    agent = Agent(tiny_model, album(0, 1))
    later = [album(0, 1, 2)]
    agent.engine.reopened = lambda: later.pop() if later else None
    assert ids(agent.look_up("a cat folder:pictures sort:date", 5)) == [0, 1]
    agent = Agent(tiny_model, album(0, 1))
    later = [album(0, 1, 2)]
    agent.engine.reopened = lambda: later.pop() if later else None
    assert ids(agent.look_up("a cat", 5)) == [0, 1, 2]
