"""A stand-in for the Hugging Face Hub on loopback: as much of its protocol as loading and uploading models takes."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".tar")  # what the real Hub keeps outside of git


class Hub:
    """Repositories by name, each a dictionary of files; the latest commit of each is all there is.

    Attributes:
        repositories: name -> path -> content.
        requests: what was asked: (method, path, range).
        cut: file names whose next download breaks off after so many bytes.
        refused: file names that are answered with status 403.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.cut: dict[str, int] = {}
        self.refused: set[str] = set()
        self.uploads: dict[str, bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name, folder) -> None:
        """Publishes a folder."""
        self.repositories[name] = {
            p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }

    def commit(self, name: str) -> str:
        files = self.repositories[name]
        return hashlib.sha1(b"".join(path.encode() + files[path] for path in sorted(files))).hexdigest()

    def downloads(self, ending: str) -> list[str]:
        """The ranges of the downloads of files so named."""
        return [span for method, path, span in self.requests if method == "GET" and path.endswith(ending)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_):
        pass

    def answer(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = path.split("/")
        if path == "api/repos/create":
            wanted = json.loads(self.body)
            name = f"{wanted['organization']}/{wanted['name']}"
            self.hub.repositories.setdefault(name, {})
            self.send({"url": f"{self.hub.url}/{name}"})
        elif path == "api/validate-yaml":
            self.send({"errors": [], "warnings": []})
        elif parts[0] == "upload":
            assert hashlib.sha256(self.body).hexdigest() == parts[1]
            self.hub.uploads[parts[1]] = self.body
            self.send({})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**entry, "actions": {"upload": {"href": f"{self.hub.url}/upload/{entry['oid']}"}}}
                for entry in json.loads(self.body)["objects"]
            ]
            self.send({"transfer": "basic", "objects": objects})
        elif parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self.hub.repositories:
            self.api("/".join(parts[2:4]), parts[4:])
        elif parts[2:3] == ["resolve"] and "/".join(parts[:2]) in self.hub.repositories:
            self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.fail(404, "RepoNotFound")

    def api(self, name, what):
        files = self.hub.repositories[name]
        if what[:1] in ([], ["revision"]):
            if not self.knows(name, *what[1:]):
                return
            self.send(
                {
                    "id": name,
                    "sha": self.hub.commit(name),
                    "private": False,
                    "tags": [],
                    "downloads": 0,
                    "likes": 0,
                    "siblings": [{"rfilename": path} for path in files],
                }
            )
        elif what[0] == "tree":
            inside = "/".join(what[2:])
            entries = [entry(path, content) for path, content in files.items() if path.startswith(inside)]
            self.send(entries) if entries else self.fail(404, "EntryNotFound")
        elif what[0] == "preupload":
            self.send(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "shouldIgnore": False,
                            "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                        }
                        for file in json.loads(self.body)["files"]
                    ]
                }
            )
        elif what[0] == "commit":
            for line in map(json.loads, self.body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    files[line["value"]["path"]] = self.hub.uploads[line["value"]["oid"]]
            oid = self.hub.commit(name)
            self.send({"success": True, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})
        else:
            self.fail(404, "EntryNotFound")

    def file(self, name, revision, path):
        if not self.knows(name, revision):
            return
        commit = {"X-Repo-Commit": self.hub.commit(name)}
        content = self.hub.repositories[name].get(path)
        if content is None:
            self.fail(404, "EntryNotFound", commit)
        elif path in self.hub.refused:
            self.fail(403, "Forbidden")
        else:
            headers = {**commit, "ETag": f'"{etag(path, content)}"', "Accept-Ranges": "bytes"}
            start, status = 0, 200
            if span := self.headers.get("Range"):
                start, status = int(span.removeprefix("bytes=").split("-")[0]), 206
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.begin(status, len(content) - start, headers)
            if self.command == "GET" and path in self.hub.cut:
                self.wfile.write(content[start : self.hub.cut.pop(path)])
                self.close_connection = True
            elif self.command == "GET":
                self.wfile.write(content[start:])

    def knows(self, name, revision="main"):
        if revision in ("main", self.hub.commit(name)):
            return True
        self.fail(404, "RevisionNotFound")
        return False

    def send(self, data):
        body = json.dumps(data).encode()
        self.begin(200, len(body), {"Content-Type": "application/json"})
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status, code, headers=None):
        self.begin(status, 0, {"X-Error-Code": code, **(headers or {})})

    def begin(self, status, length, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()


def etag(path, content):
    """As the Hub has it: git's hash of small files, SHA-256 of large ones."""
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(path, content):
    large = {"lfs": {"oid": etag(path, content), "size": len(content), "pointerSize": 130}}
    return {
        "type": "file",
        "path": path,
        "size": len(content),
        "oid": hashlib.sha1(content).hexdigest(),
        **(large if path.endswith(LARGE) else {}),
    }
