"""The words that the playground's LM knows: those of its training text, by which slips of the finger are told."""

from __future__ import annotations

import random
from collections import Counter

from fromage_lite.playground.pretraining.corpus import random_document
from fromage_lite.playground.text.document import Words
from fromage_lite.playground.text.talk import WORLD
from fromage_lite.playground.world.things import VOCABULARY
from fromage_lite.text.spelling import Spelling, words_in

_DOCUMENTS = 60_000
_OFTEN = 3  # the made-up names that the LM has learnt not to know are all but unique

OTHERS = """
    about african again airlines american angle applies automotive ballots bars batter battle beads beautifully
    been being believed believer bidding bids billing billions binding bitter boar boast boiling boom bore bother
    breaks breeds bride brooks bullying burner butt butter caller came campuses captures carries cast caste cattle
    certain chains cheesy chin clicks closing cock cold commute compete competed composer cons crow crowds danced
    danger daring described dessert difference differently differing donkey dont dose dressed during elegant
    farther feather filed finger fist forge forged forgot form former forth framing fried fringe gong grades
    graphs graves had happiest hare has hell her him his housed hungary inherent inland insider interact intercept
    interest internal interpret its kids kits lamb laps large late lending lighting litter lively locking lonely
    maintain man mathematical mats meat meet mine mistaken mode mole mono moth mounting mourning mule muse noting
    one ones our over pace painter pairing pals pants parenting peas persona petty philosopher placed planting
    pleas pleased pointer pointing policemen policies political precedent present presidency princes printed
    printing process quiet rabbi racket rally reed rocked root sail sake scar self shakes she shifts shooter shove
    sign socket sorts span spin spots stakes stat state status statute swamp taking tale teaches tens their them
    these those tied tier tire toad tow towels tracks trails traitor traits trans translated translator treasurer
    treasury tricks tried tuck under understood waited wasted welcomed were widow winger winner word yours
"""
"""Everyday words that the LM has never read and that are a slip away from one that it has."""


def spelling() -> Spelling:
    """What reads the words of the playground's users."""
    return Spelling(known_words(), words_in(OTHERS))


def known_words(documents: int = _DOCUMENTS, seed: int = 0) -> list[str]:
    """The words of the training text in lower case and in their order, strangers included; none is misspelt."""
    rng = random.Random(f"words {seed}")
    seen: Counter[str] = Counter()
    for _ in range(documents):
        pieces = random_document(rng, with_slips=False)
        seen.update(word for piece in pieces if isinstance(piece, Words) for word in words_in(piece.text))
    often = {word for word, count in seen.items() if count >= _OFTEN}
    return sorted(often.union(*map(words_in, [*VOCABULARY, *WORLD.strangers])))
