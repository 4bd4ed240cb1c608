"""Right answers as the official evaluation of VQA v2 counts them.

The rules and the table of contractions are those of GT-Vision-Lab/VQA, Copyright (c) 2014, Aishwarya Agrawal, under the
licence in `LICENSE.vqa` beside this file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Pairs that can occur: in the official table some have capitals, which a lower-cased answer never has.
_CONTRACTIONS = dict(
    pair.split()
    for pair in """
    aint ain't | arent aren't | cant can't | couldve could've | couldnt couldn't | couldn'tve couldn't've |
    couldnt've couldn't've | didnt didn't | doesnt doesn't | dont don't | hadnt hadn't | hadnt've hadn't've |
    hadn'tve hadn't've | hasnt hasn't | havent haven't | hed he'd | hed've he'd've | he'dve he'd've | hes he's |
    howd how'd | howll how'll | hows how's | isnt isn't | itd it'd | itd've it'd've | it'dve it'd've | itll it'll |
    maam ma'am | mightnt mightn't | mightnt've mightn't've | mightn'tve mightn't've | mightve might've | mustnt
    mustn't | mustve must've | neednt needn't | notve not've | oclock o'clock | oughtnt oughtn't | ow's'at 'ow's'at
    | 'ows'at 'ow's'at | 'ow'sat 'ow's'at | shant shan't | shed've she'd've | she'dve she'd've | shouldve should've
    | shouldnt shouldn't | shouldnt've shouldn't've | shouldn'tve shouldn't've | somebody'd somebodyd | somebodyd've
    somebody'd've | somebody'dve somebody'd've | somebodyll somebody'll | somebodys somebody's | someoned someone'd
    | someoned've someone'd've | someone'dve someone'd've | someonell someone'll | someones someone's | somethingd
    something'd | somethingd've something'd've | something'dve something'd've | somethingll something'll | thats
    that's | thered there'd | thered've there'd've | there'dve there'd've | therere there're | theres there's |
    theyd they'd | theyd've they'd've | they'dve they'd've | theyll they'll | theyre they're | theyve they've | twas
    'twas | wasnt wasn't | wed've we'd've | we'dve we'd've | weve we've | werent weren't | whatll what'll | whatre
    what're | whats what's | whatve what've | whens when's | whered where'd | wheres where's | whereve where've |
    whod who'd | whod've who'd've | who'dve who'd've | wholl who'll | whos who's | whove who've | whyll why'll |
    whyre why're | whys why's | wont won't | wouldve would've | wouldnt wouldn't | wouldnt've wouldn't've |
    wouldn'tve wouldn't've | yall y'all | yall'll y'all'll | y'allll y'all'll | yall'd've y'all'd've | y'alld've
    y'all'd've | y'all'dve y'all'd've | youd you'd | youd've you'd've | you'dve you'd've | youll you'll | youre
    you're | youve you've
""".split("|")
)
_NUMBERS = {word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_NUMBERS["none"] = "0"
_ARTICLES = frozenset({"a", "an", "the"})
_PUNCTUATION = tuple(';/[]"{}()=+\\_-><@`,?!')
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_ENOUGH = 3  # annotators who agree


def normal(answer: str) -> str:
    """An answer without punctuation and articles, in lower case, numbers as digits, contractions with apostrophes."""
    text = answer
    drops_all = _COMMA_IN_NUMBER.search(answer) is not None
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in answer or f" {mark}" in answer
        text = text.replace(mark, "" if drops_all or beside_blank else " ")
    words = [_NUMBERS.get(word, word) for word in _FULL_STOP.sub("", text).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(reply: str, answers: Sequence[str]) -> float:
    """How right a reply is, from 0 to 1.

    With several annotators: the mean over them of whether three of the others agree with the reply (two count as 2/3).
    As in the official code, answers are made alike (`normal`) only where the annotators differ. With one answer, as in
    GQA: whether both are alike.

    Args:
        reply: the answer alone, without a full stop at its end (`answer_in`).
        answers: of all annotators, at least one.
    """
    if len(answers) == 1:
        return float(normal(reply) == normal(answers[0]))
    said, known = reply, list(answers)
    if len(set(known)) > 1:
        said, known = normal(reply), [normal(answer) for answer in known]
    agreeing = [answer == said for answer in known]
    total = sum(agreeing)
    return sum(min(1.0, (total - own) / _ENOUGH) for own in agreeing) / len(known)


def answer_in(reply: str) -> str:
    """The answer that a reply gives: its first line, without a full stop at the end."""
    lines = reply.strip().splitlines()
    return lines[0].strip().rstrip(".").strip() if lines else ""
