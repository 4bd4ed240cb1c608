"""The app with the real agent and dialogue, on tiny models whose words are scripted."""

from __future__ import annotations

from fromage_lite.chat.agent import Agent
from tests.fromage_lite.fakes import ListedPictures, Script
from tests.tui.driver import chatting


async def test_a_whole_conversation(tiny_model, pictures, tmp_path) -> None:
    path = tmp_path / "red.png"
    pictures[0].save(path)
    agent = Agent(tiny_model, ListedPictures())
    replies = ("a red thing.", "here you are.[RET] anything else?", "and another.[RET]", "here you are.[RET] more?")
    Script(agent).say(*replies)
    async with chatting(load=lambda progress: agent, size=(80, 50)) as chat:
        dialogue = chat.app.conversation.dialogue
        assert dialogue is not None
        await chat.say(f"{path} what is this?")
        assert chat.replies == ["a red thing."]
        await chat.say("show me another.")
        assert chat.replies[1] == "here you are. anything else?"
        await chat.say("and one more?")
        shown = [card.picture.path for card in chat.cards[1:]]
        assert len(set(shown)) == 2  # a picture is shown once
        assert len(dialogue.turns) == 3
        await chat.type("/undo")
        assert len(dialogue.turns) == 2 and len(chat.cards) == 2
        await chat.type("/retry")
        await chat.until(lambda: chat.replies[1] == "here you are. more?")
        await chat.ready()
        assert not chat.notes
        await chat.type("/reset")
        assert dialogue.turns == []


async def test_bad_input_reaches_the_real_dialogue_without_harm(tiny_model, pictures, tmp_path) -> None:
    path = tmp_path / "gone.png"
    pictures[0].save(path)
    agent = Agent(tiny_model)
    Script(agent).say("fine.")
    async with chatting(load=lambda progress: agent) as chat:
        assert "no pictures" in chat.text
        await chat.say("word " * 20_000)
        assert chat.screen.failed and "too long" in chat.notes[-1]
        chat.screen.composer.prompt.fill("")
        await chat.type("/find cats")
        await chat.until(lambda: any("no index" in note for note in chat.notes))
        await chat.type(f"/image {path}")
        await chat.until(lambda: chat.screen.composer.pictures)
        path.unlink()  # after it was attached
        await chat.say("what is this?")
        assert chat.screen.failed and chat.typed == "what is this?" and len(chat.screen.composer.pictures) == 1
        chat.screen.composer.pictures = ()
        await chat.say("well?")
        assert chat.replies == ["fine."]
