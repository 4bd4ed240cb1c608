"""A run from names to a checkpoint: the script, a table of captions, several processes."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage
from safetensors.torch import load_file

from fromage_lite.errors import ConfigError
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.options import RunOptions
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.run import run
from fromage_lite.training.state import has_checkpoint
from tests.fromage_lite.training.test_train import RECIPE, make_data

REPOSITORY = Path(__file__).parents[3]

# --- from names to a checkpoint ---


@pytest.fixture
def recipe():
    return Recipe.from_dict({**RECIPE.to_dict(), "steps": 6, "bridge": {"retrieval_dim": 8}})


@pytest.fixture
def options(tmp_path, tiny_lm_dir, tiny_encoder_dir):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(24):
        PILImage.new("RGB", (40, 30), (10 * number, 100, 50)).save(folder / f"{number}.png")
    table = tmp_path / "captions.tsv"
    table.write_text("".join(f"a picture {number}\t{number}.png\n" for number in range(24)))
    return RunOptions(
        data=table,
        images_root=folder,
        language_model=str(tiny_lm_dir),
        vision_encoder=f"open_clip:local-dir:{tiny_encoder_dir}",
        out=tmp_path / "run",
        device="cpu",
        export=tmp_path / "exported",
    )


def test_a_run_on_a_table_ends_in_a_model_that_loads(recipe, options, tmp_path):
    lines = []
    assert not run(recipe, options, lines.append)
    text = "\n".join(lines)
    assert "24 captions" in text and "visual_embeddings.weight" in text and "Best on held-out data at step 6" in text
    exported = Fromage.from_pretrained(tmp_path / "exported", device="cpu")
    best = Fromage.from_pretrained(tmp_path / "run" / "best", device="cpu").trained_parameters()
    for name, value in exported.trained_parameters().items():
        assert torch.allclose(value, best[name], rtol=1e-3, atol=1e-5), name  # half precision
    assert exported.config.retrieval_dim == 8
    assert not (tmp_path / "exported" / "training_state.json").exists()
    card = (tmp_path / "exported" / "README.md").read_text()
    (counts,) = re.findall(
        r"Data: (\d+) captions, 0 dialogues and 24 pictures of captions.tsv; (\d+) more captions", card
    )
    assert sum(map(int, counts)) == 24
    assert "6 steps of 4 captions" in card and "| total |" in card and str(tmp_path) not in card
    with pytest.raises(ConfigError, match="already a run"):
        run(recipe, options, lines.append)
    assert not run(recipe, dataclasses.replace(options, resume=True), lines.append)


def test_a_run_whose_length_nobody_chose_says_what_it_takes_and_what_would_fit(recipe, options):
    long = dataclasses.replace(recipe, steps=5000, batch_size=4, warmup_steps=2)
    lines: list[str] = []
    assert not run(long, dataclasses.replace(options, export=None, max_steps=7), lines.append)
    (before,) = (n for n, line in enumerate(lines) if "steps of 4 captions go through" in line)
    assert "up to step 7" in lines[before - 1] and "7 steps of 4 captions" in lines[before]
    (measured,) = (n for n, line in enumerate(lines) if "A step takes" in line)
    assert before < measured < len(lines) - 1
    assert "Trained 7 steps" in lines[-1] and "The best bridge is in" in lines[-1]
    assert (options.out / "best" / "model.safetensors").is_file()
    chosen = dataclasses.replace(options, export=None, steps=3, overwrite=True)
    lines.clear()
    run(dataclasses.replace(long, steps=3), chosen, lines.append)
    assert not [line for line in lines if "would fit" in line or "A step takes" in line]


def test_without_held_out_captions_it_says_why_there_is_no_best(recipe, options, tmp_path):
    (options.images_root / "few.tsv").write_text("a picture 0\t0.png\na picture 1\t1.png\n")
    few = dataclasses.replace(options, data=options.images_root / "few.tsv", export=None)
    lines: list[str] = []
    run(dataclasses.replace(recipe, batch_size=2), few, lines.append)
    assert not (options.out / "best").exists()
    assert "Without held-out captions" in lines[-1] and f"the last bridge is in {options.out / 'last'}" in lines[-1]


def test_visual_tokens_that_begin_as_text_are_the_nearest_linear_map_to_the_captions_embeddings(recipe, options):
    values = {**recipe.to_dict(), "visual_rate": 1e-9, "visual_init": "text", "whiten_features": True}
    run(Recipe.from_dict(values), dataclasses.replace(options, export=None), lambda line: None)
    model = Fromage.from_pretrained(options.out / "last", device="cpu")
    pictures = [PILImage.open(options.images_root / f"{number}.png") for number in range(24)]
    features = model.image_features(pictures).pooled.double()
    first = torch.tensor(
        [model.language.tokenizer.encode(f"a picture {n}", add_special_tokens=False)[0] for n in range(24)]
    )
    wanted = model.language.model.get_input_embeddings().weight[first].double()
    residual = model.visual_embeds(features.float())[:, 0].double() - wanted
    assert residual.abs().max() < 1e-3  # all captions begin with the same token


def test_a_relative_trains_on_a_table_and_loads_again(recipe, options, tmp_path):
    """Patches, LayerNorm, LoRA and a soft prompt, captions alone: with and without new features, and resumed."""
    bridge = {"visual_input": "grid", "visual_norm": True, "image_attention": "both", "has_retrieval": False}
    values = {**recipe.to_dict(), "bridge": {**bridge, "lora_rank": 2, "soft_prompt": 2}, "max_tokens": 40}
    relative = Recipe.from_dict({**values, "weights": {"retrieval": 0, "contrastive": 0}, "image_dropout": 0.1})
    lines: list[str] = []
    assert not run(relative, dataclasses.replace(options, max_steps=3, export=None), lines.append)
    assert not run(relative, dataclasses.replace(options, resume=True), lines.append)
    text = "\n".join(lines)
    assert "adapters." in text and "soft_prompt.tokens" in text and "ret_row" not in text
    exported = Fromage.from_pretrained(tmp_path / "exported", device="cpu")
    last = Fromage.from_pretrained(tmp_path / "run" / "best", device="cpu")
    assert exported.adapters is not None
    for name, value in exported.trained_parameters().items():
        assert torch.allclose(value, last.trained_parameters()[name], rtol=1e-3, atol=1e-4), name


def test_a_map_to_visual_tokens_that_the_data_gives_stays_as_it_is(recipe, options):
    values = {**recipe.to_dict(), "visual_rate": 0.0, "visual_init": "given"}
    given = {}

    def own_data(model, recipe, seed):
        visual = model.bridge.visual_embeddings
        given["map"] = torch.randn_like(visual.weight), torch.randn_like(visual.bias)
        return dataclasses.replace(make_data(model), visual_map=given["map"]), "Made up."

    without_data = dataclasses.replace(options, data=None, export=None)
    assert not run(Recipe.from_dict(values), without_data, lambda line: None, own_data)
    trained = Fromage.from_pretrained(options.out / "last", device="cpu").bridge.visual_embeddings
    assert torch.equal(trained.weight, given["map"][0])
    assert torch.equal(trained.bias, given["map"][1])
    again = dataclasses.replace(without_data, overwrite=True)
    with pytest.raises(ConfigError, match="no map to visual tokens"):
        run(Recipe.from_dict(values), again, lambda line: None, lambda model, *_: (make_data(model), "Made up."))


def test_a_bridge_to_a_quantised_language_model_learns(recipe, options, tmp_path):
    exact = Recipe.from_dict({**recipe.to_dict(), "learning_rate": 1e-3})
    losses = {}
    for quantize in ("none", "int8"):
        lines = []
        out = tmp_path / quantize
        run(exact, dataclasses.replace(options, out=out, export=None, quantize=quantize), lines.append)
        (best,) = [line for line in lines if line.startswith("Best on held-out data")]
        losses[quantize] = float(best.split("total ")[1].split(",")[0].rstrip("."))
    assert losses["int8"] == pytest.approx(losses["none"], rel=0.02)


def test_naming_one_frozen_model_only_is_refused(recipe, options):
    with pytest.raises(ConfigError, match="Only one of the two"):
        run(recipe, dataclasses.replace(options, vision_encoder=None), print)


def test_the_script_explains_itself_and_reports_errors_in_one_sentence(tmp_path):
    def script(*arguments):
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "100", "TERM": "dumb"}
        return subprocess.run(
            [sys.executable, REPOSITORY / "scripts" / "train.py", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )

    result = script("--help")
    assert result.returncode == 0 and "--resume" in result.stdout and "playground" in result.stdout
    result = script("--recipe", "nonsense")
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("Error: There is no recipe 'nonsense'.") and len(result.stderr.splitlines()) == 1


# --- trials ---


def test_a_dry_run_says_what_a_run_would_take_and_writes_nothing(recipe, options, monkeypatch):
    monkeypatch.setattr("fromage_lite.training.data.tables.build_store", None)  # no picture is read
    lines: list[str] = []
    assert not run(recipe, dataclasses.replace(options, dry_run=True), lines.append)
    said = "\n".join(lines)
    assert "Memory: " in said and "Steps: 6 of 4 captions, 1 passes through 24" in said and "Time: a step takes" in said
    assert "for 24 pictures" in said and lines[-1] == "Nothing was written."
    assert not options.out.exists() and not options.export.exists()


def test_a_search_for_the_learning_rate_leaves_a_table_and_no_checkpoint(recipe, options):
    lines: list[str] = []
    assert not run(recipe, dataclasses.replace(options, find_lr=True, export=None), lines.append)
    rates = [float(line.split(",")[0]) for line in (options.out / "find_lr.csv").read_text().splitlines()[1:]]
    assert rates == sorted(rates) and len(rates) > 10
    assert "The loss falls fastest at a learning rate of" in lines[-1] and "find_lr.png" in lines[-1]
    assert not (options.out / "last").exists()


def test_a_search_for_the_learning_rate_goes_by_the_loss_of_all_processes(recipe, options, monkeypatch):
    """By its own loss a process could stop before the others, which would wait for it forever."""
    monkeypatch.setattr("accelerate.Accelerator.reduce", lambda *_: torch.tensor(5.0))
    run(recipe, dataclasses.replace(options, find_lr=True, export=None), lambda line: None)
    lines = (options.out / "find_lr.csv").read_text().splitlines()[1:]
    assert {line.split(",")[1] for line in lines} == {"5"}


def test_one_process_has_nobody_to_divide_the_language_model_with(recipe, options):
    with pytest.raises(ConfigError, match="one process only.*accelerate launch"):
        run(recipe, dataclasses.replace(options, shard_lm=True), lambda line: None)


def test_a_language_model_with_adapters_is_not_divided(recipe, options):
    adapted = Recipe.from_dict({**recipe.to_dict(), "bridge": {"lora_rank": 2}})
    with pytest.raises(ConfigError, match="adapters in the language model"):
        run(adapted, dataclasses.replace(options, shard_lm=True), lambda line: None)


# --- several processes ---

WORKER = """
import os, sys
from pathlib import Path
import torch, torch.distributed as dist
rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
checkpoint, source = sys.argv[4:]
sys.path.insert(0, source)
if world > 1:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
torch.set_num_threads(1)
from fromage_lite.training.data.batches import Batches
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.losses import step_losses
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.recipe import Weights
from tests.fromage_lite.training.test_train import RECIPE, make_data
model = Fromage.from_pretrained(checkpoint, device="cpu")
recipe = type(RECIPE).from_dict({**RECIPE.to_dict(), "extra_negatives": 0, "weights": {"dialogue_contrastive": 0}})
batches = Batches(make_data(model), SequenceEncoder(model.language, model.config), recipe, 0, rank, world)
losses = step_losses(model, batches.step(0), recipe.weights)
losses["total"].backward()
result = {name: parameter.grad for name, parameter in model.trained_parameters().items()}
result |= {"loss." + name: loss.detach() for name, loss in losses.items()}
for value in result.values():
    if world > 1:
        dist.all_reduce(value)
        value /= world
torch.save(result, folder / f"result-{rank}-of-{world}.pt")
if world > 1:
    dist.barrier()  # a process that leaves early takes the connection from under the other
    dist.destroy_process_group()
os._exit(0)  # gloo's threads may outlive the group and abort an interpreter that ends
"""


@pytest.mark.slow
def test_two_processes_make_the_gradients_of_one(tiny_checkpoint, tmp_path):
    """In the reference the contrastive gradient was divided by the number of processes."""
    runs = [(0, 1), (0, 2), (1, 2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(world), str(tmp_path), str(tiny_checkpoint), str(REPOSITORY)],
            cwd=REPOSITORY,
        )
        for rank, world in runs
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0, 0]
    one, two, _ = (torch.load(tmp_path / f"result-{rank}-of-{world}.pt", weights_only=True) for rank, world in runs)
    one.pop("loss.dialogue_contrastive")  # its negatives are each process's own
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-5, rtol=1e-4), name


@pytest.fixture
def command(recipe, options, tmp_path):
    """The script's arguments for a run of twenty steps on the table, without the folder of the run."""
    values = {**recipe.to_dict(), "save_every": 1, "validate_every": 10, "mixed_precision": "no"}
    names = ("batch_size", "save_every", "validate_every", "learning_rate", "warmup_steps")
    text = "".join(f"{name} = {values[name]}\n" for name in names)
    (tmp_path / "small.toml").write_text(f"{text}[bridge]\nretrieval_dim = 8\n")
    return [
        str(REPOSITORY / "scripts" / "train.py"),
        *(
            "--data",
            str(options.data),
            "--images-root",
            str(options.images_root),
            "--recipe",
            str(tmp_path / "small.toml"),
        ),
        *("--language-model", options.language_model, "--vision-encoder", options.vision_encoder),
        *("--steps", "20", "--device", "cpu", "--tracker", "none"),
    ]


def started(arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )


def bridge_of(folder):
    return load_file(folder / "last" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("divided", [False, True], ids=["whole", "fsdp"])
def test_two_processes_with_half_the_batch_each_make_the_bridge_of_one(command, tmp_path, divided):
    """Also where each holds half of the language model's layers only. Started as `accelerate launch` starts them."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    more = {"ACCELERATE_USE_FSDP": "true"} if divided else {}
    two = started([*launch, *command, "--out", str(tmp_path / "two")], **more)
    assert two.returncode == 0, two.stderr
    one = started([*command, "--out", str(tmp_path / "one")])
    assert one.returncode == 0, one.stderr
    state = [json.loads((tmp_path / run / "last" / "training_state.json").read_text()) for run in ("one", "two")]
    assert [s["identity"]["processes"] for s in state] == [1, 2] and [s["step"] for s in state] == [20, 20]
    assert state[0]["best_loss"] == pytest.approx(state[1]["best_loss"], rel=1e-3)
    found, expected = bridge_of(tmp_path / "two"), bridge_of(tmp_path / "one")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-3 * float(value.abs().max()), rtol=1e-3, msg=name)


KILLED = """
import os, random, signal, sys, threading
sys.path.insert(0, sys.argv.pop(1))
moment = float(sys.argv.pop(1))
from fromage_lite.training.trainer import Trainer
step, began = Trainer.step, []
def kills(self, *arguments):
    if not began:
        began.append(threading.Timer(moment, os.kill, (os.getpid(), signal.SIGKILL)))
        began[0].daemon = True
        began[0].start()
    return step(self, *arguments)
Trainer.step = kills
from tui.cli.main import main
sys.argv[0] = "fromage-lite"
main()
"""


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(command, tmp_path):
    """`kill -9` in the middle of steps and of writes: a checkpoint is written after every step."""
    whole = started([*command, "--out", str(tmp_path / "whole")])
    assert whole.returncode == 0, whole.stderr
    out, moments = tmp_path / "killed", random.Random(1)
    for attempt in range(5):
        resume = ["--resume"] if has_checkpoint(out / "last") else ["--overwrite"]
        moment = str(moments.uniform(0.02, 0.6))
        killed = started(["-c", KILLED, str(REPOSITORY), moment, "train", *command[1:], "--out", str(out), *resume])
        assert killed.returncode in (-signal.SIGKILL, 0), (attempt, killed.stderr)
    resumed = started([*command, "--out", str(out), "--resume"])
    assert resumed.returncode == 0, resumed.stderr
    found, expected = bridge_of(out), bridge_of(tmp_path / "whole")
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    metrics = [(folder / "last" / "metrics.jsonl").read_text() for folder in (out, tmp_path / "whole")]
    assert metrics[0] == metrics[1]
