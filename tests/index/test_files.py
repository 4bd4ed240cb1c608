"""The atomic writer, and what an exception says in one line."""

import os
import stat

import pytest

from index.errors import StoreError, described, reason
from index.files import replacing, write_bytes


def test_a_file_is_written_whole_with_its_folder_and_mode(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    write_bytes(path, b"one")
    assert path.read_bytes() == b"one" and stat.S_IMODE(path.stat().st_mode) == 0o644
    write_bytes(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*path.parent.iterdir()] == [path]


def test_what_was_there_stays_when_writing_fails(tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(b"precious")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(b"half of the new c")
        raise ZeroDivisionError
    assert path.read_bytes() == b"precious" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_disk_that_fails_costs_nothing(tmp_path, monkeypatch, failing):
    path = tmp_path / "file.txt"
    path.write_bytes(b"precious")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    if failing == "fsync":
        monkeypatch.setattr("os.fsync", fail)
    else:
        monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"precious" and [*tmp_path.iterdir()] == [path]


def test_file_and_folder_are_synced_in_that_order(tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, (tmp_path / "file.txt").exists()))
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    write_bytes(tmp_path / "file.txt", b"x")
    assert synced == [(False, False), (True, True)], "the content before the rename, the folder after it"


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("n" * 255)
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize(
    "error, words",
    [
        (FileNotFoundError(2, "No such file or directory", "/a/b"), "No such file or directory"),
        (OSError("a plain text"), "a plain text"),
        (ValueError("first.\nsecond"), "first"),
        (ValueError("It failed."), "It failed"),
        (RuntimeError("Error(s) in loading:\n\tMissing key(s): a, b."), "Error(s) in loading: Missing key(s): a, b"),
        (EOFError(), "EOFError"),
        (ValueError("...\n"), "ValueError"),
        (ValueError("x" * 1000), "x" * 300),
        (StoreError("It is gone.", "Make it."), "It is gone. Make it"),
    ],
)
def test_the_reason_is_one_line_without_a_full_stop(error, words):
    assert reason(error) == words


def test_an_unforeseen_exception_is_named():
    assert described(KeyError("turn")) == "KeyError: 'turn'"
    assert described(EOFError()) == "EOFError"
    assert described(ValueError("bad\nluck.")) == "ValueError: bad luck"
