"""The chat in a browser, without one: the model's process, the visitors' side of it, and the web server."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from fromage_lite.chat.events import Done, Failed, ImagesFound, Notice, RetTrace, TextDelta
from fromage_lite.chat.request import SearchRequest, parse_request
from fromage_lite.chat.search import Term
from fromage_lite.chat.turns import Turn
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError, FromageError
from fromage_lite.model.inspection import PatchGrid
from fromage_lite.text.message import ImageSegment
from index.errors import ImageError
from index.search.hits import Hit
from tests.tui.command_line import assert_refused, call
from tests.tui.driver import chatting
from tests.tui.fake_agent import STATISTICS, FakeAgent, Gate, hit, picture_bytes
from tui.agent_thread import AgentThread
from tui.pictures.image_mode import ImageMode
from tui.serving.model_server import ModelServer
from tui.serving.remote import Connection, RemoteAgent
from tui.serving.serve import _command, address, bind
from tui.serving.site import Site, is_own_name
from tui.serving.visitor import make_app

ROOT = Path(__file__).parents[3]
SETTINGS = GenerationSettings(temperature=0.5)


@asynccontextmanager
async def serving(agent, **options):
    """The address of a model's process with this agent. A short one: a socket's path may not be long."""
    thread, before = AgentThread(), set(connections)
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        path = Path(folder) / "model"
        async with ModelServer(agent, thread, options).listening(path):
            yield path
            for connection in connections - before:
                connection.close()
    thread.stop()


connections: set[Connection] = set()


def connect(path) -> Connection:
    connections.add(connection := Connection(path))
    return connection


async def visit(path) -> RemoteAgent:
    return RemoteAgent(await asyncio.to_thread(connect, path))


async def say(dialogue, *message, cancel=None) -> list:
    return await asyncio.to_thread(lambda: list(dialogue.reply(message, cancel=cancel)))


# --- a dialogue with the model's process ---


async def test_the_events_of_a_reply_come_as_they_are_in_one_process():
    trace = RetTrace((0.1, 0.9), ("hello", "[RET]"), ())
    found = ImagesFound((hit(1, "a cat \u202e", 1 / 3),), (hit(2),))
    agent = FakeAgent([" hello", found, Notice("mind"), trace])
    async with serving(agent) as path:
        dialogue = await asyncio.to_thread((await visit(path)).dialogue, SETTINGS)
        events = await say(dialogue, "look", ImageSegment("/a b.png"))
    assert events == [TextDelta(" hello"), found, Notice("mind"), trace, STATISTICS, Done("hello", "stop")]
    assert agent.messages == [("look", ImageSegment("/a b.png"))]
    assert dialogue.turns == [Turn(("look", ImageSegment("/a b.png")), (" hello", found.hits), "stop")]
    assert agent.last.settings == SETTINGS


async def test_what_the_agent_is_crosses_over():
    async with serving(FakeAgent(index_size=7), settings={}) as path:
        agent = await visit(path)
    assert (agent.model_name, agent.device, agent.index_size, agent.index_path) == ("playground", "cpu", 7, None)


async def test_pictures_are_counted_where_the_model_is():
    agent = FakeAgent()
    agent.room = 5
    async with serving(agent) as path:
        dialogue = await asyncio.to_thread((await visit(path)).dialogue, SETTINGS)
        draft = (ImageSegment("/a b.png"), "and", ImageSegment("/c.png"))
        assert await asyncio.to_thread(dialogue.pictures_left, draft) == 3


async def test_the_turn_is_there_when_its_end_is_told():
    async with serving(FakeAgent(["one"])) as path:
        dialogue = await asyncio.to_thread((await visit(path)).dialogue, SETTINGS)

        def turns_at_done():
            return [len(dialogue.turns) for event in dialogue.reply(["hello"]) if isinstance(event, Done)]

        assert await asyncio.to_thread(turns_at_done) == [1]


async def test_pictures_come_with_their_hits_and_those_that_are_gone_say_why():
    agent = FakeAgent([ImagesFound((hit(1), hit(2)), (hit(3), Hit(4, 0.1, "http://example.org/4.png")))], hits=[hit(5)])
    agent.thumbnails = {1: picture_bytes("red")}
    agent.slips = {"a cta": "a cat"}
    original = agent.thumbnail

    def thumbnail(wanted):
        if wanted.id == 2:
            raise ImageError("It is gone.", "Look elsewhere.")
        return original(wanted)

    agent.thumbnail = thumbnail
    async with serving(agent) as path:
        remote = await visit(path)
        dialogue = await asyncio.to_thread(remote.dialogue, SETTINGS)

        def look():
            for event in dialogue.reply(["show me"]):
                if isinstance(event, ImagesFound):  # in the middle of the reply, as the chat does
                    assert remote.thumbnail(hit(1)) == picture_bytes("red")
                    with pytest.raises(FromageError, match="It is gone. Look elsewhere."):
                        remote.thumbnail(hit(2))
                    assert remote.is_at_hand(hit(3)) and not remote.is_at_hand(event.more[1])
            assert remote.read_as(["a cta"]) == ("a cat",)
            for by in (None, "text-tower"):
                hits = remote.search(["a cat"], 3, by=by)
            assert dialogue.look_up(SearchRequest((Term(1, ("a cat",)),), by="dialogue"), 3) == hits
            return hits, remote.thumbnail(hit(5)), remote.thumbnail(hit(9))

        hits, fifth, ninth = await asyncio.to_thread(look)
    assert hits == [hit(5)] and fifth == ninth == picture_bytes()
    assert agent.searches == [("a cat",)] * 3 and agent.ways == [None, "text-tower", "dialogue"]


async def test_a_whole_search_crosses_over():
    stands = replace(hit(3), alike=("/pictures/copy.png",))
    agent = FakeAgent(hits=[stands, hit(4), hit(5)])
    request = parse_request(["a cat - people folder:holiday after:2024-05 all:yes"])
    async with serving(agent) as path:
        remote = await visit(path)
        assert await asyncio.to_thread(remote.look_up, request, 2, [4]) == [stands, hit(5)]
    assert agent.requests == [request]


async def test_a_reply_is_stopped_from_afar():
    gate, cancel = Gate(), threading.Event()
    async with serving(FakeAgent([" one", gate, " two"], [" three"])) as path:
        dialogue = await asyncio.to_thread((await visit(path)).dialogue, SETTINGS)
        reply = asyncio.create_task(say(dialogue, "count", cancel=cancel))
        await asyncio.to_thread(gate.reached.wait)
        cancel.set()
        events = await reply
        assert events[-1] == Done("one", "cancelled")
        cancel.clear()
        assert (await say(dialogue, "go on", cancel=cancel))[-1] == Done("three", "stop")


async def test_failures_are_told_and_the_dialogue_goes_on():
    agent = FakeAgent([" a", FromageError("Too long.", "Say less.")], [" b", ValueError("bad\nluck")], [" c"])
    async with serving(agent) as path:
        dialogue = await asyncio.to_thread((await visit(path)).dialogue, SETTINGS)
        *_, failed = await say(dialogue, "one")
        assert isinstance(failed, Failed) and str(failed.error) == "Too long. Say less."
        *_, failed = await say(dialogue, "two")
        assert isinstance(failed, Failed) and "bad luck" in failed.error.message
        assert (await say(dialogue, "three"))[-1] == Done("c", "stop")
        assert [turn.message for turn in dialogue.turns] == [("three",)]
        agent.search = lambda *_: (_ for _ in ()).throw(ConfigError("There is no index."))
        with pytest.raises(FromageError, match="no index"):
            await asyncio.to_thread(dialogue.agent.search, ["a"], 1)


async def test_undo_retry_reset_resume_and_hiding_reach_the_model():
    agent = FakeAgent(["one"], ["two"], ["other"], ["four"])
    async with serving(agent) as path:
        dialogue = await asyncio.to_thread((await visit(path)).dialogue, SETTINGS)
        await say(dialogue, "first")
        await say(dialogue, "second")

        def work():
            assert [*dialogue.regenerate()][-1] == Done("other", "stop")
            assert (
                [turn.text for turn in dialogue.turns] == [turn.text for turn in agent.last.turns] == ["one", "other"]
            )
            assert dialogue.undo().text == "other"
            assert len(agent.last.turns) == 1
            dialogue.exclude([4, 5])
            dialogue.include([4])
            assert dialogue.excluded == agent.last.excluded == {5}
            dialogue.reset()
            assert dialogue.turns == agent.last.turns == [] and dialogue.excluded == agent.last.excluded == set()
            assert dialogue.undo() is None
            earlier = Turn(("hello", ImageSegment("/x.png")), (" hi", (hit(3),)), "length")
            dialogue.turns = [earlier]
            assert agent.last.turns == [earlier]

        await asyncio.to_thread(work)
        assert (await say(dialogue, "go on"))[-1] == Done("four", "stop")
        assert [turn.text for turn in dialogue.turns] == ["hi", "four"]


async def test_each_visitor_has_a_dialogue_and_one_reply_is_made_after_the_other():
    gate = Gate()
    agent = FakeAgent([" one", gate, " more"], [" two"])
    async with serving(agent) as path:
        first, second = [await asyncio.to_thread((await visit(path)).dialogue, SETTINGS) for _ in range(2)]
        slow = asyncio.create_task(say(first, "from the first"))
        await asyncio.to_thread(gate.reached.wait)
        quick = asyncio.create_task(say(second, "from the second"))
        gate.open()
        assert (await slow)[-1] == Done("one more", "stop")
        assert (await quick)[-1] == Done("two", "stop")
        assert [turn.message for turn in first.turns] == [("from the first",)]
        assert [turn.message for turn in second.turns] == [("from the second",)]


async def test_a_visitor_who_leaves_during_a_reply_does_not_keep_the_others_waiting():
    gate = Gate()  # opened by nobody but the server
    async with serving(FakeAgent([" one", gate], [" two"])) as path:
        leaving, staying = await visit(path), await visit(path)
        dialogue = await asyncio.to_thread(leaving.dialogue, SETTINGS)
        other = await asyncio.to_thread(staying.dialogue, SETTINGS)
        events = dialogue.reply(["hello"])
        assert await asyncio.to_thread(next, events) == TextDelta(" one")
        await asyncio.to_thread(gate.reached.wait)
        leaving._connection._socket.shutdown(socket.SHUT_RDWR)
        assert (await say(other, "hello"))[-1] == Done("two", "stop")


async def test_what_the_model_sees_in_a_picture_crosses_over(cat):
    agent = FakeAgent()
    async with serving(agent) as path:
        remote = await visit(path)
        assert await asyncio.to_thread(remote.tokens_near, str(cat), 4) == FakeAgent().tokens_near("", 4)
        assert agent.looked_at == [str(cat)]
        agent.patch_grid = lambda path: None
        assert await asyncio.to_thread(remote.patch_grid, str(cat)) is None
        agent.patch_grid = lambda path: PatchGrid(Image.open(path).convert("RGB"), 2, 3)
        patches = await asyncio.to_thread(remote.patch_grid, str(cat))
    assert (patches.rows, patches.columns) == (2, 3)
    assert patches.image.tobytes() == Image.open(cat).convert("RGB").tobytes()


async def test_asking_in_the_middle_of_a_reply_is_refused_and_does_no_harm():
    async with serving(FakeAgent([" one", " two"], [" three"])) as path:
        remote = await visit(path)
        dialogue = await asyncio.to_thread(remote.dialogue, SETTINGS)

        def work():
            events = dialogue.reply(["hello"])
            next(events)
            with pytest.raises(FromageError, match="middle of a reply"):
                remote.search(["a"], 1)
            events.close()  # nobody reads on
            return [*dialogue.reply(["again"])][-1]

        assert await asyncio.to_thread(work) == Done("three", "stop")


@pytest.mark.parametrize(
    "line", [b"no json\n", b"[1]\n", b'{"call": "reply"}\n', b'{"call": "os.system"}\n', b"\xff\n"]
)
async def test_strange_lines_harm_nobody(line):
    async with serving(FakeAgent([" fine"])) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        assert b"hello" not in await reader.readline()
        writer.write(line)
        answer = await reader.readline()
        assert answer == b"" or set(json.loads(answer)) <= {"error", "event"}
        writer.close()
        dialogue = await asyncio.to_thread((await visit(path)).dialogue, SETTINGS)
        assert (await say(dialogue, "hello"))[-1] == Done("fine", "stop")


async def test_a_model_process_that_is_gone_is_one_sentence(monkeypatch):
    monkeypatch.setattr("tui.serving.model_server.GOODBYE_SECONDS", 0.01)
    async with serving(FakeAgent()) as path:
        agent = RemoteAgent(await asyncio.to_thread(Connection, path))  # which stays open
        dialogue = await asyncio.to_thread(agent.dialogue, SETTINGS)
    with pytest.raises(FromageError, match="has ended"):
        await asyncio.to_thread(dialogue.undo)
    with pytest.raises(FromageError, match="has ended"):
        Connection("/nowhere/at/all")


async def test_a_visitors_process_ends_with_the_models():
    code = "import sys, signal; from tui.serving.remote import end_with; end_with(sys.argv[1]); print(1, flush=True); "
    async with serving(FakeAgent()) as path:
        command = [sys.executable, "-c", code + "signal.pause()", str(path)]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
        assert await process.stdout.readline() == b"1\n"
    assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGTERM


# --- the chat of a visitor ---


async def test_the_chat_with_its_model_elsewhere():
    agent = FakeAgent([" here:", ImagesFound((hit(1, "a cat"),), (hit(2),))], [" again"], hits=[hit(3, "a lion")])
    async with serving(agent) as path:

        def load(progress):
            return RemoteAgent(connect(path))

        async with chatting(load=load, size=(100, 40)) as chat:
            chat.app.conversation.fixed = "It is shared."
            await chat.say("show me a cat")
            assert chat.replies == ["here:"] and [card.picture.caption for card in chat.cards] == ["a cat"]
            assert all(card.picture.image is not None for card in chat.cards)
            await chat.type("/find a lion")
            await chat.until(lambda: "a lion" in [card.picture.caption for card in chat.cards])
            for command in ("/index default", "/model other"):
                await chat.type(command)
                await chat.until(lambda: chat.notes and "It is shared." in chat.notes[-1])
                await chat.ready()
            await chat.type("/undo")
            await chat.until(lambda: not chat.replies)
            await chat.say("and again")
            assert chat.replies == ["again"]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    return tmp_path


async def test_a_visitors_chat_begins_with_the_servers_options_and_the_config_file(home):
    file = home / "config" / "fromage-lite" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('images = "kitty"\n[settings]\ntop_p = 0.5\ntemperature = 0.2\n')
    async with serving(FakeAgent(), settings={"temperature": 0.9}, save=False, model="/models/other") as path:
        app = make_app(await asyncio.to_thread(connect, path))
    assert app.conversation.settings == GenerationSettings(temperature=0.9, top_p=0.5)
    assert app.conversation.model_path == "/models/other" and app.conversation.sees == ""
    assert app.mode is ImageMode.HALFBLOCK, "a browser draws no Kitty pictures"
    assert app.conversation.archive is not None and not app.conversation.archive.saves
    app.conversation.archive.close()


# --- the web server ---


@asynccontextmanager
async def site(command: str = "exit 0"):
    async with TestClient(TestServer(Site(command, "localhost").application())) as client:
        yield client


async def test_the_page_loads_nothing_from_elsewhere():
    async with site() as client:
        answer = await client.get("/")
        text = await answer.text()
        here = f"{client.host}:{client.port}"
        assert answer.status == 200 and f'"ws://{here}/ws"' in text
        links = re.findall(r"""(?:src|href)="([^"]+)"|url\("([^"]+)"\)""", text)
        for link in filter(None, (name for pair in links for name in pair)):
            assert link == "data:," or (await client.get("/" + link)).status == 200, link
        assert not re.search(r"//(?!" + re.escape(here) + ")[a-z]", text)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("size", ["8x", "-1", "999999", '"><script>'])
async def test_the_font_size_is_a_sensible_number(size):
    async with site() as client:
        text = await (await client.get("/", params={"fontsize": size})).text()
        assert 6 <= int(re.search(r'data-font-size="(\d+)"', text)[1]) <= 60


@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/textual.js"])
async def test_other_pages_cannot_reach_the_chat(path):
    async with site() as client:
        here = f"{client.host}:{client.port}"
        hosts = ("evil.example", f"evil.example:{client.port}")
        origins = ("https://evil.example", "null", "http://localhost:1")
        for headers in (*({"Host": host} for host in hosts), *({"Origin": origin} for origin in origins)):
            assert (await client.get(path, headers=headers)).status == 403, headers
        assert (await client.get("/", headers={"Origin": f"http://{here}"})).status == 200


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("LOCALHOST.:1", True),
        ("box.lan:8000", True),
        ("example.org", False),
        ("localhost.example.org:80", False),
        ("", False),
    ],
)
def test_names_of_this_machine(name, own):
    assert is_own_name(name, "box.lan") is own


@pytest.mark.parametrize("command", ["exit 3", "echo broken; exit 1", "printf '__GANGLION__\\n'; exit 0"])
async def test_the_page_learns_when_its_process_ends(command):
    async with site(command) as client, client.ws_connect("/ws?width=80&height=24") as websocket:
        message = await websocket.receive(timeout=60)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)


@pytest.mark.parametrize(
    "sent", ["no json", "{}", "[]", '["stdin"]', '["stdin", 1]', '["resize", 3]', '["resize", {}]']
)
async def test_what_a_browser_sends_amiss_ends_only_its_own_chat(sent, capfd):
    async with site("head -c 1 > /dev/null") as client:  # ends when it is told anything
        async with client.ws_connect("/ws") as websocket:
            await websocket.send_str(sent)
        assert (await client.get("/")).status == 200
    assert "Traceback" not in capfd.readouterr().err


# --- the command ---


def test_a_port_that_is_taken_is_told_before_the_model_loads(agent):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_refused(call("serve", "--host", "127.0.0.1", "--port", str(port)), f"Port {port}", "in use", "--port")
        assert_refused(call("serve", "--port", str(port)), f"Port {port}", "in use")
    assert not agent.loads


@pytest.mark.parametrize("host", ["192.0.2.1", "\x1b[31m.example"])
def test_a_host_that_is_not_here_is_told(agent, host, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror("unknown")

    if host[0] == "\x1b":
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    else:
        monkeypatch.undo()  # the guard against the network has an error of its own
    result = call("serve", "--host", host, "--port", "0")
    assert result.exit_code == 2 and "\x1b" not in result.output and "Traceback" not in result.output


def test_bad_settings_are_told_before_the_model_loads(agent):
    assert_refused(call("serve", "--port", "0", "--temperature", "-1"), "temperature")
    assert not agent.loads


def test_every_address_of_the_host_is_ours():
    sockets = bind("localhost", 0)
    try:
        ports = {listening.getsockname()[1] for listening in sockets}
        assert len(ports) == 1
        with pytest.raises(ConfigError, match="in use"):
            bind("localhost", ports.pop())
    finally:
        for listening in sockets:
            listening.close()


def test_a_log_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").touch()
    assert _command(Path("/s"), tmp_path / "file" / "serve.log").endswith("2>>/dev/null")
    assert _command(Path("/s"), tmp_path / "a b" / "serve.log").endswith(f"2>>'{tmp_path}/a b/serve.log'")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", "http://localhost:8000"), ("::1", "http://[::1]:8000"), ("0.0.0.0", "http://localhost:8000")],
)
def test_addresses_for_the_browser(host, expected):
    assert address(host, 8000) == expected


def test_the_model_is_shared_and_its_failure_ends_the_command(monkeypatch):
    from fromage_lite.errors import CheckpointError

    def load(*_, **__):
        raise CheckpointError("It is damaged.", "Copy it again.")

    monkeypatch.setattr("fromage_lite.start.load_agent", load)
    assert_refused(call("serve", "--port", "0"), "It is damaged. Copy it again.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_the_model_loads_ends_at_once(number):
    code = """
import threading
from pathlib import Path
from tui.serving.serve import Service, bind

def load():
    print("loading", flush=True)
    threading.Event().wait()

Service(load, bind("127.0.0.1", 0), "127.0.0.1", {}, Path("log"), print).run()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(number)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130
