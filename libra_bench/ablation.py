"""Does the prior matter? The same studies with the true one, with none, with a stranger's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from libra_bench.core.errors import InputError
from libra_bench.core.files import dump_record, sha256_of_text, write_atomic, write_json
from libra_bench.core.identity import text_hash
from libra_bench.core.outputs import private_folder, sole_writer
from libra_bench.core.records import Example, Prediction
from libra_bench.data.cohort import Cohort
from libra_bench.generation.driver import Driver, Progress
from libra_bench.generation.factory import SystemSettings, create_system
from libra_bench.generation.log import PredictionLog
from libra_bench.metrics import registry
from libra_bench.model import zoo
from libra_bench.report.ablation import ablation_page
from libra_bench.runs.asked import check_begun, require_same
from libra_bench.runs.environment import commit, versions
from libra_bench.runs.scoring import patients_of
from libra_bench.stats.bootstrap import intervals
from libra_bench.stats.clusters import scored_rows
from libra_bench.stats.paired import differences
from libra_bench.stats.resampling import Finalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRUE, NONE, WRONG = "true prior", "no prior", "wrong patient's prior"
METRICS = ("bleu", "rouge_l", "temporal_f1")
ACCURACY = "finding_accuracy"
RANGE = (0.0, 100.0)
"""What each of these figures can be."""
FIGURES = ("bleu4", "rouge_l", "temporal_f1", ACCURACY)


@dataclass(frozen=True)
class Row:
    """One figure of one condition, and how far it lies from the true prior's.

    `difference` is the true prior's figure minus this one, NaN for the true prior itself.
    """

    condition: str
    figure: str
    value: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    p: float
    n: int
    """Reports behind `value` and its interval: those that this condition scored."""
    n_paired: int
    """Reports behind `difference`: those that this condition and the true prior scored."""


def conditions(examples: Sequence[Example], seed: int = 0) -> dict[str, list[Example]]:
    """The studies that have a prior, in three conditions.

    A wrong prior is the prior of another patient, drawn with `seed`.

    Raises:
        InputError: fewer than two patients have a prior.
    """
    known = [one for one in examples if one.has_prior]
    patients = patients_of(known).labels
    if len(set(patients)) < 2:
        raise InputError(
            f"{len(known)} of these {len(examples)} studies have a prior image, of "
            f"{len(set(patients))} patients; an ablation needs such studies of two patients or "
            "more: use more of the data (--limit, --split)"
        )
    rng = np.random.default_rng(seed)
    strangers = []
    for one, patient in zip(known, patients, strict=True):
        while patients[place := int(rng.integers(len(known)))] == patient:
            pass
        strangers.append(one.model_copy(update={"image": [one.image[0], known[place].image[1]]}))
    alone = [one.model_copy(update={"image": one.image[:1]}) for one in known]
    return {TRUE: known, NONE: alone, WRONG: strangers}


def ablate(
    settings: SystemSettings,
    cohort: Cohort,
    output: Path,
    *,
    baselines: Sequence[str] = (),
    resume: bool = False,
    trials: int = 10_000,
    seed: int = 0,
    progress: Callable[[str, Progress], None] = lambda name, progress: None,
) -> list[Row]:
    """Write reports in each condition into `output`, and compare them.

    `ablation.json` holds what was asked and every figure, `ablation.md` the same to read.
    Findings are scored against the latent truth where the cohort is synthetic.

    Args:
        baselines: text-only systems scored on the same studies, without any image.
        trials, seed: of the bootstrap and of the randomisation, both by patient.

    Raises:
        InputError: no prior to take away, or an output that is there without `resume`.
    """
    check_begun(output, resume=resume, older="*-prior.jsonl")
    for name in baselines:
        if zoo.find(name).kind != "baseline":
            raise InputError(f"--baselines {name}: a model, not a text-only baseline")
    settings.check()
    wanted = conditions(cohort.examples, seed)
    asked = {name: (settings, examples) for name, examples in wanted.items()}
    asked |= {name: (settings.for_baseline(name), wanted[TRUE]) for name in baselines}
    # What the baselines need is found out before the model is loaded.
    systems = {
        name: create_system(asked[name][0], replace(cohort, examples=asked[name][1]))
        for name in [*baselines, TRUE]
    }
    answers: dict[str, list[Prediction]] = {}
    private_folder(output)
    with sole_writer(output):
        # Another process may have come and gone since.
        check_begun(output, resume=resume, older="*-prior.jsonl")
        require_same(output, _asked(wanted, cohort, seed))
        for name, (_, examples) in asked.items():
            path = output / f"{name.replace(' ', '-').replace(chr(39), '')}.jsonl"
            with PredictionLog(path, resume=resume) as log:
                # The conditions differ in their examples alone: one loaded model serves all.
                system = systems.get(name, systems[TRUE])
                Driver(system, log, partial(progress, name)).run(examples)
                answers[name] = log.finish(examples)
        rows = _compare(wanted[TRUE], answers, _truths(cohort), trials, seed)
        run = {"trials": trials, "seed": seed, **_facts(wanted[TRUE], answers[TRUE], cohort)}
        write_json(output / "ablation.json", {"run": run, "rows": [asdict(row) for row in rows]})
        write_atomic(output / "ablation.md", ablation_page(output / "ablation.json"))
    return rows


def _asked(wanted: dict[str, list[Example]], cohort: Cohort, seed: int) -> dict[str, Any]:
    """What decides each condition's examples; paths and models, which do not, are left out."""
    return {
        "cohort": cohort.name,
        **{name: str(value) for name, value in cohort.settings.items()},
        "seed": seed,
        "studies": len(wanted[TRUE]),
        **{name: text_hash(*map(dump_record, examples)) for name, examples in wanted.items()},
    }


def _facts(
    examples: Sequence[Example], answers: Sequence[Prediction], cohort: Cohort
) -> dict[str, Any]:
    """What the figures depend on; no path, so that the record reads the same anywhere."""
    return {
        "model_id": answers[0].model_id,
        "system": (answers[0].model_extra or {}).get("metadata", {}),
        "cohort": cohort.name,
        "cohort_settings": cohort.settings,
        "studies": len(examples),
        "patients": patients_of(examples).count,
        "unit": patients_of(examples).unit,
        "examples_sha256": sha256_of_text("\n".join(map(dump_record, examples))),
        "versions": versions(),
        "commit": commit(),
    }


def _compare(
    examples: Sequence[Example],
    answers: dict[str, list[Prediction]],
    truths: dict[str, dict[str, int]] | None,
    trials: int,
    seed: int,
) -> list[Row]:
    patients = patients_of(examples).labels
    rows = []
    for statistics, finalise in _measures(examples, answers, truths):
        for name, own in statistics.items():
            # The condition's own score and interval cover what it scored; a difference needs both.
            known = scored_rows(own)
            bounds = intervals(own, finalise, patients, trials=trials, seed=seed, level=0.95)
            alone = finalise(own[known].sum(axis=0))
            both = known & scored_rows(statistics[TRUE])
            against = differences(
                own, statistics[TRUE], finalise, patients, trials=trials, seed=seed
            )
            same = name == TRUE
            for figure in (one for one in against if one in FIGURES):
                found = against[figure]
                rows.append(
                    Row(
                        condition=name,
                        figure=figure,
                        value=float(alone[figure]),
                        low=float(np.clip(bounds[figure][0], *RANGE)),
                        high=float(np.clip(bounds[figure][1], *RANGE)),
                        difference=np.nan if same else found.difference,
                        difference_low=np.nan if same else max(found.low, -RANGE[1]),
                        difference_high=np.nan if same else min(found.high, RANGE[1]),
                        p=np.nan if same else found.p,
                        n=int(known.sum()),
                        n_paired=int(both.sum()),
                    )
                )
    return rows


def _measures(
    examples: Sequence[Example],
    answers: dict[str, list[Prediction]],
    truths: dict[str, dict[str, int]] | None,
) -> list[tuple[dict[str, NDArray[np.float64]], Finalise]]:
    """Statistics [n, k] by condition, measure by measure, and what makes figures of them."""
    references = [one.reference or None for one in examples]
    texts = {
        name: [one.text if one.status == "ok" else None for one in found]
        for name, found in answers.items()
    }
    measures: list[tuple[dict[str, NDArray[np.float64]], Finalise]] = []
    for metric in (registry.create(name) for name in METRICS):
        scored = {name: metric.score(said, references).statistics for name, said in texts.items()}
        measures.append((scored, metric.finalise))
    if truths is not None:
        scored = {
            name: np.array([_findings(text, truths[str(one.study_id)]) for text, one in rows])
            for name, rows in (
                (name, list(zip(said, examples, strict=True))) for name, said in texts.items()
            )
        }
        measures.append((scored, _mean))
    return measures


def _findings(text: str | None, truth: dict[str, int]) -> tuple[float, float]:
    from libra_bench.data.synthetic.course import Findings
    from libra_bench.data.synthetic.reading import accuracy, findings_of

    if text is None:
        return np.nan, np.nan
    return 100 * accuracy(findings_of(text), Findings(**truth)), 1.0


def _mean(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return {ACCURACY: np.asarray(sums[..., 0] / sums[..., 1])}


def _truths(cohort: Cohort) -> dict[str, dict[str, int]] | None:
    """Latent findings by study; None where the cohort has none."""
    from dataclasses import fields

    import pandas as pd

    from libra_bench.data.synthetic.course import Findings
    from libra_bench.data.synthetic.writer import LATENT_FILE

    path = None if cohort.image_root is None else cohort.image_root / LATENT_FILE
    if path is None or not path.is_file():
        return None
    table = pd.read_csv(path, dtype={"study_id": str}).set_index("study_id")
    names = [field.name for field in fields(Findings)]
    return {str(study): {name: int(row[name]) for name in names} for study, row in table.iterrows()}
