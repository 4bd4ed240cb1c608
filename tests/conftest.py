"""Tiny random models, made once a session, and a guard against the network."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell starts background jobs so, and processes pass it on
    signal.signal(signal.SIGINT, signal.default_int_handler)

CORPUS = [
    "a photo of a cat on the beach. a big dog and a small tree in the snow.",
    "Q: what is in this picture?\nA: a red car and two apples at night.",
    "Q: show me a lion in the forest.\nA: here it is.\nQ: and in the desert?\nA: here.",
    "Q: how many cars are there?\nA: three. yes, no. [big cat small tree beach] one two four",
]


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a UNIX socket
    host = str(address[0]).split("%")[0]
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test may reach beyond this machine."""

    def guard(name):
        original = getattr(socket.socket, name)

        def connect(self, address, *arguments):
            if not _is_local(address):
                raise AssertionError(f"a test tried to reach {address}")
            return original(self, address, *arguments)

        monkeypatch.setattr(socket.socket, name, connect)

    guard("connect")
    guard("connect_ex")
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *arguments, **options):
        if host and not _is_local((host,)):
            raise AssertionError(f"a test tried to look up {host}")
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture(scope="session")
def _tiny_root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A byte-level BPE tokenizer with the playground's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="</s>", eos_token="</s>", pad_token="<pad>")


@pytest.fixture(scope="session")
def tiny_lm_dir(_tiny_root, tiny_tokenizer) -> Path:
    """A random OPT of two layers and 128 positions in bfloat16, with its tokenizer; eight rows belong to no word."""
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(1)
    config = OPTConfig(
        vocab_size=len(tiny_tokenizer) + 8,
        hidden_size=32,
        word_embed_proj_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=64,
        max_position_embeddings=128,
        init_std=0.2,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    folder = _tiny_root / "lm"
    model = OPTForCausalLM(config)
    for name, parameter in model.named_parameters():  # strong enough that the reply depends on every token before it
        if "embed_tokens" not in name:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.5 if parameter.dim() > 1 else 0.2)
    model.to(torch.bfloat16).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder_dir(_tiny_root) -> Path:
    """A random ModifiedResNet CLIP of 32 px in open_clip's local form; its pooled feature has 24 numbers."""
    import json

    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(2)
    model_config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    preprocess = {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "size": 32,
    }
    folder = _tiny_root / "encoder"
    folder.mkdir()
    model = open_clip.CLIP(**model_config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics as after training, so that pictures differ
            module.running_mean.normal_(std=0.1)
            module.weight.data.uniform_(0.5, 1.5)
    model.visual.attnpool.c_proj.weight.data.mul_(100)
    tensors = {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    config = {"model_cfg": model_config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def tiny_parts(tiny_lm_dir, tiny_encoder_dir):
    """The frozen models, loaded once: (LanguageModel, VisionEncoder)."""
    from fromage_lite.language.loading import load_language_model
    from fromage_lite.vision import VisionEncoder

    return load_language_model(str(tiny_lm_dir)), VisionEncoder.load(f"open_clip:local-dir:{tiny_encoder_dir}")


@pytest.fixture(scope="session")
def tiny_checkpoint(_tiny_root, tiny_parts) -> Path:
    """A folder with a random bridge that names the tiny models by relative paths."""
    import torch

    from fromage_lite.config import FromageConfig
    from fromage_lite.model.fromage import Fromage

    torch.manual_seed(3)
    folder = _tiny_root / "fromage"
    config = FromageConfig(
        language_model="../lm",
        vision_encoder="open_clip:local-dir:../encoder",
        n_visual_tokens=2,
        retrieval_dim=16,
        image_prefix="[",
        image_suffix="]",
        suppress_tokens=("[", " ["),
    )
    Fromage.from_parts(*tiny_parts, config, base_dir=folder).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_model(tiny_parts, tiny_checkpoint):
    """The tiny model on the CPU: its own bridge for every test, the frozen models shared."""
    from fromage_lite.config import WEIGHTS_FILE, read_config
    from fromage_lite.files import read_tensors
    from fromage_lite.model.bridge import load_bridge
    from fromage_lite.model.fromage import Fromage

    model = Fromage.from_parts(*tiny_parts, read_config(tiny_checkpoint), base_dir=tiny_checkpoint)
    load_bridge(model.bridge, read_tensors(tiny_checkpoint / WEIGHTS_FILE), tiny_checkpoint)
    return model


@pytest.fixture
def pictures():
    """Four small pictures of different colours and sizes."""
    from PIL import Image

    sizes = [(40, 32), (32, 48), (64, 64), (33, 35)]
    pictures = []
    for number, (colour, size) in enumerate(zip(["red", "green", "blue", "white"], sizes, strict=True)):
        picture = Image.new("RGB", size, colour)
        picture.paste("black", (4 * number, 4, 4 * number + 12, 20))
        pictures.append(picture)
    return pictures


@pytest.fixture
def picture(tmp_path, pictures) -> str:
    """The first of them as a file with a space in its name."""
    path = tmp_path / "red picture.png"
    pictures[0].save(path)
    return str(path)


@pytest.fixture
def script(agent):
    """Decides what the model of the fixture `agent` says."""
    from tests.fromage_lite.fakes import Script

    return Script(agent)


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server of pages: {path: (status, headers, body)}; notes what was asked for."""
    pages, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, headers, body = pages.get(self.path, (404, {}, b"gone"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FROMAGE_PRIVATE_ADDRESSES", "1")  # this server's is one
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", pages, asked
    server.shutdown()
    server.server_close()
    thread.join()
