"""The one flow: cohort → generation → scoring → report, every arrow a file in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.outputs import private_folder, sole_writer
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import USUAL, load
from libra_bench.data.texts import cohort_of
from libra_bench.generation.driver import Driver, Progress
from libra_bench.generation.factory import SystemSettings, create_system
from libra_bench.generation.foreign import ForeignSystem
from libra_bench.generation.log import PredictionLog
from libra_bench.generation.system import System
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.scoring import ScoringSettings, check_subgroups, match, score_run
from libra_bench.runs.shape import faults_of_manifest


@dataclass(frozen=True)
class Settings:
    """What to evaluate and how. None stands for the data's, the model's or the profile's own."""

    system: SystemSettings
    scoring: ScoringSettings
    data: str = "synthetic"
    """A data spec; empty for the references in or beside the file of predictions."""
    references: Path | None = None
    """Beside a file of predictions, and in place of `data`."""
    split: str = "test"
    section: str = "findings"
    limit: int | None = None
    prior_policy: str | None = None


class Observer(Protocol):
    """Hears how a run goes; the command line shows it as bars."""

    def note(self, message: str) -> None:
        """Something the user should know."""
        ...

    def generating(self) -> AbstractContextManager[Callable[[Progress], None]]:
        """Around generation; the callable hears of each report."""
        ...

    def step(self, label: str) -> AbstractContextManager[Callable[[str], None]]:
        """Around any other long step; the callable hears of its parts."""
        ...


class Silence:
    """Hears and says nothing."""

    def note(self, message: str) -> None:
        """Nothing."""

    def generating(self) -> AbstractContextManager[Callable[[Progress], None]]:
        """Nothing."""
        return nullcontext(lambda progress: None)

    def step(self, label: str) -> AbstractContextManager[Callable[[str], None]]:
        """Nothing."""
        return nullcontext(lambda part: None)


@dataclass
class Outcome:
    """A finished run."""

    folder: RunFolder
    summary: dict[str, Any]
    pages: list[Path] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many reports could not be generated."""
        return int(self.summary["failed"])


def evaluate(
    settings: Settings, path: Path, *, resume: bool = False, observer: Observer | None = None
) -> Outcome:
    """Run the whole flow into the folder `path`.

    Interrupted, it leaves a usable folder with status `cancelled`; `resume` continues by id and
    ends with the same predictions and scores.

    Raises:
        InputError: something given cannot be used; nothing was started.

    Whatever else goes wrong is raised as it is, and the folder says `failed` and why.
    """
    watch = observer or Silence()
    unscored = settings.scoring.check()
    RunFolder.check_output(path, resume=resume)
    settings.system.check()
    with watch.step("reading the data"):
        cohort = _cohort(settings)
    # What is scored unasked may be missing: the end tells. Whoever named it is told at once.
    for note in [*cohort.notes, *(unscored if settings.scoring.metrics else ())]:
        watch.note(note)
    if not cohort.examples:
        raise InputError(f"{settings.data}: no examples in split {settings.split!r}")
    check_subgroups(cohort.examples, settings.scoring)
    if not any(example.reference.strip() for example in cohort.examples):
        where = settings.data or cohort.spec
        raise InputError(f"{where}: no example has a reference, so nothing could be scored")
    with watch.step(f"loading {settings.system.model}"):
        system = create_system(settings.system, cohort)
    if isinstance(system, ForeignSystem):
        system.check(cohort.examples)
        for note in system.notes:
            watch.note(note)
    arguments = _plain(asdict(settings))
    resolved = _resolved(settings, cohort, system)
    begin = RunFolder.reopen if resume else RunFolder.create
    private_folder(path)
    with sole_writer(path):
        folder = begin(path, arguments=arguments, resolved=resolved, examples=cohort.examples)
        with _accounted(folder):
            folder.write_examples(cohort.examples, cohort.sources)
            folder.write_dropped((one.id, one.reason) for one in cohort.dropped)
            folder.update(seeds={"scoring": settings.scoring.seed})
            _generate(system, cohort.examples, folder, watch)
            folder.rescored()
            return _score(folder, settings.scoring, watch)


def rescore(
    path: Path, changes: Mapping[str, Any] | None = None, *, observer: Observer | None = None
) -> Outcome:
    """Score what a run folder holds once more, and write its pages again.

    Args:
        changes: fields of `ScoringSettings` that differ from those the run was scored with.

    Raises:
        InputError: no run folder, settings that cannot be used, reports that an interrupted run
            has not written yet; nothing was changed.
    """
    watch = observer or Silence()
    folder = RunFolder.open(path)
    manifest = folder.manifest()
    if faults := faults_of_manifest(manifest, ScoringSettings):
        raise InputError(f"{folder.manifest_file}: cannot be scored by ({listing(faults)})")
    recorded = manifest["arguments"].get("scoring", {})
    scoring = ScoringSettings(**{**recorded, **(changes or {})})
    scoring.check()
    examples = folder.examples()
    check_subgroups(examples, scoring)
    match(examples, folder.predictions())
    with sole_writer(path), _accounted(folder):
        folder.rescored(arguments={"scoring": _plain(asdict(scoring))})
        return _score(folder, scoring, watch)


def _score(folder: RunFolder, scoring: ScoringSettings, watch: Observer) -> Outcome:
    """The last two steps: figures, then pages."""
    from libra_bench.report.render import render

    facts = _facts(folder.manifest()["resolved"])
    with watch.step("scoring") as part:
        summary = score_run(folder, scoring, facts=facts, on_step=part)
    with watch.step("writing the report"):
        pages = render(folder.path, ["html", "md"])
    # Last: whoever reads this finds everything.
    folder.finish()
    return Outcome(folder, summary, pages)


@contextmanager
def _accounted(folder: RunFolder) -> Iterator[None]:
    """The folder's status tells how the work inside ended, whatever ended it."""
    try:
        yield
    except KeyboardInterrupt:
        with suppress(OSError):
            folder.set_status("cancelled")
        raise
    except Exception as error:
        # A full disk takes no status either; what it was that went wrong is told all the same.
        with suppress(OSError):
            folder.set_status("failed", f"{type(error).__name__}: {error}")
        raise


def _cohort(settings: Settings) -> Cohort:
    if settings.limit is not None and settings.limit < 1:
        raise InputError(f"limit {settings.limit}: at least 1 was expected")
    if not settings.data and settings.system.predictions is not None:
        idle = [f"--split {settings.split}"] if settings.split not in (None, USUAL) else []
        idle += [f"--prior-policy {settings.prior_policy}"] if settings.prior_policy else []
        if idle:
            raise InputError(
                f"{' and '.join(idle)}: only beside --data; without it all of "
                f"{settings.system.predictions} is scored"
            )
        cohort = cohort_of(
            settings.system.predictions, settings.references, settings.system.columns
        )
        cohort.examples = cohort.examples[: settings.limit]
        return cohort
    return load(
        settings.data,
        split=settings.split,
        prior_policy=settings.prior_policy,
        section=settings.section,
        limit=settings.limit,
    )


def _generate(system: System, examples: list[Example], folder: RunFolder, watch: Observer) -> None:
    with PredictionLog(folder.predictions_file, resume=True) as log:
        with watch.generating() as hear:
            Driver(system, log, hear).run(examples)
        log.finish(examples)


def _resolved(settings: Settings, cohort: Cohort, system: System) -> dict[str, Any]:
    """What decides the predictions; a resumed run must have the same."""
    resolved = {
        "model": settings.system.model,
        "model_id": system.model_id,
        "trained": system.trained,
        "system": system.describe(),
        "data": settings.data or cohort.spec,
        "cohort": cohort.name,
        "cohort_settings": cohort.settings,
        "dropped": len(cohort.dropped),
        "limit": settings.limit,
        "image_root": settings.system.image_root or cohort.image_root,
    }
    return {name: _plain(value) for name, value in resolved.items()}


def _facts(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the summary that says what was run."""
    cohort, system = resolved["cohort_settings"], resolved["system"]
    return {
        "model": resolved["model"],
        "model_id": resolved["model_id"],
        "trained": resolved["trained"],
        "data": resolved["data"],
        "cohort": resolved["cohort"],
        "split": cohort.get("split"),
        "section": cohort.get("section"),
        "prior_policy": cohort.get("prior_policy"),
        "protocol": {
            "name": system.get("protocol", "none"),
            "signature": system.get("decoding", "none"),
        },
        "engine": system.get("engine"),
        "device": system.get("device"),
    }


def _plain(value: Any) -> Any:
    """As JSON will hold it, so that a stored value equals a fresh one."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
