"""How fast pictures become features, against the encoder alone; and whether memory grows with their number."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fromage_lite.vision import VisionEncoder
from fromage_lite.vision.two_steps import two_steps
from index.building.build import build_store
from index.building.decoding import decode
from index.building.encoding import Encoder
from index.sources.readers import FILES_AT_ONCE, PictureFile

SIZE = (1152, 864)
"""Of a picture, in pixels: one megapixel."""
QUALITY = 85  # of its JPEG file: about 200 kB
STAND_IN = 224  # pixels of a side, as the encoder in `peak_memory` takes pictures


@dataclass(frozen=True)
class IndexBuildFigures:
    """What was measured; rates are of pictures of `SIZE`, in pictures a second.

    Attributes:
        share_of_encoder_throughput: `pictures_per_second` over `encoder_pictures_per_second`, median of the repeats,
            each of which measures both, one after the other.
        pictures_per_second: a whole build: files read, hashed, decoded, embedded and written.
        encoder_pictures_per_second: opened pictures in the same batches to features, and nothing else.
        network_pictures_per_second: the same without preparing the pictures: the network alone.
        decoder_pictures_per_second: reading, decoding and thumbnails alone, in one thread.
        memory_growth_mb: how much more memory (peak, resident, MB) the build of `large` pictures needs than that of
            `small`.
        memory_small_mb, memory_large_mb: these peaks, each in a process of its own with an encoder that needs none.
        small, large: pictures in these two builds.
        pictures: in a build of `pictures_per_second`.
        batch_size: pictures embedded at once.
        workers: processes that decode; 0 for threads.
        cores: of this machine.
    """

    share_of_encoder_throughput: float
    pictures_per_second: float
    encoder_pictures_per_second: float
    network_pictures_per_second: float
    decoder_pictures_per_second: float
    memory_growth_mb: float
    memory_small_mb: float
    memory_large_mb: float
    small: int
    large: int
    pictures: int
    batch_size: int
    workers: int
    cores: int


def measure_index_build(
    vision: VisionEncoder,
    *,
    pictures: int = 512,
    small: int = 1_000,
    large: int = 20_000,
    distinct: int = 256,
    batch_size: int = 64,
    workers: int = 0,
    repeats: int = 3,
) -> IndexBuildFigures:
    """Builds stores of pictures that are made for it, and takes the figures.

    Args:
        vision: the encoder.
        pictures: in each build that is timed; several batches, for the first is decoded while the encoder waits.
        small, large: pictures in the builds whose memory is compared; a stand-in encodes them.
        distinct: different pictures; more of them are the same with other bytes behind.
        batch_size: pictures embedded at once.
        workers: processes that decode; 0 for threads.
        repeats: timed builds.

    Raises:
        StoreError: the disk of temporary files is full.
    """
    folder = Path(tempfile.mkdtemp(prefix="fromage-bench-"))
    try:
        make_pictures(folder / "pictures", min(distinct, max(pictures, large)))
        reader = MadePictures(folder / "pictures", pictures)
        rates = [_rates(vision, reader, folder / str(turn), batch_size, workers) for turn in range(repeats)]
        peaks = [
            peak_memory(MadePictures(folder / "pictures", count), folder / f"{count}-stored", batch_size, workers)
            for count in (small, large)
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    built, whole, network, decoder = (statistics.median(column) for column in zip(*rates, strict=True))
    return IndexBuildFigures(
        share_of_encoder_throughput=statistics.median(rate[0] / rate[1] for rate in rates),
        pictures_per_second=built,
        encoder_pictures_per_second=whole,
        network_pictures_per_second=network,
        decoder_pictures_per_second=decoder,
        memory_growth_mb=peaks[1] - peaks[0],
        memory_small_mb=peaks[0],
        memory_large_mb=peaks[1],
        small=small,
        large=large,
        pictures=pictures,
        batch_size=batch_size,
        workers=workers,
        cores=os.cpu_count() or 1,
    )


def make_pictures(folder: Path, count: int) -> None:
    """JPEG files of `SIZE`: soft colours under the noise of a camera, so that they are as large as photographs."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        colours = Image.fromarray(rng.integers(0, 255, (18, 24, 3), dtype=np.uint8)).resize(SIZE)
        noise = rng.normal(0, 8, (SIZE[1], SIZE[0], 3)).astype(np.int16)
        pixels = (np.asarray(colours).astype(np.int16) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.jpg", quality=QUALITY)


class MadePictures:
    """A `Reader` of as many pictures as wanted, out of a few files: each has a number behind its last byte.

    Args:
        folder: of the files.
        count: pictures.
    """

    at_once = FILES_AT_ONCE

    def __init__(self, folder: Path, count: int) -> None:
        self._files = sorted(folder.iterdir())
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PictureFile]:
        for number in range(self._count):
            file = self._files[number % len(self._files)]
            yield PictureFile(f"{file}#{number}", stamp=(number, 0), read=partial(_numbered, file, number))

    def covers(self, source: str) -> bool:
        """Never."""
        return False


def peak_memory(reader: MadePictures, out: Path, batch_size: int, workers: int = 0) -> float:
    """MB of resident memory that a build needs at most, in a new process, with an encoder that takes the mean colours
    of 16 x 16 fields: memory of models is not what is measured. That of decoding processes is not counted."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_peak_of_build, reader, out, batch_size, workers).result()


def _peak_of_build(reader: MadePictures, out: Path, batch_size: int, workers: int) -> float:
    encoder = Encoder(_stand_in_pixels, _stand_in_features)
    build_store(reader, encoder, out, encoder_fingerprint="stand-in", batch_size=batch_size, workers=workers)
    return _own_peak()


def _own_peak() -> float:
    # Linux's `ru_maxrss` begins with the peak of the process that started this one; VmHWM with nothing.
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        if found := next((line for line in lines if line.startswith("VmHWM:")), None):
            return int(found.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6  # bytes there, kilobytes elsewhere


def _stand_in_pixels(image: Image.Image) -> npt.NDArray[np.float32]:
    small = image.resize((STAND_IN, STAND_IN), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(small, dtype=np.float32).transpose(2, 0, 1)


def _stand_in_features(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    count, fields = len(pixels), STAND_IN // 16
    means: npt.NDArray[np.float32] = pixels.reshape(count, 3, fields, 16, fields, 16).mean(axis=(3, 5))
    return means.reshape(count, -1)


def _numbered(file: Path, number: int) -> bytes:
    return file.read_bytes() + number.to_bytes(8, "little")  # behind the end of a JPEG nothing is read


def _rates(
    vision: VisionEncoder, reader: MadePictures, out: Path, batch_size: int, workers: int
) -> tuple[float, float, float, float]:
    """Pictures a second: of a build, of the encoder from opened pictures, of its network, of the decoder."""
    encoder = two_steps(vision)
    start = time.perf_counter()
    build_store(reader, encoder, out, encoder_fingerprint="bench", batch_size=batch_size, workers=workers)
    built = len(reader) / (time.perf_counter() - start)
    files = iter(reader)
    decoding = preparing = encoding = 0.0
    while batch := list(islice(files, batch_size)):
        start = time.perf_counter()
        images = [_opened(file) for file in batch]
        decoded = time.perf_counter()
        pixels = vision.preprocess(images)
        prepared = time.perf_counter()
        vision.encode(pixels).pooled.cpu()
        encoding += time.perf_counter() - prepared
        preparing += prepared - decoded
        decoding += decoded - start
    count = len(reader)
    return built, count / (preparing + encoding), count / encoding, count / decoding


def _opened(file: PictureFile) -> Image.Image:
    return decode(file.source, file.read() if file.read is not None else None)[0]
