"""Local copies of Hugging Face sets in Parquet: `X-iZhang/MIMIC-CXR-RRG` and
`StanfordAIMI/rrg24-shared-task-bionlp`, and others of their form.

A column is found by its name, among the names in `COLUMNS`; what was taken for what is recorded.
Those of MIMIC-CXR-RRG (`findings_section`, `main_image`, `prior_image`, `default_prompt`,
`dicom_id`, ...) are known from Libra's README and other code that reads it; a set without a known
section or image is refused with the columns it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing
from libra_bench.core.ids import PATIENT_FIELDS, STUDY_FIELDS, known_id, whose
from libra_bench.core.records import Example, is_missing
from libra_bench.data import packed
from libra_bench.data.cohort import Cohort, Dropped
from libra_bench.data.corpora import refuse_policy
from libra_bench.data.prompts import CONTEXT, question
from libra_bench.data.reporting import REPORT, absent, reference_of

SECTIONS = ("findings", "impression")
COLUMNS: dict[str, tuple[str, ...]] = {
    "question_id": ("question_id", "dicom_id", "id"),
    "subject_id": PATIENT_FIELDS,
    "study_id": STUDY_FIELDS,
    "split": ("split",),
    "view": ("view", "ViewPosition", "view_position"),
    "source": ("source",),
    "text": ("question", "prompt", "default_prompt"),
    "findings": ("findings", "findings_section", "section_findings"),
    "impression": ("impression", "impression_section", "section_impression"),
    **{name: (name, f"{name}_section") for name in CONTEXT},
}
TEXTS = ("text", "findings", "impression", *CONTEXT)
"""What is read as words: a number there is another column than was meant."""
CURRENT = ("main_image", "image", "images", "current_image")
PRIOR = ("prior_image", "prior_main_image", "previous_image")
SPLITS = {"train": "train", "test": "test", "val": "validate", "dev": "validate"}
"""How names of splits begin, and ours."""


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Rows of a file, or of the files below a folder whose names begin with the split's.

    Where the folder has one of its own for the section (`findings_section/`), only that is read.
    Of several images of a row the first is used. Images stay in their files until they are needed.

    Raises:
        InputError: no Parquet files of that split, or files without the section or images.
    """
    refuse_policy("a Parquet set", prior_policy)
    place = Path(path)
    root = place if place.is_dir() else place.resolve().parent
    files = _files(place, split, section)
    examples: list[Example] = []
    dropped: list[Dropped] = []
    taken: dict[str, str] = {}
    several: Counter[str] = Counter()
    faults = []
    for file in files:
        try:
            found = _columns(file, section)
        except InputError as error:
            faults.append(str(error))
            continue
        taken |= found
        where = str(file.relative_to(root)) if file.is_relative_to(root) else file.name
        for row, raw, images in _rows(file, found):
            try:
                cells: dict[str, Any] = {name: _cell(name, value) for name, value in raw.items()}
            except ValueError as error:
                faults.append(f"{where}, row {row}: {error}")
                continue
            # A column says of each row what the file's name can say of all of them only.
            own = named_split(cells["split"]) if cells.get("split") else split_of(file)
            if split is not None and own not in (None, split):
                continue
            identifier = cells.get("question_id") or f"{where}:{row}"
            if not reference_of(cells, section):
                dropped.append(Dropped(identifier, absent(section)))
                continue
            if not images["image"]:
                dropped.append(Dropped(identifier, "no image"))
                continue
            several["rows"] += len(images["image"]) > 1
            names = [
                packed.name(where, found[kind], row)
                for kind in ("image", "prior_image")
                if images.get(kind)
            ]
            try:
                cells["subject_id"], cells["study_id"] = whose(cells, images["image"])
                examples.append(_example(identifier, cells, names, section, own))
            except ValidationError as error:
                faults += [f"{where}, row {row}: {fault}" for fault in explain(error)]
    counts = Counter(one.question_id for one in examples)
    faults += [f"id {one!r} stands in {n} rows" for one, n in counts.items() if n > 1]
    if faults:
        raise InputError(f"{place}: {listing(faults)}")
    if not examples:
        raise InputError(
            f"{place}: no row with {section} and image"
            + (f" of split {split}" if split else "")
            + (f"; {len(dropped)} are without" if dropped else "")
        )
    notes = [f"{len(dropped)} rows without {section} or image are left out"] if dropped else []
    if several["rows"]:
        notes.append(f"{several['rows']} rows have several images; the first is used")
    return Cohort(
        name=place.stem,
        spec=path,
        examples=examples,
        image_root=root,
        sources=files,
        dropped=dropped,
        notes=notes,
        settings={
            "split": split or "all",
            "prior_policy": "as given" if "prior_image" in taken else "none",
            "columns": ", ".join(f"{name}={column}" for name, column in sorted(taken.items())),
        },
    )


def split_of(file: Path) -> str | None:
    """The split that a file's name begins with (`test-00000-of-00016.parquet`)."""
    return next((ours for name, ours in SPLITS.items() if file.name.startswith(name)), None)


def named_split(word: str) -> str:
    """A row's split by our name; a name that is none of ours stays as it is."""
    return next((ours for name, ours in SPLITS.items() if word.lower().startswith(name)), word)


def _cell(name: str, value: Any) -> str:
    """A cell as text; ids as the records have them, texts in a list one after the other.

    Raises:
        ValueError: something else than a text, a number or a list of texts.
    """
    if name in ("question_id", "subject_id", "study_id"):
        value = known_id(value)
    if is_missing(value):
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return " ".join(one.strip() for one in value if one.strip())
    number = isinstance(value, int | float) and not isinstance(value, bool) and name not in TEXTS
    if not (isinstance(value, str) or number):
        raise ValueError(f"{name}: a text was expected, not {value!r:.80}")
    return str(value).strip()


def _files(place: Path, split: str | None, section: str) -> list[Path]:
    if place.is_file():
        return [place]
    own = place / (f"{section}_section" if section != REPORT else "findings_section")
    everything = sorted((own if own.is_dir() else place).rglob("*.parquet"))
    files = [file for file in everything if split is None or split_of(file) in (None, split)]
    if not files:
        there = f"; it has {', '.join(one.name for one in everything[:5])}" if everything else ""
        raise InputError(f"{place}: no Parquet files{f' of split {split}' if split else ''}{there}")
    return files


def _columns(file: Path, section: str) -> dict[str, str]:
    """The file's column for each thing that is known by a name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{file}: not a Parquet file ({error})") from None
    found = {
        name: next(one for one in known if one in schema.names)
        for name, known in COLUMNS.items()
        if set(known) & set(schema.names)
    }
    pictures = [field.name for field in schema if _holds_images(field.type)]
    for kind, known in (("image", CURRENT), ("prior_image", PRIOR)):
        column = next((one for one in known if one in pictures), None)
        if column:
            found[kind] = column
    sections = (section,) if section != REPORT else ("findings", "impression")
    missing = [name for name in (*sections, "image") if name not in found]
    if missing:
        raise InputError(
            f"{file}: no column known as {' or '.join(missing)}; it has {', '.join(schema.names)}"
        )
    return found


def _holds_images(kind: Any) -> bool:
    import pyarrow as pa

    value = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    return bool(pa.types.is_struct(value) and value.get_field_index("bytes") >= 0)


def _rows(
    file: Path, found: dict[str, str]
) -> Iterator[tuple[int, dict[str, Any], dict[str, list[str]]]]:
    """(row, cells by name, paths of the images by kind), without reading any image.

    Raises:
        InputError: the file is damaged.
    """
    import pyarrow as pa

    try:
        yield from _read(file, found)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{file}: cannot be read ({error})") from None


def _read(
    file: Path, found: dict[str, str]
) -> Iterator[tuple[int, dict[str, Any], dict[str, list[str]]]]:
    import pyarrow.parquet as pq

    pictures = {kind: one for kind, one in found.items() if kind in ("image", "prior_image")}
    texts = {name: column for name, column in found.items() if name not in pictures}
    with pq.ParquetFile(file) as opened:
        # Of a column of images only the paths are read: every image has one, if an empty one.
        leaves = [opened.schema.column(i).path for i in range(len(opened.schema))]
        paths = [
            leaf
            for leaf in leaves
            if leaf.split(".")[0] in pictures.values() and leaf.endswith(".path")
        ]
        row = 0
        for batch in opened.iter_batches(
            4096, columns=[*texts.values(), *paths], use_threads=False
        ):
            for cells in batch.to_pylist():
                known = {name: cells[column] for name, column in texts.items()}
                images = {
                    kind: [str(one.get("path") or "") for one in packed.images_of(cells[column])]
                    for kind, column in pictures.items()
                }
                yield row, known, images
                row += 1


def _example(
    identifier: str, cells: dict[str, Any], images: list[str], section: str, split: str | None
) -> Example:
    return Example.model_validate(
        {
            **{name: cells[name] for name in (*SECTIONS, *CONTEXT, "source") if cells.get(name)},
            "question_id": identifier,
            "image": images,
            "text": cells.get("text") or question(cells, section),
            "reference": reference_of(cells, section),
            "subject_id": cells.get("subject_id"),
            "study_id": cells.get("study_id"),
            "view": cells.get("view"),
            "split": split,
            "prior_policy": "as given" if len(images) > 1 else "none",
        }
    )
