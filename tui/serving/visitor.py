"""A visitor's process: the chat for a browser, with its agent in the model's process.

The web server starts it: python -m tui.serving.visitor SOCKET
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from fromage_lite.config import PLAYGROUND
from fromage_lite.errors import FromageError
from tui.app import ChatApp, run_app
from tui.pictures.image_mode import ImageMode, resolve_image_mode
from tui.serving.remote import SHARED, Connection, RemoteAgent, end_with
from tui.sessions.archive import Archive
from tui.settings import paths
from tui.settings.preferences import Preferences


def make_app(connection: Connection) -> ChatApp:
    """The chat app of one visitor, with the options that the server sent."""
    options: Mapping[str, Any] = connection.hello["options"]
    preferences = Preferences.read(paths.config_file())
    settings = dataclasses.replace(preferences.settings, **options.get("settings", {}))
    # The terminal in the page supports neither Kitty's protocol nor Sixel.
    wanted = ImageMode.NONE if preferences.images == ImageMode.NONE else ImageMode.HALFBLOCK
    app = ChatApp(
        lambda progress: RemoteAgent(connection),
        resolve_image_mode(wanted),
        settings,
        preferences=preferences,
        state=paths.state_dir(),
        model=str(options.get("model", PLAYGROUND)),
        archive=Archive(paths.sessions_file(), save=bool(options.get("save", True))),
    )
    app.conversation.fixed = SHARED
    return app


def main() -> int:
    """Runs the chat until the visitor leaves; returns the exit code."""
    try:
        end_with(sys.argv[1])
        app = make_app(Connection(sys.argv[1]))
    except FromageError as error:
        print(error, file=sys.stderr)  # noqa: T201  into the log of `serve`
        return 2
    try:
        return run_app(app)
    except BrokenPipeError:  # the web server was killed
        return 1


if __name__ == "__main__":
    sys.exit(main())
