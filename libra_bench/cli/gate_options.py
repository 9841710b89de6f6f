"""Options that `check` and `baseline update` share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from libra_bench.cli import options

if TYPE_CHECKING:
    from libra_bench.configuration import Configuration
    from libra_bench.gate.settings import GateSettings

Margin = Annotated[
    list[str] | None,
    typer.Option(
        "--margin", metavar="NAME=X", help="A fall that does not matter, by score or metric."
    ),
]
Threshold = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        metavar="NAME=X",
        help="How much may change: failed, empty, truncated, repeated (rise of the share), length, "
        "time, memory (share of the baseline's).",
    ),
]
Alpha = Annotated[
    float | None, typer.Option(help="Chance of a false alarm, of the whole gate; 0.05.")
]
Strict = Annotated[bool | None, typer.Option("--strict", help="What is undecided fails as well.")]
By = Annotated[str | None, typer.Option(help="Columns with commas whose groups gate as well.")]
Trials = Annotated[int | None, typer.Option(help="Exchanges of patients; 10,000.", min=1)]
Seed = Annotated[int | None, typer.Option(help="Seed of the exchanges; 0.", min=0)]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A libra-bench.toml or pyproject.toml; this folder's if unset.",
        exists=True,
    ),
]


def configuration(given: Path | None) -> Configuration | None:
    """The file that was named, or this folder's; None where there is none.

    Raises:
        InputError: it cannot be used.
    """
    if given is None and not any(
        Path(name).is_file() for name in ("libra-bench.toml", "pyproject.toml")
    ):
        return None
    from libra_bench.configuration import find, read

    path = given or find(Path())
    return None if path is None else read(path)


def settings(
    config: Configuration | None,
    *,
    margin: list[str] | None,
    threshold: list[str] | None,
    alpha: float | None,
    strict: bool | None,
    by: str | None,
    trials: int | None,
    seed: int | None,
    metrics: list[str] | None = None,
) -> GateSettings:
    """The file's settings, with what was given on the command line in their place.

    Raises:
        InputError: options of another form, or out of range.
    """
    from libra_bench.gate.settings import GateSettings, numbers

    base = config.gate() if config else GateSettings()
    given: dict[str, Any] = {
        "metrics": options.chosen(metrics, "--metrics"),
        "by": options.chosen(by, "--by"),
        "alpha": alpha,
        "strict": strict,
        "trials": trials,
        "seed": seed,
    }
    found = replace(
        base,
        margins={**base.margins, **numbers(margin, "--margin")},
        thresholds={**base.thresholds, **numbers(threshold, "--threshold")},
        **{name: value for name, value in given.items() if value is not None},
    )
    found.check()
    return found
