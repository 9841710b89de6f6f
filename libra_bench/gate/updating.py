"""Making baselines and replacing them; a worse one only with a reason, which the file keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from libra_bench.core.errors import InputError
from libra_bench.gate import baseline as files
from libra_bench.gate.baseline import Baseline, Update
from libra_bench.gate.check import judge_run
from libra_bench.gate.comparable import NotComparableError
from libra_bench.gate.judgement import Judgement
from libra_bench.gate.reading import Run, read_run
from libra_bench.gate.settings import GateSettings


def first(run: Path) -> Baseline:
    """The baseline that a run makes.

    Raises:
        InputError: no scored run, or nothing in it that could gate.
    """
    return _usable(read_run(run))


def later(
    run: Path, output: Path, settings: GateSettings, accept: str | None
) -> tuple[Baseline | None, list[Judgement]]:
    """The baseline that replaces the one in `output`.

    Args:
        accept: the reason why a run that is worse or cannot be compared is taken.

    Returns:
        The baseline, None where the run fails and no reason was given; and what fails.

    Raises:
        InputError: no baseline there, or a run that cannot be compared and no reason.
    """
    reason = accept.strip() if accept is not None else None
    if reason == "":
        raise InputError("--accept: the reason is empty")
    if not output.exists():
        raise InputError(f"{output}: no baseline there; `libra-bench baseline save` makes one")
    before, found = files.read(output), read_run(run)
    made = _usable(found)
    verdict, failing, worse = "not compared", list[Judgement](), list[str]()
    try:
        outcome = judge_run(found, before, settings, label=str(output))
        verdict, failing = outcome.verdict, outcome.failing
        worse = [one.name for one in outcome.all if one.verdict == "worse"]
    except NotComparableError:
        if reason is None:
            raise
    if failing and reason is None:
        return None, failing
    entry = Update.model_validate(
        {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "verdict": verdict,
            "accepted": reason,
            "worse": worse,
            "replaced": before.predictions_hash,
        }
    )
    return made.model_copy(update={"history": [*before.history, entry]}), failing


def _usable(run: Run) -> Baseline:
    made = run.evidence
    faults = []
    if all(score.value is None for _, score in made.scores.values()):
        faults.append("no metric was scored; `libra-bench score --run` scores it")
    if made.clusters.count < 2:
        faults.append(
            f"{made.clusters.count} {made.clusters.unit}; no later run could be judged below two"
        )
    if faults:
        raise InputError(f"{run.path}: no baseline can be made: {'; '.join(faults)}")
    # Why a metric could not be scored tells of this machine: such reasons name its folders.
    return made.model_copy(update={"not_scored": dict.fromkeys(made.not_scored, "")})
