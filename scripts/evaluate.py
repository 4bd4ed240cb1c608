"""Measure a model: retrieval, captions, questions, requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fromage_lite.errors import FromageError


def main(
    model: Annotated[Path, typer.Option(help="Playground folder, or one bridge's folder.")] = Path(
        "checkpoints/playground"
    ),
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
    n: Annotated[int, typer.Option(min=10, help="Scenes or questions a figure.")] = 500,
    n_retrieval: Annotated[int, typer.Option(min=10, help="Scenes of the retrieval figures.")] = 1000,
    seed: Annotated[int, typer.Option(help="Decides scenes and questions.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Precision of the frozen models: auto, fp32, bf16 or fp16.")] = "auto",
    quantize: Annotated[str, typer.Option(help="Round the language model: none, int8 or int4.")] = "none",
) -> None:
    """Measure a playground model on held-out scenes and print a flat table of figures."""
    from fromage_lite.playground.evaluation.run import evaluate_playground
    from fromage_lite.playground.make import write_figures

    try:
        figures = evaluate_playground(
            model, device=device, dtype=dtype, quantize=quantize, n=n, n_retrieval=n_retrieval, seed=seed,
            report=typer.echo,
        )  # fmt: skip
        if json_file is not None:
            write_figures(json_file, figures)
    except (FromageError, OSError) as error:
        typer.echo(f"evaluate: {error}", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
    typer.echo(json.dumps({key: round(value, 4) for key, value in figures.items()}, indent=2))


if __name__ == "__main__":
    typer.run(main)
