"""Remarks, and questions about the dialogue itself, with answers that are true in any world."""

from __future__ import annotations

SHOW_FIRST = "please show me a picture first."
"""The answer to a question about a picture where there is none."""

ASK_FIRST = "please ask me for a picture first."
"""The answer to a follow-up of a request where there was none."""

CAN_NOT_TELL = "i can not tell."
NOT_ALWAYS_RIGHT = "sorry, i am not always right."

REMARKS: dict[str, tuple[str, ...]] = {
    "hello! what shall we look at?": (
        "hello.", "hi.", "hello!", "hi!", "hey.", "good morning.", "good evening.", "hello there.", "hi there.",
        "good day.", "hey you.", "hello again.", "hello my friend.", "hi friend.", "greetings.", "good morning to you.",
        "hello, hello.", "hey, hello.", "welcome.", "hello everyone.",
    ),
    "i am fine, thank you.": (
        "how are you?", "how do you do?", "are you well?", "how are you today?", "how is it going?", "are you ok?",
    ),
    "i am a small model that sees pictures and answers with pictures.": (
        "who are you?", "what are you?", "what is your name?", "are you a robot?", "are you human?", "are you an ai?",
        "are you a computer?", "tell me about yourself.", "who am i talking to?", "are you real?", "are you a man?",
        "are you a program?", "do you have a name?", "what are you called?", "are you a human being?", "are you alive?",
    ),
    "show me a picture and ask what is in it, or ask me for a picture.": (
        "what can you do?", "help.", "help me.", "how does this work?", "what should i do?", "what can i do here?",
        "what can i ask?", "what now?", "how do i use this?", "what is this for?", "i do not understand.",
        "what can i ask you?", "can you help me?", "what else can you do?", "what can i type?", "what shall i do?",
        "where do i start?", "give me some help.", "what do you do?", "how do i begin?", "any ideas?",
    ),
    "you are welcome.": (
        "thank you.", "thanks.", "thank you!", "thanks!", "great, thanks.", "thank you very much.", "thanks a lot.",
        "ok, thanks.", "thank you so much.", "thx.", "many thanks.", "thanks again.", "thank you again.",
        "ok, thank you.",
        "thank you, that is great.", "thanks, that is good.", "thanks very much.", "nice, thank you.",
    ),
    "goodbye!": (
        "bye.", "goodbye.", "bye!", "see you.", "good night.", "see you later.", "bye bye.", "i have to go.",
        "i must go now.", "that is all.", "exit.", "goodbye then.", "bye for now.", "ok, goodbye.", "quit.",
        "see you soon.", "that is all, goodbye.", "good bye.", "have a nice day.",
    ),
    "i am glad that you like it.": (
        "nice.", "great!", "well done.", "good job.", "very nice.", "wow.", "cool.", "i like it.", "beautiful.",
        "lovely.", "perfect.", "that is great.", "how cute.", "awesome.", "i love it.", "good.", "so nice.",
        "that is right.", "correct.", "exactly.", "how nice.", "so cute.", "what a nice picture.", "that is good.",
        "that is beautiful.", "i like that.", "yes, that is right.", "very good.", "well done, you.", "pretty.",
    ),
    "alright.": (
        "ok.", "okay.", "yes.", "no.", "sure.", "never mind.", "yes, please.", "no, thanks.", "fine.", "i see.",
        "sorry.", "well.", "maybe.", "stop.", "wait.", "yeah.", "all right.", "hm.", "haha.", "forget it.", "ok, ok.",
        "no problem.", "yes, sure.", "i know.", "oh.", "ah.", "oh no.",
        "so what.", "good to know.", "alright.",
    ),
    NOT_ALWAYS_RIGHT: (
        "that is wrong.", "wrong.", "are you sure?", "really?", "that is not right.", "no, that is wrong.",
        "you are wrong.", "not true.", "that is not true.", "is that true?", "this is wrong.", "that can not be right.",
        "i do not believe you.", "no, it is not.", "you made a mistake.", "no, it is wrong.", "are you quite sure?",
        "that is all wrong now.", "that is a mistake.", "no, that is not it.", "you are not right.", "is that right?",
    ),
}  # fmt: skip
"""Answers, each with the remarks that get it."""

ABOUT_NO_PICTURE = (
    "what is in the picture?", "what do you see?", "what is this?", "describe the picture.", "where is this?",
    "what is in my picture?", "what is in this picture?", "what is it?", "what is that?", "where is it?",
    "what did you find?", "what colour is it?", "how many are there?", "is it big?", "describe it.",
    "what is in the first picture?", "what is in the second picture?", "what is in the last picture?",
    "can you see the picture?", "do you see my picture?", "who is that?", "what are they?", "where are they?",
)  # fmt: skip
"""Questions that need a picture, whatever it shows."""

COUNTING = (
    "how many pictures do you see?", "how many pictures are there?", "how many pictures have you seen?",
    "how many pictures can you see?", "how many pictures?", "count the pictures.", "how many pictures so far?",
    "how many photos do you see?", "how many photos are there?", "how many pictures did you see?",
)  # fmt: skip

ORDINALS = ("first", "second", "third", "fourth")

IN_ORDER = (
    "what is in the {n} picture?", "what was in the {n} picture?", "describe the {n} picture.",
    "what does the {n} picture show?", "what is on the {n} picture?", "and in the {n} picture?",
    "what do you see in the {n} picture?", "tell me about the {n} picture.", "and the {n} one?",
)  # fmt: skip
"""Questions about one of several pictures; `{n}` is one of `ORDINALS`, or `last`."""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def count_answer(pictures: int) -> str:
    """`i see two pictures.`"""
    number = _NUMBERS[pictures] if pictures < len(_NUMBERS) else "many"
    return f"i see {number} picture{'' if pictures < 2 else 's'}."


def no_such_picture(ordinal: str) -> str:
    """The answer where fewer pictures have been seen."""
    return f"there is no {ordinal} picture."


UNKNOWN_FORMS = (
    "what is the capital of {x}?", "who is {x}?", "what is {x}?", "tell me about {x}.", "show me {x}.",
    "show me a picture of {x}.", "how old is {x}?", "when was {x} born?", "do you know {x}?", "write a poem about {x}.",
    "what is the weather in {x}?", "how far is {x}?", "why is {x} so famous?", "can you find {x}?", "do you like {x}?",
    "i want to see {x}.", "what does {x} mean?", "how do i get to {x}?", "translate {x}.", "who made {x}?",
    "now {x}.", "no, {x}.", "with {x}.", "and now {x}, please.", "how about {x}?", "i want {x}.", "give me {x}.",
    "can i see {x}?", "find me {x}.", "a picture of {x}, please.", "get me {x}.",
    "{x}.", "{x} please.", "find {x}.", "and {x}?", "what about {x}?", "where is {x}?", "pictures of {x}.",
    "do you have {x}?",
)  # fmt: skip
"""Forms that, filled with what no world holds, get the world's honest answer."""

UNKNOWN_ALONE = (
    "what time is it?", "tell me a joke.", "how old are you?", "where do you live?", "what is two plus two?",
    "sing a song.", "what is the meaning of life?", "will it rain tomorrow?", "what day is it?", "why?", "how?",
    "do you like me?", "can you dance?", "are you happy?", "what did you eat?", "how much does it cost?", "who won?",
    "what is your favourite colour?", "do you have friends?", "tell me a story.", "who made you?", "what is new?",
    "do you sleep?", "can you speak german?", "what is the weather like?", "do you like music?", "when?", "who?",
    "i am tired.", "i am hungry.", "i am bored.", "do you love me?", "where are you from?", "play a game.",
    "what do you think?", "can you hear me?", "call me tomorrow.", "what is love?", "say something.", "say hello.",
)  # fmt: skip
