"""An index is kept up to date while its pictures are watched."""

from __future__ import annotations

import pytest

from fromage_lite.watching import keep_up
from index.building.build_report import BuildReport
from index.building.watching import Roots
from index.errors import InUseError, StoreError
from index.store.manifest import IndexManifest

MANIFEST = IndexManifest(1, 1, 1, "kind", "bridge", "encoder", "1")
SOME, NONE = {(1, "picture.jpg")}, set()


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    return folder


@pytest.fixture
def watched(album, tmp_path):
    """Watches: each element of `script` is a change, or a function that is called. What happened is its answer."""

    def watch(script, results):
        happened, results, script = [], iter(results), iter(script)

        def build():
            happened.append("build")
            result = next(results)
            if isinstance(result, Exception):
                raise result
            return BuildReport(added=result), MANIFEST

        def changes():
            for step in script:
                if callable(step):
                    step()
                else:
                    yield step
            raise KeyboardInterrupt

        def sleep(seconds):
            step = next(script)
            assert callable(step), "nobody waits here"
            step()

        with pytest.raises(KeyboardInterrupt):
            keep_up(
                build,
                Roots([album], tmp_path / "index"),
                built=lambda built: happened.append(built[0].added),
                notice=happened.append,
                changes=changes,
                sleep=sleep,
            )
        return happened

    return watch


def test_it_is_built_after_changes_and_told_where_something_changed(watched):
    assert watched([NONE, SOME, NONE, NONE, SOME, NONE], [0, 2, 0]) == ["build", "build", 2, "build"]


def test_another_builder_is_named_once_and_waited_for(watched):
    busy = InUseError("Another build is writing to x: process 7 on host.", "Wait for it, or use another folder.")
    said = watched([NONE, lambda: None, lambda: None], [busy, busy, 3])
    words = "Another build is writing to x: process 7 on host. It is waited for."
    assert said == ["build", words, "build", "build", 3]


def test_a_build_that_fails_is_told_and_the_next_change_builds_again(watched):
    said = watched([NONE, SOME, NONE], [StoreError("The disk is full.", "Make room."), 1])
    assert said == ["build", "The disk is full. Make room.", "build", 1]


def test_nothing_is_built_while_the_folder_is_not_there(watched, album, tmp_path):
    away = tmp_path / "away"

    def unmount():
        album.rename(away)

    script = [NONE, unmount, SOME, lambda: None, lambda: None, lambda: away.rename(album), NONE]
    said = watched(script, [0, 0])
    lost = f"{album} is not there, or its drive is not mounted: its pictures stay indexed until it is back."
    assert said == ["build", lost, f"{album} is back.", "build"]
