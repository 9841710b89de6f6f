"""Models by name. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from libra_bench.core.errors import MissingResourceError
from libra_bench.core.names import unknown_name
from libra_bench.hub import lookup


@dataclass(frozen=True)
class ZooEntry:
    """One named model.

    Attributes:
        hub_id: repository on the Hugging Face hub; None for what the package carries. Names and
            conversation modes are those of the README of X-iZhang/Libra.
        own_form: the repository of the model's authors, in a form of its own that is read as well;
            taken where `hub_id` is not there.
        tower: the vision tower's repository.
        parameters: of the whole model, in billions, counted from the shapes of its parts.
        licence: as its page states it; `see page` where it was not verified.
        protocol: decoding by default; None for `libra-paper`.
    """

    name: str
    kind: Literal["model", "baseline"]
    description: str
    section: str = "findings"
    hub_id: str | None = None
    own_form: str | None = None
    tower: str | None = None
    conv_mode: str | None = None
    parameters: float = 0.0
    licence: str = "Apache-2.0"
    protocol: str | None = None

    @property
    def gigabytes(self) -> float:
        """Memory of the weights in bfloat16, in 10^9 bytes."""
        return 2 * self.parameters


_TINY = Path(__file__).resolve().parent / "libra_tiny"

ZOO: dict[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry(
            "libra-tiny",
            "model",
            "Libra's architecture in small, trained on the synthetic cohort; in this package",
            conv_mode="libra_v1",
            parameters=0.002,
            protocol="demo",
        ),
        ZooEntry(
            "libra-7b",
            "model",
            "Libra v1.0: RAD-DINO, TAC, Meditron-7B",
            hub_id="X-iZhang/libra-v1.0-7b",
            tower="microsoft/rad-dino",
            conv_mode="libra_v1",
            parameters=6.9,
            licence="see page",
        ),
        ZooEntry(
            "libra-3b",
            "model",
            "Libra v1.0: RAD-DINO, TAC, Llama-3.2-3B-Instruct",
            hub_id="X-iZhang/libra-v1.0-3b",
            tower="microsoft/rad-dino",
            conv_mode="libra_llama_3",
            parameters=3.3,
            licence="see page",
        ),
        ZooEntry(
            "med-cxrgen-f",
            "model",
            "Libra-0.5 for findings: CLIP-L-336, MLP, Vicuna-7B",
            hub_id="X-iZhang/Med-CXRGen-F",
            tower="openai/clip-vit-large-patch14-336",
            conv_mode="libra_v0",
            parameters=7.1,
            licence="see page",
        ),
        ZooEntry(
            "med-cxrgen-i",
            "model",
            "Libra-0.5 for impressions: CLIP-L-336, MLP, Vicuna-7B",
            section="impression",
            hub_id="X-iZhang/Med-CXRGen-I",
            tower="openai/clip-vit-large-patch14-336",
            conv_mode="libra_v0",
            parameters=7.1,
            licence="see page",
        ),
        ZooEntry(
            "llava-med",
            "model",
            "LLaVA-Med v1.5 in Libra's form: CLIP-L-336 (adapted), MLP, Mistral-7B-Instruct-v0.2",
            hub_id="X-iZhang/libra-llava-med-v1.5-mistral-7b",
            tower="openai/clip-vit-large-patch14-336",
            conv_mode="llava_med_v1.5_mistral_7b",
            parameters=7.6,
            licence="see page",
        ),
        ZooEntry(
            "llava-rad",
            "model",
            "LLaVA-Rad in Libra's form: BiomedCLIP-CXR at 518 px, MLP, Vicuna-7B",
            hub_id="X-iZhang/libra-llava-rad",
            # BiomedCLIP-CXR lies in the model's own page.
            tower="X-iZhang/libra-llava-rad",
            conv_mode="v1",
            parameters=6.8,
            licence="see page",
        ),
        ZooEntry(
            "maira-2",
            "model",
            "MAIRA-2 in Libra's form: RAD-DINO (adapted), MLP-4x, Vicuna-7B; asked in its own "
            "form, with indication, technique and comparison",
            hub_id="X-iZhang/libra-maira-2",
            own_form="microsoft/maira-2",
            # Its page says "RAD-DINO (adapted)"; that the tower's own page is this one is a guess.
            tower="microsoft/rad-dino-maira-2",
            conv_mode="maira_2",
            parameters=6.9,
            licence="see page",
        ),
        ZooEntry(
            "normal-template",
            "baseline",
            "The same normal report for every study: the floor",
        ),
        ZooEntry(
            "indication-retrieval",
            "baseline",
            "The training report with the nearest indication; sees no image",
        ),
    )
}


def find(name: str) -> ZooEntry:
    """The entry `name`, which may be its repository's as well; `NAME@REVISION` fixes the revision.

    Raises:
        InputError: an unknown name; the nearest is offered.
    """
    plain, _, revision = name.partition("@")
    entry = ZOO.get(plain) or _by_repository(plain)
    if entry is None or (revision and entry.hub_id is None):
        raise unknown_name("model (and no folder of that name)", name, ZOO)
    return replace(entry, hub_id=f"{entry.hub_id}@{revision}") if revision else entry


def _by_repository(name: str) -> ZooEntry | None:
    for entry in ZOO.values():
        if name == entry.hub_id:
            return entry
        if name == entry.own_form:
            return replace(entry, hub_id=name, own_form=None)
    return None


def folder_of(name: str | Path) -> Path | None:
    """The folder that `name` means, or None where it is, or should be, the name of an entry.

    A name stays a name whatever lies in the working directory; `./libra-tiny` is the folder.
    """
    if isinstance(name, str) and name in ZOO:
        return None
    return Path(name) if Path(name).is_dir() else None


def published_as(folder_name: str) -> ZooEntry | None:
    """The entry whose repository is called so: a download keeps the name of what it is."""
    for entry in ZOO.values():
        if entry.hub_id is not None and entry.hub_id.rpartition("/")[2] == folder_name:
            return entry
    return None


def is_present(entry: ZooEntry) -> Path | None:
    """The folder with a model's weights, where they are on this machine."""
    if entry.kind == "baseline":
        return None
    if entry.hub_id is None:
        return _TINY
    found = lookup.folder(entry.hub_id)
    if found is None and entry.own_form:
        return lookup.folder(entry.own_form, instead=True)
    return found


def missing_weights(entry: ZooEntry) -> MissingResourceError:
    """What to say of a model whose weights are not on this machine."""
    either = f" or {entry.own_form}" if entry.own_form else ""
    what = f"the model {entry.name} ({entry.hub_id}{either})"
    return not_here(what, str(entry.hub_id), entry)


def not_here(
    what: str, repository: str, entry: ZooEntry | None = None, otherwise: str = ""
) -> MissingResourceError:
    """The error for a repository that is not on this machine.

    Args:
        what: of what it is, as the subject of a sentence.
        entry: the named model that it is part of, whose name fetches all of it.
        otherwise: one more way to get it.
    """
    name = repository
    if entry is not None:
        revision = str(entry.hub_id).partition("@")[2]
        name = f"{entry.name}@{revision}" if revision else entry.name
    put = f"put it under ${lookup.MODELS}/{repository}"
    return MissingResourceError(
        f"{what} is not on this machine",
        f"{put}, or {otherwise}" if otherwise else put,
        name,
    )


def describe(entry: ZooEntry) -> dict[str, Any]:
    """A row for `models`."""
    place = is_present(entry)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "description": entry.description,
        "section": entry.section,
        "conv_mode": entry.conv_mode,
        "tower": entry.tower,
        "hub_id": entry.hub_id,
        "parameters_billion": entry.parameters or None,
        "gigabytes_bfloat16": entry.gigabytes or None,
        "licence": entry.licence,
        "protocol": entry.protocol or ("libra-paper" if entry.kind == "model" else None),
        "present": str(place) if place else None,
    }
