"""Where a checkpoint and its vision tower lie on this machine."""

from __future__ import annotations

import warnings
from pathlib import Path

from libra_bench.core.errors import InputError, MissingResourceError, Notice
from libra_bench.core.files import read_json
from libra_bench.hub import lookup
from libra_bench.model import maira, open_clip, zoo
from libra_bench.model.configuration import LibraConfig, read_config
from libra_bench.model.lora import adapter_file

TOWER_FOLDER = "vision_tower"
"""Where this package's own checkpoints keep the settings of a tower whose weights they hold."""


def find_parts(
    name: str | Path, model_base: Path | None = None, vision_tower: Path | None = None
) -> tuple[Path, Path]:
    """Folders of a checkpoint by its name or folder, and of its vision tower.

    A tower published through open_clip is named by its configuration's file.

    Raises:
        InputError: neither a checkpoint nor the name of one.
        MissingResourceError: weights that are not on this machine.
    """
    folder, _ = find_checkpoint(name)
    require_base(folder, model_base)
    return folder, find_tower(read_config(folder), folder, model_base, vision_tower)


def lacking(entry: zoo.ZooEntry) -> list[MissingResourceError]:
    """Everything that is not on this machine of what a named model needs; empty where it loads.

    Of a checkpoint that is not there nobody can say whether it holds its tower, so that the tower's
    own page is named with it.
    """
    if entry.kind == "baseline":
        return []
    folder = zoo.is_present(entry)
    if folder is not None:
        try:
            find_tower(read_config(folder), folder, None, None)
        except MissingResourceError as gap:
            return [gap]
        except InputError:
            return []  # What is wrong with a file that is there is told when it is read.
        return []
    gaps = [zoo.missing_weights(entry)]
    if entry.tower and lookup.folder(entry.tower) is None:
        gaps.append(_missing_tower(entry.tower, entry))
    return gaps


def require(entry: zoo.ZooEntry) -> None:
    """Make sure that a named model can be loaded.

    Raises:
        MissingResourceError: all that is missing, in one message.
    """
    gaps = lacking(entry)
    if len(gaps) == 1:
        raise gaps[0]
    if gaps:
        raise MissingResourceError(
            " and ".join(gap.what for gap in gaps),
            " and ".join(gap.otherwise for gap in gaps),
            gaps[0].fetch,
        )


def require_base(folder: Path, model_base: Path | None) -> None:
    """Refuse an adapter without the model under it, before anything else is looked for.

    Raises:
        InputError: as it says.
    """
    if adapter_file(folder) is not None and model_base is None:
        raise InputError(f"{folder}: an adapter; name the model it belongs to by --model-base")


def find_checkpoint(name: str | Path) -> tuple[Path, zoo.ZooEntry | None]:
    """The folder of a checkpoint, and what the zoo knows of it where it was named so.

    Raises:
        InputError: neither a folder nor a name, or the name of a text-only baseline.
        MissingResourceError: weights that are not on this machine.
    """
    own = zoo.folder_of(name)
    if own is not None:
        return own, None
    entry = zoo.find(str(name))
    if Path(name).is_dir():
        warnings.warn(
            f"{name} is the model of that name, not the folder ./{name}; ./{name} names the folder",
            Notice,
            stacklevel=2,
        )
    if entry.kind == "baseline":
        raise InputError(f"{name} is a text-only baseline; it has no weights to load")
    folder = zoo.is_present(entry)
    if folder is None:
        raise zoo.missing_weights(entry)
    return folder, entry


def find_tower(config: LibraConfig, folder: Path, base: Path | None, given: Path | None) -> Path:
    """Where the tower's configuration is.

    Raises:
        InputError: `given` holds no tower.
        MissingResourceError: it is not on this machine.
    """
    if config.is_own_form:
        if base is not None or given is not None:
            option = "--vision-tower" if base is None else "--model-base"
            raise InputError(f"{folder}: {option} has no meaning for MAIRA-2's own form")
        return folder
    if base is not None and _is_own_form(base):
        raise InputError(f"{base}: MAIRA-2's own form, on which nothing can be put")
    if given is not None:
        if place := _tower_in(given, config):
            return place
        raise InputError(f"--vision-tower {given}: no config.json in it")
    named = Path(config.vision_tower)
    near = [place for one in (folder, base) if one for place in (one, one.resolve().parent)]
    if config.tower_checkpoint:
        # Such a tower lies inside the model's own page.
        for place in near:
            if found := _open_clip_in(place, config):
                return found
    for place in (
        folder / TOWER_FOLDER,
        *((named,) if named.is_absolute() else ()),
        *(one / named.name for one in near),
    ):
        if _is_tower(place):
            return place
    located = lookup.folder(config.vision_tower)
    if located is not None:
        return located
    page = config.vision_tower
    if config.tower_checkpoint:
        raise MissingResourceError(
            f"{folder}: the vision tower's files {config.tower_checkpoint} and "
            f"{open_clip.CXR_CONFIG} are not in it",
            "download the whole repository, or name their folder by --vision-tower",
        )
    raise _missing_tower(page)


def _is_own_form(base: Path) -> bool:
    """Whether a base, which may be a plain language model, has MAIRA-2's own layout."""
    raw = read_json(base / "config.json")
    return isinstance(raw, dict) and maira.is_own_form(raw)


def _missing_tower(page: str, entry: zoo.ZooEntry | None = None) -> MissingResourceError:
    named = "name its folder by --vision-tower"
    return zoo.not_here(f"the vision tower {page}", page, entry, named)


def _tower_in(folder: Path, config: LibraConfig) -> Path | None:
    if _is_tower(folder):
        return folder
    return _open_clip_in(folder, config) if config.tower_checkpoint else None


def _is_tower(folder: Path) -> bool:
    return (folder / "config.json").is_file() or open_clip.is_open_clip(folder)


def _open_clip_in(folder: Path, config: LibraConfig) -> Path | None:
    """The configuration of a tower that a checkpoint names by two files of open_clip."""
    for name in (config.tower_config, open_clip.CXR_CONFIG):
        if name and (folder / name).is_file():
            return folder / name
    return None
