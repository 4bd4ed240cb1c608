import json

import pytest

from fromage_lite.config import FromageConfig, GenerationSettings, playground_dir, read_config, shipped_name
from fromage_lite.errors import CheckpointError, ConfigError

NAMES = {"language_model": "facebook/opt-125m", "vision_encoder": "open_clip:RN50/openai"}


def test_config_survives_json():
    config = FromageConfig(**NAMES, text_emb_layers=(-1, 3), suppress_tokens=("[",), image_prefix="[", tie_ret=False)
    assert FromageConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_settings_survive_json():
    settings = GenerationSettings(temperature=0.7, top_p=0.9, ret_mode="always", score_threshold=0.2, seed=5)
    assert GenerationSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_unknown_key_is_named():
    with pytest.raises(ConfigError, match="'n_visual_tokns'"):
        FromageConfig.from_dict({**NAMES, "n_visual_tokns": 4})


def test_missing_name_is_an_error():
    with pytest.raises(ConfigError, match="vision_encoder"):
        FromageConfig.from_dict({"language_model": "x"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language_model", " "),
        ("language_model", 3),
        ("n_visual_tokens", 0),
        ("n_visual_tokens", True),
        ("retrieval_dim", 1.5),
        ("text_emb_layers", ()),
        ("text_emb_layers", (-1, -1)),
        ("text_emb_layers", ("last",)),
        ("prompt_template", "poem"),
        ("tie_ret", "yes"),
        ("suppress_tokens", ("",)),
        ("lm_rows", 0),
    ],
)
def test_bad_config_value_names_its_field(field, value):
    with pytest.raises(ConfigError, match=field):
        FromageConfig(**{**NAMES, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_new_tokens", 0),
        ("temperature", -1),
        ("temperature", float("nan")),
        ("top_p", 0),
        ("top_p", 1.1),
        ("ret_mode", "often"),
        ("ret_bias", "big"),
        ("min_word_tokens", -1),
        ("images_per_ret", 0),
        ("max_images", -1),
        ("seed", -1),
        ("seed", 2**63),
    ],
)
def test_bad_setting_names_its_field(field, value):
    with pytest.raises(ConfigError, match=field):
        GenerationSettings(**{field: value})


def test_read_config_says_what_is_wrong(tmp_path):
    with pytest.raises(CheckpointError, match="config.json is missing"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"language_model": ')
    with pytest.raises(CheckpointError, match="can't be read"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="not a JSON object"):
        read_config(tmp_path)


def test_playground_dir_is_where_the_repository_keeps_it():
    assert playground_dir().parts[-2:] in (("checkpoints", "playground"), ("_checkpoints", "playground"))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("playground", "playground"),
        (str(playground_dir()), "playground"),
        (playground_dir() / "fromage", "playground"),
        (playground_dir() / "fromage" / ".." / "fromage-chat", "playground"),
        (playground_dir() / "fromage" / "deeper", ""),
        ("facebook/opt-125m", ""),
        ("/", ""),
        ("photo", ""),
    ],
)
def test_which_shipped_model_a_name_means(model, expected):
    assert shipped_name(model) == expected


def test_a_short_name_means_the_shipped_model_unless_a_folder_of_that_name_holds_one(tmp_path, monkeypatch):
    from fromage_lite.checkpoint.locate import checkpoint_folder

    monkeypatch.chdir(tmp_path)
    assert checkpoint_folder("playground") == playground_dir() / "fromage-chat"
    (tmp_path / "playground").mkdir()
    (tmp_path / "playground" / "cat.jpg").write_bytes(b"x")  # a folder of pictures
    assert checkpoint_folder("playground") == playground_dir() / "fromage-chat"
    assert checkpoint_folder("./playground").resolve() == tmp_path / "playground"
    (tmp_path / "playground" / "config.json").write_text("{}")
    assert checkpoint_folder("playground").resolve() == tmp_path / "playground"
    assert shipped_name("playground") == ""
