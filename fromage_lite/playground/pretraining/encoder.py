"""Pretraining of the playground's image encoder: a small CLIP in open_clip's own format, from nothing.

Beside the contrastive loss the pooled feature learns, through linear heads that are thrown away, to name what is in the
picture: which things there are at all, and from left to right each group's count, size, colour and name. In a second
phase the names are read by least squares too, which asks for more than a softmax does: the feature must then hold each
name at one strength and nothing of the others, and that is what another linear map, a bridge's, can carry over.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.files import write_tensors
from fromage_lite.playground.pretraining.lm import TAGS
from fromage_lite.playground.pretraining.tokenizer import VOCAB_SIZE, save_encoder_tokenizer
from fromage_lite.playground.text.grammar import FULL, N_TAGS, caption, random_style, tags
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, Scene, sample_scene
from fromage_lite.playground.world.things import THINGS
from fromage_lite.pretraining.loop import State, optimizer_for, run
from fromage_lite.pretraining.tokenizer import EOS_ID, PAD_ID
from index.files import write_bytes

IMAGE_SIZE = 96
DIM = 512
CONTEXT_LENGTH = 48
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

MODEL_CFG: dict[str, Any] = {
    "embed_dim": DIM,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 2, 2, 2], "width": 32},
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": VOCAB_SIZE,
        "width": 128,
        "heads": 4,
        "layers": 2,
        "pool_type": "eos",
        "eos_id": EOS_ID,
        "pad_id": PAD_ID,
        "hf_tokenizer_name": "tokenizer",
    },
}
PREPROCESS_CFG: dict[str, Any] = {
    "size": [IMAGE_SIZE, IMAGE_SIZE],
    "mode": "RGB",
    "mean": list(MEAN),
    "std": list(STD),
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
_TAG_INDEX = {tag: i for i, tag in enumerate(TAGS)}
_THING_INDEX = {thing: i for i, thing in enumerate(THINGS)}
_RENDER_SIZES = (96, 96, 128, 160, 224, 224)


def make_model() -> Any:
    """The untrained CLIP: a ModifiedResNet of 7 M parameters and a text tower of 0.6 M."""
    from open_clip.model import CLIP

    return CLIP(**MODEL_CFG)


def picture(scene: Scene, seed: int, rng: random.Random) -> np.ndarray:
    """A training picture: rendered at one of several sizes, then `(96, 96, 3)` uint8; light and contrast vary."""
    image = render(scene, seed, rng.choice(_RENDER_SIZES))
    if image.width != IMAGE_SIZE:
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, dtype=np.float32)
    return (pixels * rng.uniform(0.9, 1.1) + rng.uniform(-10, 10)).clip(0, 255).astype(np.uint8)


def normalize(pixels: Tensor) -> Tensor:
    """`(batch, height, width, 3)` uint8 to normalised `pixel_values` `(batch, 3, height, width)` float32."""
    values = pixels.permute(0, 3, 1, 2).float().div(255)
    mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (values - mean) / std


def batches(seed: int, step: int, size: int) -> Iterator[dict[str, Any]]:
    """Batches of pictures, captions and labels from step `step` on; the step number fixes the content."""
    while True:
        rng = random.Random(f"encoder {seed}:{step}")
        scenes = [sample_scene(rng) for _ in range(size)]
        pixels = [picture(scene, rng.randrange(HELD_OUT_SEED), rng) for scene in scenes]
        presence = np.zeros((size, len(THINGS)), dtype=np.float32)
        for row, scene in enumerate(scenes):
            presence[row, [_THING_INDEX[thing] for thing in scene.things]] = 1
        yield {
            "pixels": torch.from_numpy(np.stack(pixels)),
            "captions": [caption(s, rng, FULL if rng.random() < 0.5 else random_style(rng)) for s in scenes],
            "tags": torch.tensor([[_TAG_INDEX[tag] for tag in tags(scene)] for scene in scenes]),
            "presence": torch.from_numpy(presence),
        }
        step += 1


class Pretrainer:
    """Contrastive loss, plus the naming of things by linear heads on the pooled feature.

    Args:
        model: the CLIP.
        tokenizer: of its text tower.
        device: where it trains.
        readout: `(N_TAGS * len(TAGS), DIM + 1)`, first weights (the last column is the bias) of a head that names by
            least squares; None trains without one.
    """

    def __init__(self, model: Any, tokenizer: Any, device: str, readout: Tensor | None = None) -> None:
        self.model = model.to(device, memory_format=torch.channels_last).train()
        self.heads = nn.ModuleDict(
            {"tags": nn.Linear(DIM, N_TAGS * len(TAGS)), "presence": nn.Linear(DIM, len(THINGS))}
        )
        if readout is not None:
            self.heads["readout"] = nn.Linear(DIM, N_TAGS * len(TAGS))
            self.heads["readout"].load_state_dict({"weight": readout[:, :-1], "bias": readout[:, -1]})
        self.heads.to(device)
        self.tokenizer, self.device = tokenizer, device

    def __call__(self, batch: dict[str, Any]) -> dict[str, float]:
        pixel_values = normalize(batch["pixels"].to(self.device)).contiguous(memory_format=torch.channels_last)
        text = self.tokenizer(
            batch["captions"], padding="max_length", truncation=True, max_length=CONTEXT_LENGTH, return_tensors="pt"
        ).input_ids.to(self.device)
        wanted, presence = batch["tags"].to(self.device), batch["presence"].to(self.device)
        with torch.autocast(self.device, torch.bfloat16):
            pooled = self.model.encode_image(pixel_values)
            text_features = self.model.encode_text(text, normalize=True)
            tag_logits = self.heads["tags"](pooled)
            presence_logits = self.heads["presence"](pooled)
        image_features = F.normalize(pooled.float(), dim=-1)
        logits = self.model.logit_scale.exp().clamp(max=100) * image_features @ text_features.float().T
        diagonal = torch.arange(len(logits), device=logits.device)
        contrastive = (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
        tag_logits = tag_logits.float().view(-1, len(TAGS))
        naming = F.cross_entropy(tag_logits, wanted.flatten())
        present = F.binary_cross_entropy_with_logits(presence_logits.float(), presence)
        loss = 0.3 * contrastive + 2 * naming + 10 * present
        if "readout" in self.heads:
            one_hot = F.one_hot(wanted, len(TAGS)).float()
            readout = self.heads["readout"](pooled.float()).view_as(one_hot)
            squares = (readout - one_hot).square().sum(-1).mean()
            loss = loss + 4 * squares
        loss.backward()
        right = (tag_logits.argmax(-1) == wanted.flatten()).view(-1, N_TAGS)[:, 4::4]
        scalars = {
            "contrastive": contrastive.item(),
            "naming": naming.item(),
            "presence": present.item(),
            "slots": right.float().mean().item(),
            "all_named": right.all(1).float().mean().item(),
        }
        return scalars | {"squares": squares.item()} if "readout" in self.heads else scalars


def save(model: Any, lm_folder: Path, out: Path) -> None:
    """Write the CLIP in fp16 as a folder that open_clip loads as `local-dir:`."""
    out.mkdir(parents=True, exist_ok=True)
    save_encoder_tokenizer(lm_folder, out, CONTEXT_LENGTH)
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
    write_bytes(out / "open_clip_config.json", (json.dumps(config, indent=2) + "\n").encode())
    tensors = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    write_tensors(out / "open_clip_model.safetensors", tensors)


def pretrain(
    work: Path,
    lm_folder: Path,
    out: Path,
    *,
    steps: int,
    readout_steps: Sequence[int],
    batch: int = 128,
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Train the encoder in its two phases and write it to `out`.

    Args:
        work: holds the state that an interrupted run resumes from.
        lm_folder: holds the tokenizer.
        out: the folder to write.
        steps: of the first phase.
        readout_steps: of each round of the second, with the names read by least squares; each has its own schedule.
        batch: pictures a step.
        seed: decides first weights and data.
        device: where to train.
    """
    from transformers import AutoTokenizer

    save_encoder_tokenizer(lm_folder, work / "encoder-tokenizer", CONTEXT_LENGTH)
    tokenizer = AutoTokenizer.from_pretrained(work / "encoder-tokenizer")
    torch.manual_seed(seed)
    trainer = Pretrainer(make_model(), tokenizer, device)

    def phase(name: str, first: int, count: int, peak_lr: float, warmup: int) -> None:
        optimizer = optimizer_for([trainer.model, trainer.heads], 0.05, (0.9, 0.98))
        state = State(work / f"{name}.pt", {"model": trainer.model, "heads": trainer.heads}, optimizer)
        data = lambda step: batches(seed, first + step, batch)  # noqa: E731
        run(name, state, data, trainer, steps=count, peak_lr=peak_lr, warmup=warmup)

    phase("encoder", 0, steps, 2e-3, 200)
    model, heads = trainer.model, trainer.heads
    # A phase that is resumed reads these weights from its state: they need not be found again.
    resumes = (work / "encoder-readout0.pt").exists()
    readout = torch.zeros(N_TAGS * len(TAGS), DIM + 1) if resumes else least_squares_readout(model, device)
    trainer = Pretrainer(model, tokenizer, device, readout)
    trainer.heads.load_state_dict(heads.state_dict(), strict=False)
    for number, count in enumerate(readout_steps):
        phase(f"encoder-readout{number}", steps + sum(readout_steps[:number]), count, 1e-3 if number == 0 else 8e-4, 50)
    save(trainer.model, lm_folder, out)


@torch.no_grad()
def least_squares_readout(model: Any, device: str, n: int = 20_000) -> Tensor:
    """`(N_TAGS * len(TAGS), DIM + 1)`: the linear map from pooled features (and 1) to one-hot tags, over `n` scenes."""
    rng = random.Random("readout")
    products, targets = torch.zeros(DIM + 1, DIM + 1).double(), torch.zeros(DIM + 1, N_TAGS * len(TAGS)).double()
    model.eval()
    for first in range(0, n, 200):
        scenes = [sample_scene(rng) for _ in range(200)]
        pixels = [picture(scene, 7_000_000 + first + i, rng) for i, scene in enumerate(scenes)]
        pooled = model.encode_image(normalize(torch.from_numpy(np.stack(pixels)).to(device))).cpu()
        features = F.pad(pooled, (0, 1), value=1.0).double()
        wanted = torch.tensor([[_TAG_INDEX[tag] for tag in tags(scene)] for scene in scenes])
        products += features.T @ features
        targets += features.T @ F.one_hot(wanted, len(TAGS)).flatten(1).double()
    model.train()
    return torch.linalg.solve(products + torch.eye(DIM + 1), targets).T.float()
