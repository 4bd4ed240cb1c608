"""What the welcome says, by what answers and with which pictures."""

from __future__ import annotations

from dataclasses import dataclass

from fromage_lite.config import PHOTOS, PLAYGROUND

SEES = {
    PHOTOS: "It knows a thousand kinds of things in photographs, and says so when it can't tell. F5 shows it a sample.",
    PLAYGROUND: "This is its playground, a small world of pictograms: photographs mean nothing to it. F5 shows it a "
    "sample.",
}
IMAGE = ("/image ", "your picture's path, then ask: what is in this picture?")
INDEX = ("/index ", "a folder of your pictures, to have them found by words")
REMEMBERS = "it remembers what you talk about"


@dataclass(frozen=True)
class Greeting:
    """What there is to greet with.

    Attributes:
        sees: the shipped model that answers; "" for another one.
        has_pictures: whether it has pictures to answer with.
        offer: what one key would index, in words; "" for nothing.
    """

    sees: str = ""
    has_pictures: bool = True
    offer: str = ""

    @property
    def world(self) -> str:
        """What it sees; "" where that isn't known."""
        return SEES.get(self.sees, "")

    @property
    def examples(self) -> tuple[tuple[str, str], ...]:
        """Things to try, each with what comes of it. One that ends in a blank wants a path."""
        if self.sees == PHOTOS and not self.has_pictures:
            return IMAGE, INDEX
        if self.sees == PHOTOS:
            return ("show me a dog", "it answers with pictures of yours"), ("another one", REMEMBERS), IMAGE
        return ("show me a cat on the beach", "it answers with a picture"), ("and in the snow?", REMEMBERS), IMAGE
