"""Fetching from the web: which addresses are asked, and what becomes of what they answer."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from index.errors import ImageError, TemporaryImageError
from index.sources import connections
from index.sources.connections import host_of, is_public
from index.sources.web import BusyServerError, fetch


@pytest.fixture
def guarded(web, monkeypatch):
    """The local server, with private addresses refused as they are for a user."""
    monkeypatch.delenv("FROMAGE_PRIVATE_ADDRESSES")
    return web


@pytest.fixture
def names(monkeypatch):
    """A name server: {name: [addresses at the first look, at the second, …]}; notes the looks."""
    known, looks = {}, []
    resolve = socket.getaddrinfo

    def getaddrinfo(host, port, *arguments, **options):
        if host not in known:
            return resolve(host, port, *arguments, **options)
        looks.append(host)
        answers = known[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known, looks


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::6810:1", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("0.0.0.0", False),
        ("10.0.0.7", False),
        ("172.16.3.4", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # a cloud's metadata
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),  # 6to4 of 127.0.0.1
    ],
)
def test_which_addresses_are_public(address, public):
    assert is_public(address) == public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127%2e0.0.1", "2130706433", "0x7f000001", "127.1"])
def test_this_computer_is_not_asked(guarded, names, host):
    address, pages, asked = guarded
    names[0].update({name: [["127.0.0.1"]] for name in ("2130706433", "0x7f000001", "127.1")})
    pages["/a.png"] = (200, {}, b"secret")
    port = address.rpartition(":")[2]
    with pytest.raises(ImageError) as error:
        fetch(f"http://{host}:{port}/a.png")
    assert asked == []
    assert "is not a public address (FROMAGE_PRIVATE_ADDRESSES=1 allows it)." in str(error.value)
    assert error.value.cause == "address that is not public"


def test_a_redirection_to_this_computer_is_not_followed(guarded, names, monkeypatch):
    """The first server is let through by its name; where it sends us is checked again."""
    address, pages, asked = guarded
    known, _ = names
    known["pictures.example"] = [["127.0.0.1"]]
    port = address.rpartition(":")[2]
    pages["/a.png"] = (302, {"Location": f"http://localhost:{port}/secret"}, b"")
    pages["/secret"] = (200, {}, b"secret")
    real = connections.is_public
    checked = []

    def first_only(address):
        checked.append(address)
        return len(checked) == 1 or real(address)

    monkeypatch.setattr(connections, "is_public", first_only)
    with pytest.raises(ImageError, match="localhost is at .*not a public address"):
        fetch(f"http://pictures.example:{port}/a.png")
    assert asked == ["/a.png"]


def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_connected_to(guarded, names, monkeypatch):
    """DNS rebinding: public at the first look, this computer at the next."""
    known, looks = names
    known["rebinding.example"] = [["93.184.216.34"], ["127.0.0.1"]]
    reached = []

    def connect(self, address):
        reached.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(TemporaryImageError, match="Connection refused"):
        fetch("http://rebinding.example/a.png")
    assert (looks, reached) == (["rebinding.example"], ["93.184.216.34"])


def test_of_several_addresses_only_public_ones_are_tried(guarded, names, monkeypatch):
    known, _ = names
    known["mixed.example"] = [["127.0.0.1", "10.0.0.1", "93.184.216.34"]]
    reached = []

    def connect(self, address):
        reached.append(address[0])
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(TemporaryImageError) as error:
        fetch("https://mixed.example/a.png")
    assert reached == ["93.184.216.34"] and error.value.cause == "too slow"


def test_private_addresses_can_be_allowed(web):
    address, pages, _ = web
    pages["/a.png"] = (200, {}, b"picture")
    assert fetch(f"{address}/a.png") == b"picture"


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/a.png", "data:image/png;base64,AA", "gopher://x/"]
)
def test_other_schemes_are_not_spoken(web, url):
    with pytest.raises(ImageError, match="can't be fetched"):
        fetch(url)


@pytest.mark.parametrize(
    ("status", "headers", "cause", "is_temporary", "seconds"),
    [
        (404, {}, "HTTP 404", False, None),
        (403, {}, "HTTP 403", False, None),
        (503, {"Retry-After": "7"}, "HTTP 503", True, 7.0),
        (429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, "HTTP 429", True, 0.0),
        (302, {"Location": "file:///etc/hostname"}, "HTTP 302", False, None),
    ],
)
def test_what_a_server_refuses_has_a_cause(web, status, headers, cause, is_temporary, seconds):
    address, pages, _ = web
    pages["/a.png"] = (status, headers, b"")
    with pytest.raises(ImageError) as error:
        fetch(f"{address}/a.png")
    assert (error.value.cause, isinstance(error.value, TemporaryImageError)) == (cause, is_temporary)
    assert seconds is None or (isinstance(error.value, BusyServerError) and error.value.seconds == seconds)


def test_a_promise_of_too_much_is_not_read(web):
    address, pages, _ = web
    pages["/a.png"] = (200, {"Content-Length": str(10**12)}, b"")
    with pytest.raises(ImageError, match="larger than 20 MB") as error:
        fetch(f"{address}/a.png")
    assert error.value.cause == "too large"


def test_a_server_that_drips_is_left_at_the_deadline(monkeypatch):
    """A byte now and then keeps within every timeout of a socket; a header may so take hours."""
    monkeypatch.setenv("FROMAGE_PRIVATE_ADDRESSES", "1")
    now = [0.0]
    listener = socket.create_server(("127.0.0.1", 0))

    class Time:
        @staticmethod
        def monotonic():
            now[0] += 1.0
            return now[0]

    def drip():
        connection, _ = listener.accept()
        connection.recv(1000)
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            connection.sendall(b"y" * 60_000)  # read in eight pieces at least, a second each by this clock
        except OSError:
            pass
        connection.close()

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    monkeypatch.setattr(connections, "time", Time)
    monkeypatch.setattr(connections, "DEADLINE", 5.0)
    with pytest.raises(TemporaryImageError, match="no answer within 5 seconds"):
        fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/a.png")
    listener.close()
    thread.join()


def test_an_unknown_name_may_be_known_another_day(web, monkeypatch):
    def getaddrinfo(*arguments, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(TemporaryImageError, match="Name or service not known") as error:
        fetch("http://gone.example/a.png")
    assert error.value.cause == "no such server"


def test_a_proxy_is_asked_for_public_names_only(web, names, monkeypatch):
    address, pages, asked = web
    monkeypatch.delenv("FROMAGE_PRIVATE_ADDRESSES")
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.delenv("no_proxy", raising=False)
    known, _ = names
    known["pictures.example"], known["inside.example"] = [["93.184.216.34"]], [["10.1.1.1"]]
    pages["http://pictures.example/a.png"] = (200, {}, b"picture")
    assert fetch("http://pictures.example/a.png") == b"picture"
    with pytest.raises(ImageError, match=r"10\.1\.1\.1, which is not a public address"):
        fetch("http://inside.example/a.png")
    assert asked == ["http://pictures.example/a.png"]


def test_the_server_of_an_address():
    assert host_of("https://User@Pictures.Example:8080/a?b#c") == "pictures.example"
    assert host_of("http://[bad") == ""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_certificates_are_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMAGE_PRIVATE_ADDRESSES", "1")
    monkeypatch.delenv("https_proxy", raising=False)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"picture")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        port = server.server_port
        with pytest.raises(ImageError, match="certificate") as error:
            fetch(f"https://localhost:{port}/a.png")
        assert error.value.cause == "bad certificate"
        connections._tls().load_verify_locations(certificate)
        assert fetch(f"https://localhost:{port}/a.png") == b"picture"
        with pytest.raises(ImageError, match="certificate"):  # it is for the name alone
            fetch(f"https://127.0.0.1:{port}/a.png")
    finally:
        connections._tls.cache_clear()
        server.shutdown()
        server.server_close()
        thread.join()
