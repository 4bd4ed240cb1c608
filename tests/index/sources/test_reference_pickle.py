"""Pickles of the original FROMAGe's embeddings: every form is read, and nothing of a hostile one is run."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index.building.projected import import_embeddings
from index.errors import FingerprintError, ImageError, StoreError
from index.search.derive import derive_index
from index.search.faiss_index import ImageIndex
from index.sources.reference_pickle import read_reference
from index.sources.thumbnails import picture_thumbnail
from index.store.feature_store import FeatureStore

ROOT = Path(__file__).parents[3]
GOLDEN = Path(os.environ.get("FROMAGE_GOLDEN", ROOT / "tests" / "golden"))
CASES = sorted(path.parent for path in GOLDEN.glob("*/model_args.json"))
PATHS = [f"http://pictures.example/{number}.jpg" for number in range(6)]


def vectors(count=6, dim=5, seed=1):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def write(path, embeddings, paths=PATHS, protocol=4):
    path.write_bytes(pickle.dumps({"paths": paths, "embeddings": embeddings}, protocol=protocol))
    return path


def read_all(path, size=4):
    reference = read_reference(path)
    found = list(reference.blocks(size))
    assert all(part.dtype == np.float32 and len(part) <= size for _, part in found)
    return sum((names for names, _ in found), []), np.concatenate([part for _, part in found])


# --- every form ---


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", ["cc3m_embeddings.pkl", "alt_embeddings_list_bf16.pkl"])
def test_the_originals_own_files(case, name):
    """The bf16 list is what the original's script writes and what the original itself can't read (U4)."""
    if not (case / name).exists():
        pytest.skip("this case has no such file")
    from safetensors.numpy import load_file

    paths, found = read_all(case / name)
    expected = load_file(case / "outputs.safetensors")["images.visual_embs_retrieval"][:, 0]
    assert paths == [f"images/img_{number:02d}.png" for number in range(len(paths))]
    np.testing.assert_allclose(found, expected, rtol=2**-8 if "bf16" in name else 1e-5, atol=1e-5)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("form", ["array", "fortran", "list"])
def test_numpy_arrays(tmp_path, protocol, dtype, form):
    wanted = vectors().astype(dtype)
    embeddings = {"array": wanted, "fortran": np.asfortranarray(wanted), "list": list(wanted)}[form]
    paths, found = read_all(write(tmp_path / "e.pkl", embeddings, protocol=protocol))
    assert paths == PATHS
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", ["list", "matrix", "rows", "transposed"])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_torch_tensors(tmp_path, protocol, form, kind):
    import torch

    matrix = torch.from_numpy(vectors()).to(getattr(torch, kind))
    embeddings = {
        "list": [row.clone() for row in matrix],
        "matrix": matrix,
        "rows": list(matrix),  # views: each is pickled with the storage of all
        "transposed": matrix.T.contiguous().T,
    }[form]
    _, found = read_all(write(tmp_path / "e.pkl", embeddings, protocol=protocol))
    np.testing.assert_array_equal(found, matrix.float().numpy())


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
def test_lists_of_any_length(tmp_path, count):
    """Pickle writes lists in batches of 1,000, and a last one of one item in another way."""
    wanted, paths = vectors(count, 3), [f"{number}.png" for number in range(count)]
    assert read_all(write(tmp_path / "e.pkl", list(wanted), paths), 700)[0] == paths
    np.testing.assert_array_equal(read_all(tmp_path / "e.pkl", 700)[1], wanted)


def test_progress_ends_at_the_size_of_the_file(tmp_path):
    path, seen = write(tmp_path / "e.pkl", vectors()), []
    read_reference(path, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] <= seen[-1][1] == path.stat().st_size
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


# --- hostile ones ---


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def refused(path, *words):
    with pytest.raises(StoreError) as error:
        read_reference(path)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def mark():
    return "__import__('pathlib').Path('ran').touch()"


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize(
    "attack",
    [
        (os.system, "touch ran"),
        (eval, mark()),
        (exec, mark()),
        (builtins.__import__, "os"),
        (getattr, Call(builtins.__import__, "os"), "system"),
        (subprocess.Popen, ["touch", "ran"]),
        (np.load, "ran.npy"),
        (np.save, "ran", np.zeros(1)),
        (np.fromfile, "/etc/hostname"),
        (np.memmap, "ran", "u1", "w+", 0, (4,)),
        (pickle.loads, b"cos\nsystem\n(S'touch ran'\ntR."),
        (bytearray, 10**12),
        (np.zeros, (10**12,)),
        (map, eval, [mark()]),
    ],
    ids=lambda attack: getattr(attack[0], "__name__", "call"),
)
def test_functions_are_never_run(tmp_path, monkeypatch, attack, protocol):
    monkeypatch.chdir(tmp_path)
    for embeddings in (Call(*attack), [Call(*attack)]):
        refused(write(tmp_path / "e.pkl", embeddings, protocol=protocol))
        refused(write(tmp_path / "e.pkl", vectors(), [Call(*attack)], protocol=protocol))
    assert [path.name for path in tmp_path.iterdir()] == ["e.pkl"]


def test_torchs_own_functions_are_not_run_either(tmp_path, monkeypatch):
    """The storage of a tensor is a pickle inside the pickle: hostile there, and through torch's loaders."""
    import io

    import torch

    monkeypatch.chdir(tmp_path)
    inner = io.BytesIO()
    torch.save(Call(os.system, "touch ran"), inner, _use_new_zipfile_serialization=False)
    new_format = io.BytesIO()
    torch.save(Call(os.system, "touch ran"), new_format)
    call = pickle.dumps(Call(os.system, "touch ran"))
    for data in (inner.getvalue(), new_format.getvalue(), call, b"", b"\x80\x02."):
        refused(write(tmp_path / "e.pkl", [Call(torch.storage._load_from_bytes, data)]))
    refused(write(tmp_path / "e.pkl", [Call(torch.load, "x.pt")]), "torch")
    refused(write(tmp_path / "e.pkl", [Call(torch.hub.load, "a/b", "c")]))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04cos\nsystem\n\x8c\x09touch ran\x85R.",  # GLOBAL
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",  # STACK_GLOBAL
        b"(S'touch ran'\nios\nsystem\n.",  # INST
        b"\x80\x04(cos\nsystem\n\x8c\x09touch rano.",  # OBJ
        b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93)\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",  # a dotted name
        b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93}\x8c\x04make\x8c\x02osssb.",  # BUILD on what makes arrays
        b"\x80\x04\x82\x01.",  # EXT1
        b"\x80\x02\x8c\x01xQ.",  # a persistent id
        b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02O8\x89\x88\x87R.",  # object arrays hold anything
        b"\x80\x04.",
        b"\x80\x04",
        b"",
        b"\x80\x09.",
        b"\xff" * 50,
        b"\x80\x04N.",
        b"\x80\x04]a.",
        b"\x80\x04Rb.",
    ],
)
def test_other_opcodes_and_damage_are_refused(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.pkl").write_bytes(program)
    refused(tmp_path / "e.pkl")
    assert not (tmp_path / "ran").exists()


def test_every_truncation_of_a_file_is_refused(tmp_path):
    whole = (CASES[0] / "cc3m_embeddings.pkl").read_bytes()
    for length in [*range(0, 2000, 7), *range(2000, len(whole), 997)]:
        (tmp_path / "e.pkl").write_bytes(whole[:length])
        refused(tmp_path / "e.pkl")


BOMBS = {
    "memo number": b"\x80\x04Nr\xff\xff\xff\x7f.",  # LONG_BINPUT: the unpickler in C makes room for 2^32 entries
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b".",
    "nones": b"\x80\x04" + b"N" * 3_000_000 + b".",
    "lists": b"\x80\x04" + b"]" * 3_000_000 + b".",
    "marks": b"\x80\x04" + b"(" * 3_000_000 + b".",
}


def array_of(shape, data=b"\0" * 64):
    """A pickle of an array that claims a shape."""
    honest = pickle.dumps({"paths": PATHS, "embeddings": np.zeros((4, 4), "f4")}, protocol=4)
    claim = pickle.dumps(shape, protocol=4)[11:-1].replace(b"\x94", b"")
    assert b"K\x04K\x04\x86\x94" in honest
    return honest.replace(b"K\x04K\x04\x86\x94", claim + b"\x94")


BOMBS["shape"] = array_of((2**40, 2**20))
BOMBS["negative shape"] = array_of((-1, 16))


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(tmp_path, name):
    (tmp_path / "e.pkl").write_bytes(BOMBS[name])
    refused(tmp_path / "e.pkl")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory as Linux tells it")
def test_bombs_burst_within_little_memory(tmp_path):
    for number, bomb in enumerate(BOMBS.values()):
        (tmp_path / f"{number}.pkl").write_bytes(bomb)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from index.errors import StoreError\n"
        "from index.sources.reference_pickle import read_reference\n"
        "status = Path('/proc/self/status')\n"
        "peak = lambda: int(status.read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "for path in Path(sys.argv[1]).glob('*.pkl'):\n"
        "    try:\n"
        "        read_reference(path)\n"
        "    except StoreError:\n"
        "        continue\n"
        "    sys.exit(1)\n"
        "print(peak() - before)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 300_000, "kilobytes beyond the start"


def test_a_strided_tensor_shows_no_number_twice(tmp_path):
    import torch

    refused(write(tmp_path / "e.pkl", torch.zeros(1).expand(6, 10**9)), "larger than its numbers")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (["paths"], "no paths and embeddings"),
        ({"paths": PATHS}, "no paths and embeddings"),
        ({"paths": PATHS[:3], "embeddings": vectors()}, "3 paths and 6 embeddings"),
        ({"paths": [1, 2], "embeddings": vectors(2)}, "strings or vectors"),
        ({"paths": PATHS, "embeddings": [*vectors(5), vectors(1, 7)[0]]}, "different widths"),
        ({"paths": PATHS, "embeddings": vectors(1, 6)[0]}, "neither"),
        ({"paths": PATHS, "embeddings": vectors().astype(int)}, "arrays of the type"),
        ({"paths": tuple(PATHS), "embeddings": vectors()}, "not a list of strings"),
    ],
)
def test_other_contents_are_named(tmp_path, data, words):
    (tmp_path / "e.pkl").write_bytes(pickle.dumps(data))
    refused(tmp_path / "e.pkl", words)


def test_a_missing_file_is_one_sentence(tmp_path):
    refused(tmp_path / "nothing.pkl", "No such file")
    refused(tmp_path, "can't be read")


# --- into a store and an index ---


def imported(blocks, out, **options):
    return import_embeddings(blocks, out, bridge_fingerprint="this bridge", **options)


def test_rows_keep_their_address_and_vectors_become_unit(tmp_path, normalise):
    wanted = vectors()
    report = imported([(PATHS[:4], wanted[:4]), (PATHS[4:], wanted[4:])], tmp_path / "s")
    assert (report.added, report.total, report.bad) == (6, 6, [])
    store = FeatureStore.open(tmp_path / "s")
    assert [store.row(id) for id in range(6)] == [(path, "") for path in PATHS]
    np.testing.assert_allclose(store.features, normalise(wanted), rtol=1e-6)
    assert store.bridge_fingerprint == "this bridge" and store.thumbnail(3) == b""
    derive_index(tmp_path / "s", lambda rows: 1 / 0, "this bridge")  # nothing is projected again
    index = ImageIndex.open(tmp_path / "s", "this bridge")
    query = normalise(vectors(3, seed=2))
    best = np.argsort(-query @ normalise(wanted).T, axis=1)
    assert [[hit.id for hit in hits] for hits in index.search(query, 6)] == best.tolist()


def test_an_import_goes_on_and_files_add_up(tmp_path):
    wanted = vectors()

    def interrupted():
        yield PATHS[:2], wanted[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(interrupted(), tmp_path / "s")
    report = imported([(PATHS, wanted)], tmp_path / "s")
    assert (report.known, report.added, report.total) == (2, 4, 6)
    more = imported([(["http://pictures.example/more.jpg"], wanted[:1])], tmp_path / "s")
    assert (more.added, more.total) == (1, 7)
    store = FeatureStore.open(tmp_path / "s")
    assert [store.row(id)[0] for id in range(6)] == PATHS


def test_rows_that_can_not_be_used_are_counted(tmp_path):
    wanted = vectors()
    wanted[1], wanted[2, 0] = 0, np.nan
    paths = [PATHS[0], PATHS[1], PATHS[2], PATHS[0], "\ud800.png", "a" * 5000]
    report = imported([(paths, wanted)], tmp_path / "s")
    assert (report.added, report.duplicates, len(report.bad)) == (1, 1, 4)
    with pytest.raises(StoreError, match="None of the 1 embeddings"):
        imported([(PATHS[:1], wanted[1:2])], tmp_path / "t")


def test_relative_paths_count_from_the_base(tmp_path):
    imported([(["a/b.png", "/c/d.png", PATHS[0]], vectors(3))], tmp_path / "s", base=tmp_path / "x")
    store = FeatureStore.open(tmp_path / "s")
    assert [store.row(id)[0] for id in range(3)] == [str(tmp_path / "x/a/b.png"), "/c/d.png", PATHS[0]]


def test_embeddings_of_one_bridge_serve_no_other(tmp_path):
    imported([(PATHS, vectors())], tmp_path / "s")
    with pytest.raises(FingerprintError, match="another model made"):
        derive_index(tmp_path / "s", lambda rows: rows, "another bridge")
    with pytest.raises(FingerprintError):
        import_embeddings([(PATHS, vectors())], tmp_path / "s", bridge_fingerprint="another bridge")


# --- pictures by address ---


@pytest.fixture
def png(tmp_path, painter):
    return painter(tmp_path / "red.png", 0.0, (600, 300)).read_bytes()


def test_a_picture_is_fetched_once_and_kept_small(web, png):
    from index.pictures.images import open_image

    address, pages, asked = web
    pages["/a%20b.png?size=1"] = (200, {}, png)
    first = picture_thumbnail(f"{address}/a b.png?size=1")
    assert open_image(first).size == (256, 128) and len(first) < 5000
    assert picture_thumbnail(f"{address}/a b.png?size=1") == first
    assert asked == ["/a%20b.png?size=1"]


@pytest.mark.parametrize(
    "page",
    [
        None,
        (500, {}, b""),
        (200, {}, b"<html>a page about a picture</html>"),
        (200, {}, b""),
        (200, {"Content-Length": str(10**9)}, b""),
        (302, {"Location": "file:///etc/hostname"}, b""),
        (302, {"Location": "ftp://127.0.0.1/x.png"}, b""),
        (302, {"Location": "/page"}, b""),
        (200, {"Content-Length": "many"}, b""),
    ],
)
def test_what_is_no_picture_is_one_sentence_and_not_asked_again(web, page):
    address, pages, asked = web
    if page is not None:
        pages["/page"] = page
    for _ in range(2):
        with pytest.raises(ImageError) as error:
            picture_thumbnail(f"{address}/page")
        assert f"{address}/page" in str(error.value)
    assert set(asked) == {"/page"}
    before = len(asked)
    with pytest.raises(ImageError):
        picture_thumbnail(f"{address}/page")
    assert len(asked) == before


def test_a_body_without_end_is_cut(web, png, monkeypatch):
    address, pages, _ = web
    monkeypatch.setattr("index.sources.web.MAX_BYTES", 100_000)
    pages["/large.png"] = (200, {}, png + b"\0" * 300_000)
    with pytest.raises(ImageError, match="larger than"):
        picture_thumbnail(f"{address}/large.png")


def test_redirections_are_followed(web, png):
    address, pages, _ = web
    pages |= {"/old": (301, {"Location": "/new"}, b""), "/new": (200, {}, png)}
    assert picture_thumbnail(f"{address}/old")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/x.png", "http://", "http://[bad/x", "http://127.0.0.1:99999/"])
def test_addresses_that_lead_nowhere(web, address):
    with pytest.raises(ImageError):
        picture_thumbnail(address)


def test_files_by_their_path(tmp_path, png):
    assert picture_thumbnail(str(tmp_path / "red.png"))[:2] == b"\xff\xd8"
    with pytest.raises(ImageError):
        picture_thumbnail(str(tmp_path / "nothing.png"))
