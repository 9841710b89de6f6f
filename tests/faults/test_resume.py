"""Promises 1 and 2 inside one process: one writer, whole lines, the same question."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from program import environment, write_lines

from libra_bench.core import outputs
from libra_bench.core.errors import InputError, Notice, OutputError
from libra_bench.core.records import Example, Prediction
from libra_bench.generation.driver import Driver, Progress
from libra_bench.generation.log import PredictionLog
from libra_bench.generation.system import Emit


class Reader:
    """Answers with the prompt and what the example's files hold, and tells that it read them."""

    model_id, trained, chunk = "reader", True, 3

    def __init__(self, root: Path, **metadata: Any) -> None:
        self.root = root
        self.metadata: dict[str, Any] = {"decoding": "none", **metadata}
        self.asked: list[str] = []

    def sources(self, example: Example) -> list[str | Path]:
        paths = [self.root / name for name in example.image]
        if not all(path.is_file() for path in paths):
            raise InputError("its image is gone")
        return [example.text, *paths]

    def describe(self) -> dict[str, Any]:
        return {}

    def check(self, examples: Sequence[Example]) -> None: ...

    def generate(self, examples: Sequence[Example], emit: Emit) -> None:
        for one in examples:
            self.asked.append(one.question_id)
            seen = "".join((self.root / name).read_text() for name in one.image)
            emit(
                Prediction.model_validate(
                    {
                        "question_id": one.question_id,
                        "prompt": one.text,
                        "text": f"{one.text} {seen}",
                        "reference": one.reference or None,
                        "metadata": self.metadata,
                    }
                )
            )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abcdef":
        (folder / name).write_text(f"pixels of {name}")
    return folder


EXAMPLES = [
    Example(question_id=name, image=[name, "a"], text=f"study {name}", reference=f"report {name}")
    for name in "abcdef"
]


def drive(system: Any, path: Path, examples: Sequence[Example] = EXAMPLES) -> Progress:
    with PredictionLog(path, resume=True) as log:
        progress = Driver(system, log).run(examples)
        log.finish(examples)
    return progress


def changed(place: int, **fields: Any) -> list[Example]:
    examples = list(EXAMPLES)
    examples[place] = examples[place].model_copy(update=fields)
    return examples


def answers(path: Path) -> dict[str, Prediction]:
    with PredictionLog(path, resume=True) as log:
        return dict(log.predictions)


def test_nothing_is_asked_twice_while_nothing_changes(root: Path, tmp_path: Path) -> None:
    drive(Reader(root), tmp_path / "p.jsonl")
    before = (tmp_path / "p.jsonl").read_bytes()
    again = Reader(root)
    drive(again, tmp_path / "p.jsonl")
    assert again.asked == [] and (tmp_path / "p.jsonl").read_bytes() == before


@pytest.mark.parametrize("what", ["prompt", "image", "prior", "other image", "no prior"])
def test_another_question_is_answered_again_and_no_other(
    root: Path, tmp_path: Path, what: str
) -> None:
    path, examples = tmp_path / "p.jsonl", EXAMPLES
    drive(Reader(root), path)
    expected = ["c"]
    if what == "prompt":
        examples = changed(2, text="another question")
    elif what == "image":
        # The same length and the same time of writing, as a careful copy has.
        stamp = (root / "c").stat()
        (root / "c").write_text("PIXELS of c")
        os.utime(root / "c", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    elif what == "prior":
        (root / "a").write_text("another prior")
        expected = list("abcdef")
    elif what == "other image":
        examples = changed(2, image=["d", "a"])
    else:
        examples = changed(2, image=["c"])
    again = Reader(root)
    with pytest.warns(Notice, match=f"{len(expected)} examples are answered again"):
        drive(again, path, examples)
    assert again.asked == expected
    fresh = tmp_path / "fresh.jsonl"
    drive(Reader(root), fresh, examples)
    assert {k: one.text for k, one in answers(path).items()} == {
        k: one.text for k, one in answers(fresh).items()
    }
    assert list(answers(path)) == list("abcdef")


def test_images_that_were_copied_elsewhere_are_the_same_question(
    root: Path, tmp_path: Path
) -> None:
    drive(Reader(root), tmp_path / "p.jsonl")
    root.rename(tmp_path / "moved")
    (tmp_path / "copy").mkdir()
    for file in (tmp_path / "moved").iterdir():
        (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    again = Reader(tmp_path / "copy")
    drive(again, tmp_path / "p.jsonl")
    assert again.asked == []


def test_a_corrected_reference_needs_no_answer(root: Path, tmp_path: Path) -> None:
    drive(Reader(root), tmp_path / "p.jsonl")
    again = Reader(root)
    drive(again, tmp_path / "p.jsonl", changed(1, reference="corrected"))
    assert again.asked == []
    assert answers(tmp_path / "p.jsonl")["b"].reference == "corrected"


def test_what_was_answered_is_not_lost_where_its_image_is(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    drive(Reader(root), path)
    before = path.read_bytes()
    (root / "d").unlink()
    with pytest.raises(InputError, match="id 'd': its image is gone"):
        drive(Reader(root), path)
    assert path.read_bytes() == before


def test_another_answerer_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    drive(Reader(root, tower="one"), tmp_path / "p.jsonl")
    before = (tmp_path / "p.jsonl").read_bytes()
    with pytest.raises(InputError, match="tower: one there, two now"):
        drive(Reader(root, tower="two"), tmp_path / "p.jsonl")
    assert (tmp_path / "p.jsonl").read_bytes() == before


def test_one_process_has_the_log(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from libra_bench.generation.log import PredictionLog\n"
        "with PredictionLog(Path(sys.argv[1]), resume=True): pass"
    )
    command = [sys.executable, "-c", code, str(path)]
    with PredictionLog(path):
        other = subprocess.run(
            command, env=environment(), capture_output=True, text=True, check=False
        )
        assert "another process is writing there" in other.stderr
    # And nobody has it any more.
    assert subprocess.run(command, env=environment(), check=False).returncode == 0
    assert not list(tmp_path.glob(".*lock"))


def test_a_file_system_without_locks_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.warns(Notice, match="has no locks"), outputs.sole_writer(tmp_path):
        pass


def line(name: str, text: str = "clear", **fields: Any) -> dict[str, Any]:
    return {"question_id": name, "text": text, "metadata": {"decoding": "none"}, **fields}


def test_equal_lines_are_healed_and_others_named(root: Path, tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "p.jsonl",
        [
            line("a", seconds=1.0),
            line("b", status="failed", error="out of memory"),
            line("a", seconds=2.0),
            line("b", "fine"),
        ],
    )
    with pytest.warns(Notice):
        drive(Reader(root), path)
    rows = [one.question_id for one in answers(path).values()]
    assert rows == list("abcdef") and path.read_text().count("\n") == 6
    assert answers(path)["b"].text == "fine"
    write_lines(path, [line("a"), line("b"), line("a", "an effusion")])
    with pytest.raises(InputError, match="line 3: id 'a' is answered otherwise on line 1"):
        PredictionLog(path, resume=True)


@pytest.mark.parametrize(
    "content",
    [
        "notes of mine\nand more",
        "no line break",
        '{"a": 1}\n',
        '{"question_id": 3}\n{"x',
        "\x00\xff",
    ],
)
def test_a_file_that_is_no_log_stays_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine"
    path.write_text(content)
    with pytest.raises(InputError):
        PredictionLog(path, resume=True)
    assert path.read_text() == content


@pytest.mark.parametrize("cut", [1, 14, 15, 40, -1])
def test_a_half_line_is_dropped_at_the_first_write_only(
    root: Path, tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "p.jsonl"
    drive(Reader(root), path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    torn = b"".join(lines[:3]) + lines[3][:cut]
    path.write_bytes(torn)
    with PredictionLog(path, resume=True) as log:
        # Without its line break alone, a line is whole.
        assert list(log.predictions) == list("abcd" if cut == -1 else "abc")
    assert path.read_bytes() == torn
    drive(Reader(root), path)
    assert list(answers(path)) == list("abcdef")


def test_a_disk_that_is_full_for_a_moment_loses_and_doubles_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system takes half a line, then nothing: no half line stays, and no study is to blame."""
    path, write, calls = tmp_path / "p.jsonl", os.write, []

    def full(handle: int, data: Any) -> int:
        calls.append(len(data))
        if len(calls) == 3:
            return write(handle, bytes(data)[: len(data) // 2])
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OutputError, match=r"p\.jsonl: cannot be written \(No space left"):
            drive(Reader(root), path)
    assert list(answers(path)) == ["a", "b"] and path.read_bytes().endswith(b"\n")
    again = Reader(root)
    drive(again, path)
    assert again.asked == list("cdef")


@pytest.mark.parametrize("size", [100, 700, 1500])
def test_a_limit_of_the_system_is_told_with_the_file(root: Path, tmp_path: Path, size: int) -> None:
    """A true limit, in a process of its own: the file ends with a whole line."""
    path = tmp_path / "p.jsonl"
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_resume as t\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "t.drive(t.Reader(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(root), str(path)]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert "p.jsonl: cannot be written (File too large)" in answer.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != size
    content = path.read_bytes()
    assert len(content) <= size and (not content or content.endswith(b"\n"))
    done = len(content.splitlines())
    again = Reader(root)
    drive(again, path)
    assert again.asked == list("abcdef")[done:]
