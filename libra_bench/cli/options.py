"""Options that several commands share, and how their text is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from libra_bench.core.errors import InputError

Model = Annotated[
    str, typer.Option(help="A name from `libra-bench models`, or a checkpoint folder.")
]
_DATA = (
    "synthetic, mimic-cxr:DIR, rexrank:FILE.json, openi:FILE.tgz, jsonl:FILE.jsonl "
    "(or Libra's training JSON), parquet:DIR, r2gen:FILE.json, chexpert-plus:FILE.csv, "
    "rexgradient:FILE.json, padchest-gr:FILE.json"
)
Data = Annotated[str, typer.Option(metavar="SPEC", help=f"{_DATA}.")]
OptionalData = Annotated[
    str | None, typer.Option(metavar="SPEC", help=f"{_DATA}. If unset, synthetic.")
]


def _base(value: Path | None) -> Path | None:
    """The folder of a base that was given by folder, by name or by repository."""
    if value is None or value.is_dir():
        return value
    from libra_bench.core.errors import InputError
    from libra_bench.hub import lookup
    from libra_bench.model import zoo

    name = str(value)
    if name in zoo.ZOO:
        found = zoo.is_present(zoo.ZOO[name])
        if found is None and zoo.ZOO[name].kind == "model":
            raise zoo.missing_weights(zoo.ZOO[name])
    else:
        found = lookup.folder(name)
    if found is not None:
        return found
    if name.count("/") == 1 and not value.is_absolute():
        raise zoo.not_here(
            f"--model-base {name}: no such folder, and a repository of that name", name
        )
    raise InputError(f"--model-base {name}: no such folder")


NeededBase = Annotated[
    Path, typer.Option("--model-base", help="The checkpoint that it belongs to.", callback=_base)
]
ModelBase = Annotated[
    Path | None,
    typer.Option(
        help="The base checkpoint under a LoRA adapter or a connector: folder or name.",
        callback=_base,
    ),
]
VisionTower = Annotated[
    Path | None, typer.Option(help="The vision tower's folder, where it lies elsewhere.")
]
ConvMode = Annotated[str | None, typer.Option(help="Conversation mode; the model's own if unset.")]
ProtocolName = Annotated[
    str | None,
    typer.Option(
        help="Decoding: libra-paper, libra-script-beam, libra-script-sample, greedy, demo. "
        "If unset, the model's own."
    ),
]
NumBeams = Annotated[int | None, typer.Option(help="Beams. Without --protocol all else is plain.")]
LengthPenalty = Annotated[float | None, typer.Option(help="Exponent on the generated length.")]
NoRepeatNgramSize = Annotated[int | None, typer.Option(help="No n-gram of this size twice.")]
MaxNewTokens = Annotated[int | None, typer.Option(help="At most this many new tokens.")]
MinNewTokens = Annotated[int | None, typer.Option(help="At least this many new tokens.")]
Temperature = Annotated[
    float | None, typer.Option(help="Above 0: sample at this temperature. 0: do not sample.", min=0)
]
TopP = Annotated[float | None, typer.Option(help="Nucleus sampling.")]
Engine = Annotated[str, typer.Option(help="fast or reference: the same ids, another speed.")]
BatchSize = Annotated[str, typer.Option(help="Studies side by side, or `auto`.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
RandomWeights = Annotated[
    bool, typer.Option("--random-weights", help="The model's shape without its weights.")
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        help="Names with commas, or the option several times; the profile's core metrics if unset."
    ),
]
Profile = Annotated[
    str, typer.Option(help="How texts are cleaned and scored: libra, coco, rexrank.")
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric-option", metavar="NAME.KEY=VALUE", help="A setting of one metric."),
]
Subgroups = Annotated[
    str | None,
    typer.Option(help="Columns with commas that split the cohort: any field of the examples."),
]
Trials = Annotated[int, typer.Option(help="Bootstrap or randomisation trials.", min=1)]
Seed = Annotated[int, typer.Option(help="Seed of the resampling.", min=0)]
Limit = Annotated[int | None, typer.Option(help="Only the first N examples.", min=1)]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=COLUMN,…",
        help="Columns that a file of predictions or references calls otherwise: prediction, "
        "reference, question_id, subject_id, study_id, …",
    ),
]
AllowUnscored = Annotated[
    bool,
    typer.Option("--allow-unscored", help="Exit with 0 though a named metric is not scored."),
]
MaxFailures = Annotated[int, typer.Option(help="Failed reports that still exit with 0.", min=0)]
Force = Annotated[
    bool, typer.Option("--force", help="Replace a file that this command did not make.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine output on stdout.")]


def decoding_overrides(
    num_beams: int | None,
    length_penalty: float | None,
    no_repeat_ngram_size: int | None,
    max_new_tokens: int | None,
    min_new_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
) -> dict[str, float | int | None]:
    """Decoding options by their names in `Decoding`; a temperature above 0 means sampling."""
    return {
        "num_beams": num_beams,
        "length_penalty": length_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size,
        "max_new_tokens": max_new_tokens,
        "min_new_tokens": min_new_tokens,
        "do_sample": None if temperature is None else temperature > 0,
        "temperature": temperature or None,
        "top_p": top_p,
    }


def names(given: str | Sequence[str]) -> list[str]:
    """Names between commas, of one text or of several, in their order, each once."""
    texts = [given] if isinstance(given, str) else given
    parts = (part.strip() for text in texts for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def chosen(given: str | Sequence[str] | None, option: str) -> list[str] | None:
    """The names of an option; None where it was not given.

    Raises:
        InputError: it was given without any name.
    """
    if not given:
        if given == "":
            raise InputError(f"{option}: no name in it")
        return None
    found = names(given)
    if not found:
        raise InputError(f"{option}: no name in {', '.join(given)!r}")
    return found


def columns(text: str | None) -> dict[str, str]:
    """`NAME=COLUMN` between commas, by our name.

    Raises:
        InputError: another form, an unknown name, or one name twice.
    """
    from libra_bench.core.fields import CANONICAL
    from libra_bench.core.names import unknown_name

    found: dict[str, str] = {}
    for part in names(text or ""):
        name, equals, column = (one.strip() for one in part.partition("="))
        if not (equals and name and column):
            raise InputError(f"--columns {part!r}: NAME=COLUMN was expected")
        if name not in CANONICAL:
            raise unknown_name("name in --columns", name, CANONICAL)
        if name in found:
            raise InputError(f"--columns: {name} is named twice")
        found[name] = column
    return found


def metric_options(given: Sequence[str] | None) -> dict[str, dict[str, str]]:
    """`NAME.KEY=VALUE` options by metric.

    Raises:
        InputError: one of them has another form.
    """
    options: dict[str, dict[str, str]] = {}
    for text in given or []:
        target, equals, value = text.partition("=")
        name, dot, key = target.partition(".")
        if not (equals and dot and name and key):
            raise InputError(f"--metric-option {text!r}: NAME.KEY=VALUE was expected")
        # No shell expands a ~ behind an equals sign.
        home = value == "~" or value.startswith("~/")
        options.setdefault(name, {})[key] = str(Path(value).expanduser()) if home else value
    return options
