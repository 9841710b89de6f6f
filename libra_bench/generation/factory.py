"""From a model's name to a system that answers examples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError, Notice
from libra_bench.core.names import unknown_name
from libra_bench.data.cohort import Cohort
from libra_bench.generation.baseline import BaselineSystem
from libra_bench.generation.engines import ENGINES
from libra_bench.generation.foreign import ForeignSystem
from libra_bench.generation.protocols import Decoding, protocol
from libra_bench.generation.system import System
from libra_bench.model import zoo
from libra_bench.model.baselines import IndicationRetrieval, NormalTemplate
from libra_bench.model.defaults import brought_settings

DEFAULT_PROTOCOL = "libra-paper"


@dataclass(frozen=True)
class SystemSettings:
    """Which model, and how it decodes. None stands for the model's own."""

    model: str = "libra-tiny"
    protocol: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    """Single settings that differ from the protocol, by their names in `Decoding`."""
    engine: str = "fast"
    batch_size: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    model_base: Path | None = None
    vision_tower: Path | None = None
    conv_mode: str | None = None
    random_weights: bool = False
    image_root: Path | None = None
    corpus: str | None = None
    """Training reports for `indication-retrieval`, as a data spec."""
    predictions: Path | None = None
    """Somebody else's texts, which answer in place of a model."""
    columns: dict[str, str] = field(default_factory=dict)
    """Our names of the columns that the file of predictions calls otherwise."""
    references_apart: bool = False
    """The references are not in the file of predictions."""

    def check(self) -> None:
        """Refuse wrong names and missing weights before any data is read.

        Raises:
            InputError: an unknown model, engine or protocol, or settings that contradict.
            MissingResourceError: a named model whose weights are not on this machine.
        """
        self._refuse_not_taken()
        if self.predictions is not None:
            return
        if self.engine not in ENGINES:
            raise unknown_name("engine", self.engine, ENGINES)
        self.decoding()
        plain = self.is_baseline
        if plain and (self.batch_size, self.device, self.dtype) == ("auto",) * 3:
            return
        # torch is imported from here on: whatever is cheaper to refuse was refused before.
        from libra_bench.generation import capacity
        from libra_bench.model.loading import resolve_device, resolve_dtype
        from libra_bench.model.places import find_parts, require

        capacity.check(self.batch_size)
        resolve_device(self.device)
        resolve_dtype(self.dtype, self.device)
        if plain:
            return
        named = zoo.folder_of(self.model) is None
        if self.vision_tower is None and self.model_base is None and named:
            require(zoo.find(self.model))
        find_parts(self.model, self.model_base, self.vision_tower)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Said once, when the model is loaded.
            self.decoding_of_checkpoint()

    def _refuse_not_taken(self) -> None:
        """Refuse options by which the answers would seem to be made and are not.

        How to decode, on which device, how many at a time and where images lie may be told to
        any system, so that one command line serves a whole table.
        """
        parts: dict[str, object] = {
            "--model-base": self.model_base,
            "--vision-tower": self.vision_tower,
            "--conv-mode": self.conv_mode,
            "--random-weights": self.random_weights or None,
        }
        corpus: dict[str, object] = {"--corpus": self.corpus}
        if self.predictions is not None:
            who, kind, refused = str(self.predictions), "a file of texts", parts | corpus
        elif self.is_baseline:
            who, kind = self.model, "a text-only baseline"
            refused = parts | (corpus if self.model == NormalTemplate.model_id else {})
        else:
            who, kind, refused = self.model, "no retrieval from reports", corpus
        if given := [name for name, value in refused.items() if value is not None]:
            raise InputError(f"{' and '.join(given)}: {who} is {kind} and takes no such option")

    def tell_what_changes_nothing(self) -> None:
        """Warn of decoding that was chosen for who decodes nothing."""
        if self.predictions is None and not self.is_baseline:
            return
        chosen = [name for name, value in self.overrides.items() if value is not None]
        chosen = (["protocol"] if self.protocol else []) + chosen
        if chosen:
            who = self.model if self.predictions is None else str(self.predictions)
            verb = "changes" if len(chosen) == 1 else "change"
            told = f"{who} decodes nothing: {', '.join(chosen)} {verb} nothing"
            warnings.warn(told, Notice, stacklevel=3)

    def for_baseline(self, name: str) -> SystemSettings:
        """The same settings for a text-only baseline, without what it does not take."""
        return SystemSettings(
            model=name,
            engine=self.engine,
            batch_size=self.batch_size,
            device=self.device,
            dtype=self.dtype,
            image_root=self.image_root,
        )

    @property
    def is_baseline(self) -> bool:
        """Whether this names a text-only baseline, which has no weights and no device."""
        return zoo.folder_of(self.model) is None and zoo.find(self.model).kind == "baseline"

    def decoding(self) -> Decoding:
        """The protocol with its overrides.

        Whoever names the beams and no protocol describes a search of their own: what they do not
        name is then `transformers`' plain default, not a setting of some protocol.

        Raises:
            InputError: an unknown protocol, or settings that contradict each other.
        """
        if self.protocol is None and self.overrides.get("num_beams") is not None:
            return replace(protocol("greedy", **self.overrides), name="custom")
        name = self.protocol or (
            zoo.find(self.model).protocol if zoo.folder_of(self.model) is None else None
        )
        return protocol(name or DEFAULT_PROTOCOL, **self.overrides)

    def decoding_of_checkpoint(self) -> Decoding:
        """As `decoding`, with what the checkpoint sets and nobody chose, as transformers does it.

        Raises:
            InputError: as `decoding`, or settings of the checkpoint that are not known here.
        """
        from libra_bench.model.places import find_checkpoint

        decoding, folder = self.decoding(), self.model_base or find_checkpoint(self.model)[0]
        named = [name for name, value in self.overrides.items() if value is not None]
        return decoding.over(brought_settings(folder, sampling=decoding.do_sample), named)


def create_system(settings: SystemSettings, cohort: Cohort) -> System:
    """The system that `settings` name, ready for the examples of `cohort`.

    Raises:
        InputError: an unknown name, settings that do not fit, weights that are not there.
    """
    settings.check()
    settings.tell_what_changes_nothing()
    if settings.predictions is not None:
        alone = not settings.references_apart
        return ForeignSystem.load(settings.predictions, settings.columns, alone=alone)
    if settings.is_baseline:
        return _baseline(settings, cohort)
    from libra_bench.generation.libra import LibraSystem

    return LibraSystem.load(settings, settings.image_root or cohort.image_root)


def _baseline(settings: SystemSettings, cohort: Cohort) -> System:
    if settings.model == NormalTemplate.model_id:
        return BaselineSystem(NormalTemplate())
    from libra_bench.data.corpora import NoSplitsError, load

    spec, split = settings.corpus or cohort.spec, None if settings.corpus else "train"
    section = cohort.settings.get("section", "findings")
    try:
        reports = load(spec, split=split, section=section).examples if spec else []
    except NoSplitsError:
        reports = []
    if split:
        # Some lines may name no split: they are of the evaluated studies, and no training corpus.
        reports = [one for one in reports if one.split == split]
        if not reports:
            raise InputError(
                f"{settings.model} answers with reports of a training corpus, and {spec!r} has no "
                "split `train`; name a corpus, for example --corpus openi:NLMCXR_reports.tgz"
            )
    retrieval = IndicationRetrieval(reports, exclude=cohort.examples)
    return BaselineSystem(
        retrieval,
        {
            "corpus": spec,
            "corpus_split": split or "all",
            "corpus_reports": retrieval.size,
            "corpus_hash": retrieval.content_hash,
        },
    )
