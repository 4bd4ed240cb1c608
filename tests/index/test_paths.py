from pathlib import Path

import pytest

from index.paths import cache_folder


@pytest.mark.skipif("sys.platform != 'linux'")
def test_the_cache_is_where_the_user_says_else_where_the_standard_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fromage-lite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder() == Path("/home/ada/.cache/fromage-lite")
