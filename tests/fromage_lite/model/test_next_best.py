"""Beyond the pictures shown: the next best, the gone and the unwanted ones."""

from __future__ import annotations

import json

import pytest

from fromage_lite.chat.dialogue import Dialogue
from fromage_lite.chat.events import ImagesFound
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import DataError, StoreError
from index.search.hits import Hit
from tests.fromage_lite.fakes import ListedPictures, hear


def found(events) -> list[ImagesFound]:
    return [event for event in events if isinstance(event, ImagesFound)]


def ids(hits) -> list[int]:
    return [hit.id for hit in hits]


def test_the_next_best_come_along_and_do_not_count_as_shown(agent, script):
    script.say("a[RET]", "b[RET]")
    dialogue = agent.dialogue()
    (first,) = found(hear(dialogue.reply("one"))[0])
    assert (ids(first.hits), ids(first.more)) == ([0], [1, 2, 3, 4])
    assert dialogue.shown == {0} and dialogue.turns[0].hits == first.hits
    (second,) = found(hear(dialogue.reply("two"))[0])
    assert (ids(second.hits), ids(second.more)) == ([1], [2, 3, 4])
    assert len(agent.index.queries) == 2, "one search a [RET]"


def test_the_next_best_obey_the_threshold_too(agent, script):
    script.say("a[RET]")
    (event,) = found(hear(agent.dialogue(GenerationSettings(score_threshold=0.65)).reply("one"))[0])
    assert (ids(event.hits), ids(event.more)) == ([0], [1, 2])


def test_an_excluded_picture_is_not_found_again_even_after_saving(agent, script):
    script.say("a[RET]", "b[RET]", "c[RET]", "d[RET]")
    dialogue = agent.dialogue()
    dialogue.exclude([0, 2])
    (event,) = found(hear(dialogue.reply("one"))[0])
    assert (ids(event.hits), ids(event.more)) == ([1], [3, 4])
    again = Dialogue.from_dict(agent.engine, json.loads(json.dumps(dialogue.to_dict())))
    (event,) = found(hear(again.reply("two"))[0])
    assert ids(event.hits) == [3]
    again.include([2])
    (event,) = found(hear(again.reply("three"))[0])
    assert ids(event.hits) == [2]
    again.reset()
    (event,) = found(hear(again.reply("four"))[0])
    assert ids(event.hits) == [0]


def test_a_dialogue_saved_without_exclusions_is_read_and_a_broken_one_is_refused(agent):
    data = agent.dialogue().to_dict()
    del data["excluded"]
    assert Dialogue.from_dict(agent.engine, data).excluded == set()
    with pytest.raises(DataError):
        Dialogue.from_dict(agent.engine, {**data, "excluded": ["a"]})


class Gone(ListedPictures):
    """Keeps thumbnails of some pictures only."""

    def __init__(self, *kept: int) -> None:
        super().__init__()
        self.kept = kept

    def thumbnail(self, id: int) -> bytes:
        if id not in self.kept:
            raise StoreError("The index keeps no small pictures.")
        return b"small"


def test_a_picture_that_is_gone_makes_room_for_the_next(agent, script, tmp_path):
    script.say("a[RET]")
    agent.engine.index = Gone(3, 4)
    (event,) = found(hear(agent.dialogue().reply("one"))[0])
    assert (ids(event.hits), ids(event.more)) == ([3], [4])


def test_if_every_picture_is_gone_the_best_is_named_all_the_same(agent, script):
    script.say("a[RET]")
    agent.engine.index = Gone()
    (event,) = found(hear(agent.dialogue().reply("one"))[0])
    assert ids(event.hits) == [0] and event.hits[0].gone


def test_a_picture_is_at_hand_as_its_file_or_as_a_small_copy_of_it(agent, tmp_path):
    (there := tmp_path / "there.png").touch()
    agent.engine.index = Gone(2)
    sources = {0: str(there), 1: str(tmp_path / "lost.png"), 2: str(tmp_path / "kept.png"), 3: "https://example.org/3"}
    assert [agent.is_at_hand(Hit(id, 0.5, source)) for id, source in sources.items()] == [True, False, True, False]
