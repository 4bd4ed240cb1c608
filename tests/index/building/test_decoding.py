"""Pictures are decoded in other processes as in this one, and a picture that a process dies of costs only itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from index.building.build import build_store
from index.building.decoding import DecoderProcesses, decode
from index.building.encoding import Encoder
from index.errors import ImageError
from index.sources.readers import FolderReader
from index.store.feature_store import FeatureStore


def dies_of_red(source, data=None):
    """As `decode`; but a red picture ends the process, as a fault in a decoder would."""
    decoded = decode(source, data)
    if decoded.image.getpixel((0, 0)) == (255, 0, 0):
        os.kill(os.getpid(), signal.SIGKILL)
    return decoded


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (20, 10), (255, 0, 0) if number in (3, 4, 8) else (0, number, 0)).save(
            folder / f"{number:02}.png"
        )
    return folder


def encode(images):
    return np.array([np.asarray(image, dtype=np.float32).mean(axis=(0, 1)) for image in images])


def test_a_picture_that_a_process_dies_of_is_a_failure_and_the_others_are_indexed(album, tmp_path, monkeypatch):
    # Copies are embedded once, so that the three red ones must differ in their bytes.
    for number in (3, 4, 8):
        with (album / f"{number:02}.png").open("ab") as file:
            file.write(bytes([number]))
    monkeypatch.setattr("index.building.build.DecoderProcesses", lambda count: DecoderProcesses(count, dies_of_red))
    out = tmp_path / "out"
    report = build_store(FolderReader(album), encode, out, encoder_fingerprint="mean", batch_size=4, workers=2)
    assert (report.added, report.failed) == (9, 3)
    assert [(cause.cause, cause.count) for cause in report.causes] == [("crashed the decoder", 3)]
    store = FeatureStore.open(out)
    greens = store.read_features(store.live_ids())[:, 1].tolist()
    assert greens == [0, 1, 2, 5, 6, 7, 9, 10, 11], "in the folder's order, whatever happened to the processes"


def test_processes_and_threads_give_the_same_store(album, tmp_path):
    for name, workers in (("threads", 0), ("processes", 2)):
        build_store(
            FolderReader(album), encode, tmp_path / name, encoder_fingerprint="mean", batch_size=4, workers=workers
        )
    one, two = (FeatureStore.open(tmp_path / name) for name in ("threads", "processes"))
    assert (one.read_features(one.live_ids()) == two.read_features(two.live_ids())).all()
    assert [one.row(id) for id in range(len(one.live_ids()))] == [two.row(id) for id in range(len(two.live_ids()))]


def test_what_is_wrong_with_a_picture_is_told_from_another_process(tmp_path):
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    with DecoderProcesses(1) as processes, pytest.raises(ImageError) as caught:
        processes(str(tmp_path / "no.jpg"))
    assert caught.value.cause == "not a picture" and caught.value.hint == "JPEG, PNG, WebP, GIF and TIFF can."


@pytest.mark.skipif(os.name != "posix", reason="asks for a process by its number")
def test_decoding_processes_end_with_the_one_that_was_killed(album):
    program = (
        "import os, sys; from index.building.decoding import DecoderProcesses\n"
        "if __name__ == '__main__':\n"
        "    processes = DecoderProcesses(1); processes(sys.argv[1])\n"
        "    print(*processes._pool._processes, flush=True); sys.stdin.read()\n"
    )
    script = album / "program.py"
    script.write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(script), str(album / "00.png")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    # The decoding process has the other end of this pipe: it is at its end when nobody has it any more.
    assert process.stdout.read() == ""
    process.wait()


def test_an_encoder_in_two_steps_gets_pixels_in_the_same_batches(album, tmp_path):
    sizes = []

    def in_batches(pixels):
        assert pixels.dtype == np.float32 and pixels.shape[1:] == (3, 10, 20)
        sizes.append(len(pixels))
        return pixels.mean(axis=(2, 3))

    encoder = Encoder(lambda image: np.asarray(image, dtype=np.float32).transpose(2, 0, 1), in_batches)
    build_store(FolderReader(album), encoder, tmp_path / "two", encoder_fingerprint="mean", batch_size=4)
    build_store(FolderReader(album), encode, tmp_path / "one", encoder_fingerprint="mean", batch_size=4)
    assert sizes == [4, 4, 2], "the red ones are copies"
    one, two = (FeatureStore.open(tmp_path / name) for name in ("one", "two"))
    assert (one.read_features(one.live_ids()) == two.read_features(two.live_ids())).all()
