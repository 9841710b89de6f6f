"""What the shell can do, a notebook can. Everything here is reached as `libra_bench.NAME`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.records import Example, Prediction

if TYPE_CHECKING:
    from libra_bench.metrics.comparison import Comparison
    from libra_bench.metrics.scoring import Scores


def score(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    metrics: Sequence[str] | str | None = None,
    *,
    profile: str = "libra",
    options: Mapping[str, Mapping[str, str]] | None = None,
    clusters: Sequence[str | None] | None = None,
    trials: int = 1000,
    seed: int = 0,
) -> Scores:
    """Score texts.

    Args:
        predictions, references: [n] texts, pair by pair; None or NaN where there is none. Lists,
            columns of pandas, arrays; not a text, of which each character would be a report.
        metrics: names, or one text with commas; None for the profile's core metrics.
        profile: `libra`, `coco` or `rexrank`.
        options: settings of single metrics, by metric name and key.
        clusters: [n] the patient of each report, None where unknown, so that the intervals
            resample patients. Without it reports are resampled, as each figure's signature says.

    Returns:
        Figures with intervals and signatures, and each report's own.

    Raises:
        InputError: unknown names, lengths that differ, no pair that could be scored, or what is
            neither text nor missing, with its place.

    Example:
        >>> import libra_bench
        >>> scores = libra_bench.score(["Clear lungs."], ["The lungs are clear."], ["rouge_l"])
        >>> round(scores.figures["rouge_l"].value, 2)
        33.33
    """
    from libra_bench.metrics.scoring import score_texts
    from libra_bench.runs.scoring import ScoringSettings
    from libra_bench.runs.unscored import refuse_nothing
    from libra_bench.stats.clusters import by_patient

    texts = _column("predictions", predictions), _column("references", references)
    patients = None
    if clusters is not None:
        known = _patients(_column("clusters", clusters))
        patients = by_patient(known, [str(n) for n in range(len(known))])
    names = _names(metrics)
    settings = ScoringSettings(names, profile, _options(options), trials=trials, seed=seed)
    settings.check()
    if len(texts[0]) == len(texts[1]) and all(
        isinstance(one, str | None) for column in texts for one in column
    ):
        refuse_nothing(*texts)  # All else is refused with its places, below.
    return score_texts(*texts, settings.create(), clusters=patients, trials=trials, seed=seed)


def _patients(values: Sequence[Any]) -> list[str | None]:
    """Patients as records hold them: `10000032.0` and `10000032` are one, nothing is unknown."""
    from libra_bench.core.ids import known_id

    found = []
    for place, value in enumerate(values):
        try:
            one = known_id(value)
        except ValueError as error:
            raise InputError(f"clusters {place}: {error}") from None
        if not isinstance(one, str | None):
            raise InputError(f"clusters {place}: an id was expected, not {value!r}")
        found.append(one)
    return found


def _names(metrics: Any) -> list[str] | None:
    if metrics is None:
        return None
    names = metrics.split(",") if isinstance(metrics, str) else metrics
    if not isinstance(names, Iterable) or isinstance(names, bytes | Mapping):
        raise InputError(f"metrics: names were expected, not {metrics!r}")
    found = list(names)
    if wrong := [one for one in found if not isinstance(one, str)]:
        raise InputError(f"metrics: names were expected, not {wrong[0]!r}")
    return found


def _options(options: Any) -> dict[str, dict[str, str]]:
    """Settings of metrics as the command line gives them: texts."""
    given = options or {}
    if not isinstance(given, Mapping) or not all(isinstance(v, Mapping) for v in given.values()):
        raise InputError(f"options: {{metric: {{key: value}}}} was expected, not {options!r}")
    return {
        name: {key: str(v).lower() if isinstance(v, bool) else str(v) for key, v in keys.items()}
        for name, keys in given.items()
    }


def _column(name: str, values: Any) -> list[Any]:
    """The values of a column in their order, None where one is missing.

    Raises:
        InputError: not a column: a text, bytes, a mapping, a set, or nothing with parts.
    """
    if isinstance(values, str | bytes | bytearray | Mapping | Set) or not (
        isinstance(values, Iterable) or hasattr(values, "__getitem__")
    ):
        raise InputError(
            f"{name}: a list of texts was expected, one a report, not {type(values).__name__}"
        )
    if getattr(values, "ndim", 1) != 1:
        # Of a table the names of the columns would be the texts.
        raise InputError(f"{name}: one column was expected, not {values.ndim} dimensions")
    return [None if _is_none(value) else value for value in values]


def _is_none(value: Any) -> bool:
    # NaN and NaT differ from themselves; NA says of every comparison that it does not know.
    if value is None or type(value).__name__ == "NAType":
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # An array, which is no text either.
        return False


class Model:
    """A model ready to write reports; made by `load_model`."""

    def __init__(self, system: Any) -> None:
        self._system = system
        self.model_id: str = system.model_id
        self.trained: bool = system.trained
        """False where the weights are random, and the texts mean nothing."""

    def generate(self, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction an example, in their order; failed ones say why.

        Raises:
            InputError: something else than examples, or no example has an image that can be used.
        """
        from libra_bench.generation.system import answer

        examples = _examples(examples)
        self._system.check(examples)
        found: dict[str, Prediction] = {}

        def keep(prediction: Prediction) -> None:
            found[prediction.question_id] = prediction

        for start in range(0, len(examples), self._system.chunk):
            answer(self._system, examples[start : start + self._system.chunk], keep, found)
        return [found[example.question_id] for example in examples]


def _examples(given: Any) -> list[Example]:
    if isinstance(given, str | bytes | Mapping | Example) or not isinstance(given, Iterable):
        raise InputError(f"examples: a list of Example was expected, not {type(given).__name__}")
    found = list(given)
    faults = [
        f"example {place}: an Example was expected, not {one!r:.80}"
        for place, one in enumerate(found)
        if not isinstance(one, Example)
    ]
    counts = Counter(one.question_id for one in found if isinstance(one, Example))
    faults += [f"id {one!r} stands {n} times" for one, n in counts.items() if n > 1]
    if faults:
        raise InputError(f"examples that cannot be answered: {listing(faults)}")
    return found


def load_model(
    name: str | Path = "libra-tiny",
    *,
    image_root: str | Path | None = None,
    model_base: str | Path | None = None,
    vision_tower: str | Path | None = None,
    conv_mode: str | None = None,
    protocol: str | None = None,
    engine: str = "fast",
    batch_size: int | str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    random_weights: bool = False,
    **decoding: Any,
) -> Model:
    """Load a model by its name or folder.

    Args:
        image_root: the folder below which the examples' images lie.
        model_base: the checkpoint under a LoRA adapter or a connector.
        vision_tower: the tower's folder, where it lies elsewhere.
        conv_mode: conversation mode; the model's own if None.
        batch_size: studies side by side, or `auto`.
        random_weights: the model's shape without its weights.
        protocol: decoding by name; the model's own if None.
        decoding: single settings that differ from the protocol, such as `num_beams=5`.

    Raises:
        InputError: unknown names, files that do not fit.
        MissingResourceError: weights that are not on this machine.

    Example:
        >>> import libra_bench
        >>> cohort = libra_bench.load_data("synthetic", split="test", limit=1)
        >>> model = libra_bench.load_model("libra-tiny", image_root=cohort.image_root)
        >>> model.generate(cohort.examples)[0].status
        'ok'
    """
    from libra_bench.data.cohort import Cohort
    from libra_bench.generation.factory import SystemSettings, create_system

    words = {"engine": engine, "device": device, "dtype": dtype}
    chosen = {"conv_mode": conv_mode, "protocol": protocol}
    words |= {option: value for option, value in chosen.items() if value is not None}
    for option, value in words.items():
        if not isinstance(value, str):
            raise InputError(f"{option} {value!r:.80}: a name was expected")
    settings = SystemSettings(
        # A folder stays one: as a text, `libra-tiny` would be the model of that name.
        model=name if isinstance(name, str) else str(name.absolute()),
        protocol=protocol,
        overrides=decoding,
        engine=engine,
        batch_size=str(batch_size),
        device=device,
        dtype=dtype,
        model_base=_folder("model_base", model_base),
        vision_tower=_folder("vision_tower", vision_tower),
        conv_mode=conv_mode,
        random_weights=random_weights,
        image_root=_folder("image_root", image_root),
    )
    return Model(create_system(settings, Cohort(name="given examples", spec="")))


def _folder(name: str, given: Any) -> Path | None:
    return None if given is None else _place(name, given)


def _place(name: str, given: Any) -> Path:
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"{name}: a path was expected, not {given!r:.80}")
    return Path(given)


def compare(
    a: Path | str,
    b: Path | str,
    metrics: Sequence[str] | None = None,
    *,
    trials: int = 10_000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare two systems on the same reports; `a` is the baseline.

    Args:
        a, b: run folders or `scores.parquet` files.

    Raises:
        InputError: other reports, or figures made in different ways.
    """
    from libra_bench.runs.comparing import compare_runs

    return compare_runs(
        [_place("a", a), _place("b", b)], metrics=_names(metrics), trials=trials, seed=seed
    )
