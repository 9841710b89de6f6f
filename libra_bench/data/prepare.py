"""Libra's training and evaluation files from MIMIC-CXR, in a folder that can be continued.

Patients are worked through in parts, in the order of their numbers. A part that is done lies
as a file of its own below the folder until all are; so work that was stopped goes on with the next
part, and ends with the same files as work that was not.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from libra_bench.core.errors import InputError, writing
from libra_bench.core.files import (
    iter_jsonl,
    read_json,
    sha256_of,
    sha256_of_text,
    write_atomic,
    write_json,
)
from libra_bench.core.outputs import (
    check_folder,
    clear_leftovers,
    holds_something,
    private_folder,
    sole_writer,
)
from libra_bench.core.records import Example
from libra_bench.data.mimic import (
    ONE_TABLE,
    Choice,
    Collection,
    LeftOut,
    ReadReport,
    any_image,
    choose,
    examples,
    report_reader,
)
from libra_bench.data.pairing import policy_named
from libra_bench.data.tables import SPLITS
from libra_bench.version import __version__

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
DROPPED = "dropped.csv"
PARTS = ".parts"
PART_PATIENTS = 500
TRAINING = ("train", "validate")
EVALUATION = ("validate", "test")
IMAGE = "<image>"
NO_IMAGES = "none is there; all were taken as the tables name them"
"""What the manifest says where tables and reports are, and no image."""


def training_record(example: Example) -> dict[str, Any]:
    """An example in the form that Libra is trained on."""
    return {
        "id": example.question_id,
        "image": example.image,
        "conversations": [
            {"from": "human", "value": f"{IMAGE}\n{example.text}"},
            {"from": "gpt", "value": example.reference},
        ],
    }


def prepare(
    root: Path,
    output: Path,
    choice: Choice,
    *,
    reports: Path | None = None,
    resume: bool = False,
    on_images: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write `train.json`, `validate.json` (Libra's training format), `validate.jsonl`,
    `test.jsonl` (its evaluation format), `dropped.csv` and `manifest.json`.

    Every study of the tables is in one of the files or, with the reason, in `dropped.csv`. Where
    there is no image at all, they are taken as the tables name them, and `images` in the manifest
    says so.

    Args:
        reports: where the reports are, if not below `root`: a folder or their zip.
        resume: go on in a folder that was left unfinished, made with the same options.
        on_images: is told how many images are done, and of how many.

    Returns:
        The manifest: options, hashes of the tables, counts by split, reasons of what was dropped.

    Raises:
        InputError: the folder holds something and is not to be gone on with, or was made
            otherwise; faulty tables.
    """
    check_output(output, resume=resume)
    collection = Collection.open(root)
    read = report_reader(reports or root)
    paired, unused = choose(collection.images, choice)
    record = _record(collection, choice, reports)
    record["images"] = "taken as the tables name them" if choice.trust_images else "looked for"
    if not choice.trust_images and not any_image(root, paired):
        choice = replace(choice, trust_images=True)
        record["images"] = NO_IMAGES
    private_folder(output)
    with sole_writer(output):
        check_output(output, resume=resume)  # Another process may have come and gone since.
        clear_leftovers(output)
        if finished := _begin(output, record):
            return finished
        return _write(root, output, choice, collection, record, read, paired, unused, on_images)


def check_output(output: Path, *, resume: bool) -> None:
    """Refuse a folder in which nothing can be prepared, before any table is read.

    Raises:
        InputError: it holds something and is not to be gone on with, or is no folder.
    """
    check_folder(output)
    if not holds_something(output):
        return
    if not resume:
        raise InputError(f"{output} is not empty; --resume goes on in it")
    if not (output / MANIFEST).is_file():
        raise InputError(f"{output} holds something else; choose a new folder")


def _write(
    root: Path,
    output: Path,
    choice: Choice,
    collection: Collection,
    record: dict[str, Any],
    read: ReadReport,
    paired: pd.DataFrame,
    unused: list[LeftOut],
    on_images: Callable[[int, int], None],
) -> dict[str, Any]:
    """Part by part, then all parts as the final files; the manifest."""
    (output / PARTS).mkdir(exist_ok=True)
    part_of = {
        subject: place // PART_PATIENTS
        for place, subject in enumerate(sorted(collection.images["subject_id"].unique()))
    }
    rows_of = _by_part(paired["subject_id"], part_of)
    unused_of = _by_part((one.subject_id for one in unused), part_of)
    done = 0
    for part in range(max(part_of.values(), default=-1) + 1):
        rows = paired.iloc[rows_of.get(part, [])]
        place = output / PARTS / f"part-{part:06}.jsonl"
        if not place.exists():
            without = (unused[one] for one in unused_of.get(part, []))
            made = chain(without, examples(root, rows, choice, read))
            write_atomic(place, "".join(map(_line, made)))
        done += len(rows)
        on_images(done, len(paired))
    with writing(output):
        counts = _join(output, collection)
    manifest = {**record, "status": "finished", **counts}
    write_json(output / MANIFEST, manifest)
    shutil.rmtree(output / PARTS)
    return manifest


def _record(collection: Collection, choice: Choice, reports: Path | None) -> dict[str, Any]:
    rule = policy_named(choice.policy)
    return {
        "version": __version__,
        "root": str(collection.root.resolve()),
        "reports": str((reports or collection.root).resolve()),
        "options": {
            "section": choice.section,
            "policy": choice.policy,
            "views": choice.views,
            "filter": choice.filter_when,
            "excluded": len(choice.exclude),
            "excluded_sha256": sha256_of_text("\n".join(sorted(choice.exclude))),
            "drop_special": choice.drop_special,
            "trust_images": choice.trust_images,
        },
        "rule": {"text": rule.rule, "source": rule.source, "certainty": rule.certainty},
        "sha256": {path.name: sha256_of(path) for path in collection.sources},
    }


def _begin(output: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """Start a folder, or see that the one there is the same work; its manifest where finished."""
    file = output / MANIFEST
    if not holds_something(output):
        write_json(file, {**record, "status": "started"})
        return None
    before = read_json(file) if file.exists() else {}
    other = [name for name, value in record.items() if before.get(name) != value]
    if other:
        raise InputError(f"{output} was made with another {', '.join(other)}; choose a new folder")
    if before["status"] != "finished":
        return None
    # What a kill left behind the last step.
    shutil.rmtree(output / PARTS, ignore_errors=True)
    return dict(before)


def _by_part(subjects: Iterable[str], part_of: dict[str, int]) -> dict[int, list[int]]:
    """Places of each part's patients, in their order."""
    found: dict[int, list[int]] = {}
    for place, subject in enumerate(subjects):
        found.setdefault(part_of[subject], []).append(place)
    return found


def _line(one: Example | LeftOut) -> str:
    """A part's line: an example, or what was left out."""
    kept = isinstance(one, Example)
    value = one.model_dump(exclude_none=True) if isinstance(one, Example) else one._asdict()
    return json.dumps({"kept": kept, "value": value}, ensure_ascii=False) + "\n"


def _join(output: Path, collection: Collection) -> dict[str, Any]:
    """All parts as the final files, each whole or not there; counts of what they hold."""
    counts = {split: Counter[str]() for split in SPLITS}
    studies: dict[str, set[str]] = {split: set() for split in SPLITS}
    reasons: Counter[str] = Counter()
    names = [*(f"{one}.json" for one in TRAINING), *(f"{one}.jsonl" for one in EVALUATION), DROPPED]
    with ExitStack() as stack:
        files: dict[str, IO[str]] = {
            name: stack.enter_context(
                (output / PARTS / name).open("w", encoding="utf-8", newline="")
            )
            for name in names
        }
        left_out = csv.writer(files[DROPPED])
        left_out.writerow(LeftOut._fields)
        for one in (LeftOut("", "", "", image, ONE_TABLE) for image in collection.lonely):
            left_out.writerow(one)
            reasons[one.kind] += 1
        for line in _lines(output):
            value = line["value"]
            if not line["kept"]:
                one = LeftOut(**value)
                left_out.writerow(one)
                reasons[one.kind] += 1
                continue
            example = Example.model_validate(value)
            split = str(example.split)
            studies[split].add(str(example.study_id))
            if split in TRAINING:
                files[f"{split}.json"].write(",\n" if counts[split]["examples"] else "[\n")
                files[f"{split}.json"].write(
                    json.dumps(training_record(example), ensure_ascii=False)
                )
            if split in EVALUATION:
                files[f"{split}.jsonl"].write(json.dumps(value, ensure_ascii=False) + "\n")
            counts[split]["examples"] += 1
            counts[split]["with_prior"] += example.has_prior
        for split in TRAINING:
            files[f"{split}.json"].write("\n]\n" if counts[split]["examples"] else "[]\n")
    for name in names:
        (output / PARTS / name).replace(output / name)
    return {
        "counts": {
            split: {
                "studies": len(studies[split]),
                "examples": found["examples"],
                "with_prior": found["with_prior"],
            }
            for split, found in counts.items()
        },
        "dropped": dict(reasons.most_common()),
    }


def _lines(output: Path) -> Iterator[dict[str, Any]]:
    for place in sorted((output / PARTS).glob("part-*.jsonl")):
        for _, line in iter_jsonl(place):
            yield line
