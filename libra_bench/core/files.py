"""Files: JSONL that names what is wrong with it, atomic replacement, hashes, the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from libra_bench.core.errors import InputError

Record = TypeVar("Record", bound=BaseModel)


def cache_dir(*parts: str) -> Path:
    """The package's cache folder (`LIBRA_BENCH_CACHE` overrides it), created on demand."""
    from platformdirs import user_cache_path

    root = os.environ.get("LIBRA_BENCH_CACHE")
    path = (Path(root) if root else user_cache_path("libra_bench")).joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content` in one step: a reader sees the old file or the new, never half.

    The content is on disk before the name changes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes a private file; a report is for whoever may read the folder.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON; NaN becomes null, which JSON can hold."""
    write_atomic(path, json.dumps(without_nan(value), indent=1, ensure_ascii=False) + "\n")


def without_nan(value: Any) -> Any:
    """The value with null in place of NaN, which JSON cannot hold."""
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def read_json(path: Path) -> Any:
    """The JSON in `path`.

    Raises:
        InputError: the file is missing, or no JSON, with the line where it goes wrong.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None


def iter_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each line that is not blank.

    Raises:
        InputError: the file is missing, or a line is no JSON object; named by file and line.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except json.JSONDecodeError as error:
                    cut = "" if line.endswith("\n") else "; the line seems cut off"
                    raise InputError(
                        f"{path}, line {number}: not JSON "
                        f"({error.msg} at column {error.colno}{cut})"
                    ) from None
                if not isinstance(value, dict):
                    raise InputError(f"{path}, line {number}: a JSON object was expected")
                yield number, value
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None


def read_records(
    path: Path,
    record: type[Record],
    adapt: Callable[[dict[str, Any]], dict[str, Any]] = lambda value: value,
) -> list[Record]:
    """Every line of a JSONL file as a `record`; ids must be unique.

    Args:
        adapt: turns a line's object into the record's fields, where a file names them otherwise.

    Raises:
        InputError: all faults of the file together, each with its line and id.
    """
    records: list[Record] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, value in iter_jsonl(path):
        identifier = value.get("question_id")
        try:
            parsed = record.model_validate(adapt(value))
        except ValidationError as error:
            faults += [f"line {number} (id {identifier!r}): {fault}" for fault in explain(error)]
            continue
        key = str(getattr(parsed, "question_id", number))
        if key in seen:
            faults.append(f"line {number}: duplicate id {key!r}, first on line {seen[key]}")
        seen.setdefault(key, number)
        records.append(parsed)
    if faults:
        raise InputError(f"{path}: " + listing(faults))
    if not records:
        raise InputError(f"{path}: no records in it")
    return records


def explain(error: ValidationError) -> list[str]:
    """A pydantic error as short sentences, one a field."""
    return [
        f"{'.'.join(str(part) for part in fault['loc']) or 'record'}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    ]


def listing(items: Iterable[str], limit: int = 20) -> str:
    """Items joined by line breaks, cut after `limit` with the number left out."""
    everything = list(items)
    shown = everything[:limit]
    if len(everything) > limit:
        shown.append(f"... and {len(everything) - limit} more")
    return shown[0] if len(shown) == 1 else "\n  " + "\n  ".join(shown)


def dump_record(record: BaseModel) -> str:
    """One JSONL line; fields that were never set stay out of it."""
    return json.dumps(record.model_dump(exclude_none=True), ensure_ascii=False) + "\n"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_text(text: str) -> str:
    """The SHA-256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
