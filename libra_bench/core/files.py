"""Files: JSONL that names what is wrong with it, atomic replacement, hashes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from libra_bench.core.cache import cache_dir as cache_dir
from libra_bench.core.errors import InputError, writing
from libra_bench.core.special import refuse_special

Record = TypeVar("Record", bound=BaseModel)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content` in one step: a reader sees the old file or the new, never half.

    The content is on disk before the name changes. A new file follows the umask, a replaced one
    keeps its permissions.

    Raises:
        InputError: `path` is a link, a device, a pipe or a folder.
        OutputError: the disk is full, the folder cannot be written, or the like.
    """
    refuse_special(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(temporary_name(path.name))
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if path.exists():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def temporary_name(name: str) -> str:
    """The name of a file that is being written; it will be called `name`."""
    # A file system allows 255 bytes.
    short = name.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "ignore")
    return f".{short}.{secrets.token_hex(4)}.part"


def is_leftover(path: Path) -> bool:
    """Whether a file is a lock, or one that a kill left half-written: nobody's, and no content."""
    return _LEFTOVER.fullmatch(path.name) is not None


_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{8}\.part|\.(?:.*\.)?lock", re.DOTALL)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON; what JSON cannot hold becomes null."""
    write_atomic(path, to_json(value, indent=1) + "\n")


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON: NaN and infinity, which it cannot hold, become null."""
    return json.dumps(without_nan(value), indent=indent, ensure_ascii=False, allow_nan=False)


def without_nan(value: Any) -> Any:
    """The value with null in place of NaN and infinity, which JSON cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def read_bytes(path: Path) -> bytes:
    """A file, or a pipe (`/dev/stdin`), which can be read only once.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def read_json(path: Path, *, unique: bool = False) -> Any:
    """The JSON in `path`.

    Args:
        unique: refuse an object in which a name stands twice; else the last one counts.

    Raises:
        InputError: the file is missing, or no JSON, with the line where it goes wrong.
    """
    return parse_json(path, read_bytes(path), unique=unique)


def parse_json(path: Path, content: bytes, *, unique: bool = False) -> Any:
    """The JSON that was read from `path`; a byte order mark is no part of it.

    Raises:
        InputError: as `read_json`.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    try:
        return _whole(json.loads(text, object_pairs_hook=_each_once if unique else None), text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: JSON that cannot be read ({_too_much(error)})") from None


def iter_jsonl(
    path: Path, lines: Iterable[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each line that is not blank.

    Args:
        lines: what was read from `path` already; None to read it.

    Raises:
        InputError: the file is missing, or a line is no JSON object; named by file and line.
    """
    try:
        with ExitStack() as stack:
            given = lines
            if given is None:
                given = stack.enter_context(path.open(encoding="utf-8-sig"))
            for number, line in enumerate(given, start=1):
                if not line.strip():
                    continue
                yield number, parse_line(path, number, line)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


@contextmanager
def lines_expected(path: Path, text: str) -> Iterator[None]:
    """Around reading `text` as JSONL: where it is one value over several lines, that is told.

    Raises:
        InputError: in place of another.
    """
    try:
        yield
    except InputError:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list):
            told = "is a JSON list"
        elif isinstance(value, dict) and len(text.strip().splitlines()) > 1:
            told = "is one JSON object over several lines"
        else:
            raise
        raise InputError(f"{path}: {told}; JSONL is an object a line") from None


def lines_of(text: str) -> Iterator[str]:
    """Lines with their ends, as of `io.StringIO`, which takes four bytes for each character."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def parse_line(path: Path, number: int, line: str) -> dict[str, Any]:
    """The object of one line.

    Raises:
        InputError: it is none; named by file and line.
    """
    try:
        value = _whole(json.loads(line, object_pairs_hook=_each_once), line)
    except json.JSONDecodeError as error:
        whole = line.endswith("\n") or error.msg.startswith("Extra data")
        cut = "" if whole else "; the line seems cut off"
        raise InputError(
            f"{path}, line {number}: not JSON ({error.msg} at column {error.colno}{cut})"
        ) from None
    except (RecursionError, ValueError) as error:
        raise InputError(
            f"{path}, line {number}: JSON that cannot be read ({_too_much(error)})"
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"{path}, line {number}: a JSON object was expected")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of which no part is lost: `json` keeps the last of two with one name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = [repr(name) for name, count in counts.items() if count > 1]
        raise ValueError(f"{', '.join(twice)} stands twice in an object")
    return found


def _too_much(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error).partition(";")[0]


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")


_HALVES = re.compile("[\ud800-\udfff]")


def _whole(value: Any, source: str) -> Any:
    """The value with U+FFFD for each half of a character, which no file and no tokenizer takes.

    UTF-8 cannot hold one; only an escape (`\\ud83d` without its other half) brings it in.
    """
    return _mended(value) if "\\ud" in source or "\\uD" in source else value


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return _HALVES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return [_mended(item) for item in value] if isinstance(value, list) else value


def read_records(
    path: Path,
    record: type[Record],
    adapt: Callable[[dict[str, Any]], dict[str, Any]] = lambda value: value,
    lines: Iterable[str] | None = None,
) -> list[Record]:
    """Every line of a JSONL file as a `record`; ids must be unique.

    Args:
        adapt: turns a line's object into the record's fields, where a file names them otherwise.
        lines: what was read from `path` already; None to read it.

    Raises:
        InputError: all faults of the file together, each with its line and id.
    """
    records: list[Record] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, value in iter_jsonl(path, lines):
        identifier = value.get("question_id")
        try:
            parsed = record.model_validate(adapt(value))
        except ValidationError as error:
            faults += [f"line {number} (id {identifier!r}): {fault}" for fault in explain(error)]
            continue
        except (ValueError, RecursionError) as error:
            faults.append(f"line {number} (id {identifier!r}): {error}")
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
    return to_json(record.model_dump(exclude_none=True)) + "\n"


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
