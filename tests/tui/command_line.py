"""Commands as a user types them."""

from __future__ import annotations

from typer.testing import CliRunner

from tui.cli.main import app


def call(*arguments: str, stdin: str | bytes | None = None):
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    assert "Traceback" not in result.output
    return result


def assert_refused(result, *words: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr that holds the words."""
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr
