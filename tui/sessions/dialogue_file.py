"""The dialogue of `ask --dialogue FILE`: a conversation in one JSON file, of the form that the chat exports."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.chat.events import Statistics
from index.errors import reason
from index.files import write_bytes
from index.images import sanitize
from tui.sessions.export import session_data
from tui.sessions.importing import read_session
from tui.sessions.records import SavedTurn, Session, SessionError, SessionInfo, absolute, title_of
from tui.sessions.restore import known_ids, turns_for

if TYPE_CHECKING:
    from fromage_lite.chat.protocol import ChatAgent, ChatDialogue


class DialogueFile:
    """A file that has a conversation, or will have one.

    Attributes:
        path: the file.
        session: what was said so far.
    """

    def __init__(self, path: Path, session: Session) -> None:
        self.path, self.session = path, session

    @classmethod
    def read(cls, path: Path) -> DialogueFile:
        """The conversation of a file; a new one if the file is not there, or empty.

        Raises:
            SessionError: it can't be read, holds something else, or could not be written back.
        """
        path = path.expanduser()
        name = sanitize(str(path))
        try:
            if path.exists() and (not path.is_file() or path.stat().st_size):
                # A reply that never ended is nothing to go on from.
                session = read_session(path)
                return cls(path, replace(session, turns=tuple(t for t in session.turns if t.reason is not None)))
            if not path.absolute().parent.is_dir():
                raise SessionError(f"There is no folder {sanitize(str(path.absolute().parent))}.", "Make it first.")
        except (OSError, ValueError) as error:
            raise SessionError(
                f"{name} can't be read: {reason(error)}.", "Name another file: --dialogue FILE."
            ) from error
        return cls(path, Session(SessionInfo(0, "", time.time(), time.time())))

    def resume(self, agent: ChatAgent, dialogue: ChatDialogue) -> None:
        """Gives a dialogue of this agent the turns of the file; the model reads them at the next reply."""
        dialogue.turns = turns_for(agent, [turn.as_turn for turn in self.session.turns])
        dialogue.exclude(known_ids(agent, self.session.hidden))
        index = agent.index_path.name if agent.index_path is not None else ""
        self.session = replace(self.session, info=replace(self.session.info, model=agent.model_name, index=index))

    def add(self, dialogue: ChatDialogue, statistics: Statistics | None = None) -> None:
        """Writes the file with the last turn of the dialogue; whole or not at all.

        Raises:
            SessionError: it can't be written.
        """
        turn, now = dialogue.turns[-1], time.time()
        saved = SavedTurn(absolute(turn.message), turn.reply, turn.reason, now, statistics)
        info = replace(
            self.session.info,
            title=self.session.info.title or title_of(turn.message),
            updated=now,
            turns=len(self.session.turns) + 1,
        )
        self.session = replace(self.session, info=info, turns=(*self.session.turns, saved))
        data = json.dumps(session_data(self.session), indent=2) + "\n"
        path = self.path.resolve()  # a link stays one
        try:
            # What was said is nobody else's business, unless the user has made it so.
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
            write_bytes(path, data.encode(), mode=mode)
        except OSError as error:
            raise SessionError(
                f"{sanitize(str(self.path))} can't be written: {reason(error)}.", "Name another file."
            ) from error
