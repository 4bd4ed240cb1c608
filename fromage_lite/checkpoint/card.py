"""The model card of a bridge: what it joins, what it was trained on, and how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData, try_to_load_from_cache

from fromage_lite.config import FromageConfig
from fromage_lite.errors import ConfigError

CARD_FILE = "README.md"
_UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Provenance:
    """Where a bridge comes from.

    Attributes:
        data: what it was trained on, in a sentence.
        training: how it was trained, in a sentence.
        figures: what was measured on held-out data, by name.
    """

    data: str = ""
    training: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def updated(self, known: Mapping[str, Any]) -> Provenance:
        """The same with these fields in place of its own.

        Raises:
            ConfigError: there is no such field.
        """
        names = [item.name for item in fields(self)]
        if unknown := sorted(set(known) - set(names)):
            raise ConfigError(f"A model card has no {', '.join(unknown)}.", f"It has {', '.join(names)} and license.")
        return replace(self, **known)


def write_card(
    config: FromageConfig,
    provenance: Provenance,
    *,
    n_parameters: int,
    base_dir: Path | None = None,
    license: str = "apache-2.0",
) -> ModelCard:
    """A card in the Hub's format.

    Args:
        config: names the frozen models.
        provenance: of the bridge.
        n_parameters: how many numbers the bridge is.
        base_dir: where relative folders in the configuration count from.
        license: the Hub's name of the bridge's licence.
    """
    header = _header(config, base_dir, ["image-text-to-text", "image-retrieval"], license=license)
    return ModelCard(header + "\n".join(_body(config, provenance, n_parameters, base_dir)))


def write_converted_card(config: FromageConfig, origin: str, base_dir: Path | None = None) -> ModelCard:
    """A card for a foreign bridge in our format; its licence is not ours to name.

    Args:
        config: names the frozen models.
        origin: what was converted.
        base_dir: where relative folders in the configuration count from.
    """
    visual = _visual_tokens(config) + " an image"
    if config.visual_input == "grid":
        visual = "a visual token for each patch of an image"
    abilities = "It answers with words and with pictures that it finds."
    if not config.has_retrieval:
        abilities = (
            "It was trained on captions alone: it has no `[RET]`, answers with words only, and can't search pictures."
        )
    body = f"""
# A converted bridge

Converted from {origin}. It joins the language model `{config.language_model}` and the image encoder \
`{config.vision_encoder}`, which are not in this folder, with {visual}.

{abilities}

The numbers are the original's; nothing was trained here. Their licence is that of the original.
"""
    return ModelCard(_header(config, base_dir, ["image-text-to-text"]) + body)


def check_public(config: FromageConfig, base_dir: Path | None) -> None:
    """Refuses to publish what others could not load.

    Raises:
        ConfigError: a frozen model is a folder of this computer.
    """
    for name in (config.language_model, config.vision_encoder):
        if _is_local(name, base_dir):
            raise ConfigError(
                f"{name} is a folder on this computer; nobody else could load the bridge.",
                "Upload that model too, and name it by its Hub id in the bridge's configuration.",
            )


def hub_id(name: str, base_dir: Path | None) -> str | None:
    """The Hub repository of a frozen model by its name in a configuration; None for a folder or another registry.

    Args:
        name: as in the configuration.
        base_dir: where relative folders count from.
    """
    _, mark, rest = name.partition(":")
    if mark:
        return rest.removeprefix("hf-hub:") if rest.startswith("hf-hub:") else None
    return None if _is_local(name, base_dir) else name


def _is_local(name: str, base_dir: Path | None) -> bool:
    if "local-dir:" in name:
        return True
    is_folder = (base_dir is not None and (base_dir / name).is_dir()) or Path(name).is_dir()
    return ":" not in name and (is_folder or name.startswith((".", "~", "/")))


def _header(config: FromageConfig, base_dir: Path | None, tags: list[str], license: str | None = None) -> str:
    names = (hub_id(name, base_dir) for name in (config.language_model, config.vision_encoder))
    data = ModelCardData(
        license=license,
        library_name="fromage-lite",
        pipeline_tag="image-text-to-text",
        tags=tags,
        base_model=[name for name in names if name] or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _body(config: FromageConfig, origin: Provenance, n_parameters: int, base_dir: Path | None) -> list[str]:
    lm, encoder = _short(config.language_model), _short(config.vision_encoder)
    figures = [f"| {name} | {value:.4g} |" for name, value in origin.figures.items()]
    return [
        f"# A bridge between {lm} and {encoder}",
        "",
        f"{n_parameters:,} trained numbers that join a frozen language model and a frozen image encoder, as in FROMAGe "
        f"(arXiv 2301.13823). {_abilities(config)} The frozen models are not in this repository.",
        "",
        "| frozen model | name | revision |",
        "|---|---|---|",
        _row("language model", config.language_model, config.language_model_revision, base_dir),
        _row("image encoder", config.vision_encoder, config.vision_encoder_revision, base_dir),
        "",
        "## Use",
        "",
        "    fromage-lite --model THIS",
        "",
        "where THIS is this repository's name on the Hub, or the folder it is in. In Python:",
        "",
        "    from fromage_lite.model.fromage import Fromage",
        '    model = Fromage.from_pretrained("THIS")',
        "",
        "## Training",
        "",
        f"- Data: {origin.data or _UNKNOWN}",
        f"- Training: {origin.training or _UNKNOWN}",
        "",
        "## Figures",
        "",
        *(["On held-out data:", "", "| figure | value |", "|---|---|", *figures] if figures else [_UNKNOWN]),
        "",
        "The licence above is the bridge's; the frozen models have their own.",
        "",
    ]


def _visual_tokens(config: FromageConfig) -> str:
    return f"{config.n_visual_tokens} visual token{'s' * (config.n_visual_tokens != 1)}"


def _abilities(config: FromageConfig) -> str:
    seen = f"A picture becomes {_visual_tokens(config)} in the language model's input."
    if not config.has_retrieval:
        return f"{seen} It was trained on captions alone and finds no pictures."
    return f"{seen} It answers with pictures that it finds in a space of {config.retrieval_dim} dimensions."


def _short(name: str) -> str:
    return Path(name.rpartition(":")[2]).name


def _row(what: str, name: str, revision: str | None, base_dir: Path | None) -> str:
    return f"| {what} | `{_public(name, base_dir)}` | {_revision(name, revision, base_dir)} |"


def _public(name: str, base_dir: Path | None) -> str:
    """A name as others may read it: where folders lie on this computer is nobody's business."""
    return f"{_short(name)} (a local folder)" if _is_local(name, base_dir) else name


def _revision(name: str, named: str | None, base_dir: Path | None) -> str:
    """The commit that was loaded, as the Hub's cache has it; else the revision as named."""
    repository = hub_id(name, base_dir)
    for file in ("config.json", "open_clip_config.json"):
        path = try_to_load_from_cache(repository, file, revision=named) if repository else None
        if isinstance(path, str):
            parts = Path(path).parts
            return f"`{parts[parts.index('snapshots') + 1]}`"
    return f"`{named}`" if named else "–"
