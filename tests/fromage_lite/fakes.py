"""What the dialogue's tests share: a retriever of listed pictures, and a language model that says what a script says.
Its cache, its embeddings and its stop rules stay the real ones of the tiny model."""

from __future__ import annotations

import numpy as np

from fromage_lite.chat.events import TextDelta
from fromage_lite.model.decoding import stream
from fromage_lite.text.marks import MARKED_RET, RET
from index.errors import StoreError
from index.search.hits import Hit


class ListedPictures:
    """Retrieves pictures 0, 1, 2, … in this order, whatever the query is; keeps the queries."""

    def __init__(self, count: int = 5) -> None:
        self.hits = [Hit(i, 0.9 - i / 10, f"/pictures/{i}.png", f"picture number {i}") for i in range(count)]
        self.queries: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.hits)

    def search(self, query_embeds, k, exclude=(), among=None):
        assert query_embeds.dtype == np.float32
        self.queries += list(query_embeds)
        allowed = [hit for hit in self.hits if hit.id not in exclude and (among is None or hit.id in among)]
        return [allowed[:k] for _ in query_embeds]

    def row(self, id: int) -> tuple[str, str]:
        for hit in self.hits:
            if hit.id == id:
                return hit.source, hit.caption
        raise StoreError(f"There is no picture {id}.")

    def thumbnail(self, id: int) -> bytes:
        return b"thumbnail of %d" % id


class Script:
    """Replies of an agent, in turn. `[RET]` in a reply is said only where the policy allows it.

    Attributes:
        logits: what the model itself gave at the first token of every reply.
    """

    def __init__(self, *agents) -> None:
        self.model = agents[0].model
        self.replies: list[list] = []
        self.current: list = []
        self.logits: list[np.ndarray] = []
        for agent in agents:
            agent.engine.stream = self.stream

    def stream(self, *args, **options):
        """The tokens of the next reply."""
        self.current, self.begun = self.replies.pop(0), False
        return stream(*args, choose=self.choose, **options)

    def say(self, *replies: str | Exception) -> None:
        """Adds replies: a text, ended by a line break as the model would; or an error, raised after one word."""
        for reply in replies:
            if isinstance(reply, str):
                self.replies.append(self.model.language.tokenize(as_said(f" {reply}\n")))
            else:
                self.replies.append([*self.model.language.tokenize(" well"), reply])

    def choose(self, logits, temperature=0.0, top_p=1.0, generator=None) -> int:
        if not self.begun:
            self.logits.append(logits.float().numpy())
            self.begun = True
        while True:
            step = self.current.pop(0)
            if isinstance(step, BaseException):
                raise step
            if logits[step] > float("-inf"):
                return step


def as_said(text: str) -> str:
    """A text in which `[RET]` is the token, not five characters."""
    return text.replace(RET, MARKED_RET)


def next_logits(model, text: str) -> np.ndarray:
    """What the model gives after a text, read in one pass without any cache."""
    import torch

    with torch.no_grad():
        hidden = model.language.forward(model.prompt_embeds([as_said(text)])).hidden[:, -1]
        return model.language.logits(hidden, model.bridge.output_row)[0].float().numpy()


def hear(events):
    """All events of a reply, and its text as streamed."""
    events = list(events)
    print(events[-1])  # shown when the test fails
    return events, "".join(event.text for event in events if isinstance(event, TextDelta))


def assert_reads(script, reply: int, text: str) -> None:
    """The model's own first logits of a reply are those of the whole text, read anew."""
    expected = next_logits(script.model, text)
    seen = np.isfinite(script.logits[reply])
    np.testing.assert_allclose(script.logits[reply][seen], expected[seen], rtol=1e-3, atol=1e-3)
