"""Libra as a system: images and prompts in, reports out, through one of the engines."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from libra_bench.core.errors import InputError, Notice, StudyError, costs_a_study
from libra_bench.core.files import listing
from libra_bench.core.records import Example, Prediction
from libra_bench.data.images import NOTICE, load_image, resolve_image
from libra_bench.generation.capacity import side_by_side
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.generation.system import Emit, failed
from libra_bench.model.loading import LoadedModel, load_model, resolve_device
from libra_bench.model.processor import Padding
from libra_bench.model.questions import images_of, question_of

if TYPE_CHECKING:
    from libra_bench.generation.factory import SystemSettings

CHUNK = 4
"""Times as many examples as run side by side: their pixels are in memory together."""


class _Ready(NamedTuple):
    """An example whose images were read, and what is to be said of them."""

    example: Example
    study: Study
    notices: list[str]


class LibraSystem:
    """A loaded model with its images, decoding and engine.

    Args:
        loaded: the model.
        image_root: the folder below which every image must lie.
        decoding: how text is chosen.
        engine: `fast` or `reference`.
        batch_size: studies side by side in the fast engine, or `auto`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        image_root: Path | None,
        decoding: Decoding,
        engine: str,
        batch_size: str = "auto",
    ) -> None:
        self._loaded = loaded
        self._root = image_root
        self._padding: Padding = "mean" if loaded.config.pad else "none"
        self._generate = import_module(f"libra_bench.generation.engines.{engine}").generate
        self._engine = engine
        # The reference runs study by study, as the published code does.
        patches = loaded.image_places * loaded.config.most_images
        asked = batch_size if engine == "fast" else "1"
        self._side_by_side = side_by_side(asked, loaded.model, decoding, patches)
        self.chunk = CHUNK * self._side_by_side
        self.model_id = loaded.model_id
        self.trained = loaded.trained
        facts = loaded.describe()
        self._published_dtype = decoding.dtype
        self._decoding = decoding = replace(decoding, dtype=facts["dtype"])
        self.metadata: dict[str, Any] = {
            "protocol": decoding.name,
            "decoding": decoding.signature(),
            "weights": loaded.weights_sha256[:12],
            "conv_mode": loaded.conversation.name,
            "padding": self._padding,
            "dtype": facts["dtype"],
            **{name: digest[:12] for name, digest in loaded.parts.items()},
        }

    @classmethod
    def load(cls, settings: SystemSettings, image_root: Path | None) -> LibraSystem:
        """The system that `settings` name.

        Raises:
            InputError: unknown names, weights that are missing or do not fit.
        """
        decoding = settings.decoding_of_checkpoint()
        loaded = load_model(
            settings.model,
            model_base=settings.model_base,
            vision_tower=settings.vision_tower,
            conv_mode=settings.conv_mode,
            device=settings.device,
            dtype=_dtype(settings, decoding),
            random_weights=settings.random_weights,
        )
        return cls(loaded, image_root, decoding, settings.engine, settings.batch_size)

    def describe(self) -> dict[str, Any]:
        """Facts for the manifest."""
        facts = {"kind": "model", **self._loaded.describe(), **self.metadata}
        if self._published_dtype not in ("auto", self._decoding.dtype):
            # A CPU computes in float32, and whoever asks may choose.
            facts["published_dtype"] = self._published_dtype
        return {**facts, "engine": self._engine}

    def check(self, examples: Sequence[Example]) -> None:
        """Refuse a cohort of which no image can be found, or none of whose prompts leaves room.

        Of some prompts that are too long a notice tells; each costs its own study.

        Raises:
            InputError: no image root, no example whose current image is there, or no prompt that
                leaves room for an answer; these are listed.
        """
        if not examples:
            return
        if self._root is None:
            raise InputError("this data has no images; --image-root names their folder")
        if not self._root.is_dir():
            raise InputError(f"image root {self._root}: no such folder")
        self._refuse_long(examples)
        faults = []
        for example in examples:
            try:
                self._paths(example)
                return
            except InputError as error:
                faults.append(f"id {example.question_id!r}: {error}")
        raise InputError("no example has an image that can be used: " + listing(faults, 5))

    def _refuse_long(self, examples: Sequence[Example]) -> None:
        faults = []
        for example in examples:
            try:
                self._loaded.prompt_ids(self._question(example))
            except StudyError:
                continue  # It fails by itself when its turn comes.
            except InputError as error:
                faults.append(f"id {example.question_id!r}: {error}")
        if not faults:
            return
        told = "prompts that are too long: " + listing(faults, 5)
        if len(faults) == len(examples):
            raise InputError(told)
        warnings.warn(f"{len(faults)} studies will fail; {told}", Notice, stacklevel=3)

    @torch.inference_mode()
    def generate(self, examples: Sequence[Example], emit: Emit) -> None:
        """Answer every example; one whose images cannot be read is emitted as failed."""
        ready: list[_Ready] = []
        for example in examples:
            try:
                ready.append(self._ready(example))
            except InputError as error:
                emit(failed(example, self, error))
        while ready:
            done: set[int] = set()
            try:
                self._run(ready, done, emit)
                return
            except torch.OutOfMemoryError:
                if self._side_by_side == 1:
                    raise
                self._side_by_side //= 2
            # Behind the handler: until it ends the failed run's tensors are alive.
            torch.cuda.empty_cache()
            warnings.warn(
                f"out of memory: {self._side_by_side} studies side by side from now on",
                stacklevel=2,
            )
            ready = [one for place, one in enumerate(ready) if place not in done]

    def _run(self, ready: list[_Ready], done: set[int], emit: Emit) -> None:
        """One call of the engine; `done` hears which places were answered."""

        def hear(place: int, ids: list[int]) -> None:
            done.add(place)
            emit(self._prediction(ready[place], ids))

        self._generate(
            self._loaded.model,
            [one.study for one in ready],
            self._decoding,
            eos_token_ids=self._loaded.eos_token_ids,
            pad_token_id=self._loaded.tokenizer.pad_token_id,
            on_done=hear,
            side_by_side=self._side_by_side,
        )

    def _prediction(self, ready: _Ready, ids: list[int]) -> Prediction:
        example, extra = ready.example, {"notices": ready.notices} if ready.notices else {}
        try:
            with costs_a_study(f"its {len(ids)} tokens cannot be decoded"):
                text = self._loaded.tokenizer.decode(ids).strip()
        except StudyError as error:
            return failed(example, self, error)
        return Prediction(
            question_id=example.question_id,
            prompt=self._question(example),
            text=text,
            model_id=self.model_id,
            reference=example.reference or None,
            new_tokens=len(ids),
            metadata=self.metadata,  # type: ignore[call-arg]  # an extra field
            **extra,  # type: ignore[arg-type]
        )

    def sources(self, example: Example) -> list[str | Path]:
        """The prompt and the images, which decide the answer.

        Raises:
            InputError: an image that is not there.
        """
        return [self._question(example), *dict.fromkeys(self._paths(example).values())]

    def _question(self, example: Example) -> str:
        return question_of(example, self._loaded.conversation.name)

    def _paths(self, example: Example) -> dict[str, Path]:
        """Images by what they show."""
        if not example.image:
            raise InputError("no image")
        assert self._root is not None
        named = images_of(example, self._loaded.conversation.name)
        return {view: resolve_image(self._root, name) for view, name in named.items()}

    def _ready(self, example: Example) -> _Ready:
        """An example with its pixels.

        Raises:
            InputError: its images or its question cannot be used.
        """
        notices: list[str] = []
        views, paths = images_of(example, self._loaded.conversation.name), self._paths(example)
        # Of two names for one file the later stands in what is said.
        files = {paths[view]: name for view, name in views.items()}
        pixels = {path: self._pixels(path, name, notices) for path, name in files.items()}
        for notice in notices:
            warnings.warn(f"id {example.question_id!r}: {notice}", Notice, stacklevel=2)
        seen = {view: pixels[path] for view, path in paths.items()}
        if paths.get("prior") == paths["current"] and not self._loaded.config.is_own_form:
            del seen["prior"]  # The connector takes the current image in its place.
        study = Study(
            key=example.question_id,
            prompt_ids=self._loaded.prompt_ids(self._question(example)),
            current=seen["current"],
            prior=seen.get("prior"),
            lateral=seen.get("lateral"),
        )
        return _Ready(example, study, notices)

    def _pixels(self, path: Path, name: str, notices: list[str]) -> Tensor:
        """An image's pixel values; what is to be said of it goes to `notices`."""
        image = load_image(path)
        if NOTICE in image.info:
            notices.append(f"{name}: {image.info[NOTICE]}")
        with costs_a_study(f"{name}: cannot be made pixel values"):
            values = self._loaded.processor(image, self._padding)
        if not values.isfinite().all():
            raise StudyError(f"{name}: its pixel values are not finite")
        return values


def _dtype(settings: SystemSettings, decoding: Decoding) -> str:
    """The type to load a model in: what was asked for, else the protocol's where the device can."""
    if settings.dtype != "auto" or decoding.dtype == "auto":
        return settings.dtype
    if resolve_device(settings.device).type != "cpu":
        return decoding.dtype
    return "auto"
