"""The run folder: what it holds, what it takes over, what it refuses."""

import csv
import hashlib
import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example
from libra_bench.runs import folder as folders
from libra_bench.runs.folder import RunFolder

EXAMPLES = [Example(question_id=key, text=f"ask {key}") for key in ("a", "b")]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by a second whenever it is asked for."""
    ticks = count()
    monkeypatch.setattr(folders, "_now", lambda: f"2026-01-01T00:00:{next(ticks):02}+00:00")


def begun(path: Path, **resolved: Any) -> RunFolder:
    return RunFolder.create(path, arguments={"model": "m"}, resolved=resolved)


def test_a_new_folder_says_what_it_is(tmp_path: Path) -> None:
    manifest = begun(tmp_path / "run", limit=4).manifest()
    assert manifest["id"].startswith("2026-01-01-")
    assert (manifest["status"], manifest["error"], manifest["format"]) == ("started", None, 1)
    assert manifest["created"] == manifest["updated"] == manifest["starts"][0]["time"]
    assert manifest["arguments"] == manifest["starts"][0]["arguments"] == {"model": "m"}
    assert (manifest["resolved"], manifest["hashes"]) == ({"limit": 4}, {})


def test_a_change_is_dated_and_objects_are_merged(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    before = run.manifest()
    run.update(hashes={"weights": "w"}, seeds={"trials": 1})
    run.update(hashes={"data": "d"}, status="finished")
    after = run.manifest()
    assert after["hashes"] == {"weights": "w", "data": "d"} and after["seeds"] == {"trials": 1}
    assert after["status"] == "finished"
    assert after["created"] == before["updated"] < after["updated"]


def test_going_on_forgets_the_error_and_keeps_all_starts(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", limit=4)
    run.set_status("failed", "no memory")
    assert run.manifest()["error"] == "no memory"
    again = RunFolder.reopen(run.path, arguments={"resume": True}, resolved={"limit": 4})
    manifest = again.manifest()
    assert (manifest["status"], manifest["error"]) == ("started", None)
    assert manifest["arguments"] == {"resume": True}
    assert [one["arguments"] for one in manifest["starts"]] == [{"model": "m"}, {"resume": True}]
    assert manifest["updated"] == manifest["starts"][1]["time"] > manifest["created"]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"limit": 5}, "limit: 4 there, 5 now"),
        # A setting that only one of the starts knows is a difference too.
        ({"limit": 4, "section": "impression"}, "section: None there, 'impression' now"),
        ({}, "limit: 4 there, None now"),
    ],
)
def test_other_settings_are_refused_and_named(tmp_path: Path, now: dict, told: str) -> None:
    run = begun(tmp_path / "run", limit=4)
    before = run.manifest_file.read_bytes()
    with pytest.raises(InputError, match=told):
        RunFolder.reopen(run.path, arguments={}, resolved=now)
    assert run.manifest_file.read_bytes() == before


def test_a_folder_without_a_run_is_begun(tmp_path: Path) -> None:
    run = RunFolder.reopen(tmp_path / "run", arguments={}, resolved={})
    assert run.manifest()["status"] == "started"


def test_other_examples_are_refused(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    source = tmp_path / "data.json"
    source.write_text("data")
    run.write_examples(EXAMPLES, [source])
    stored = run.examples_file.read_bytes()
    hashes = run.manifest()["hashes"]
    assert hashes["examples"] == hashlib.sha256(stored).hexdigest()
    assert hashes["prompts"] == hashlib.sha256(b"ask a\nask b").hexdigest()
    assert hashes["data"] == {"data.json": hashlib.sha256(b"data").hexdigest()}
    run.write_examples(EXAMPLES, [source])
    RunFolder.reopen(run.path, arguments={}, resolved={}, examples=EXAMPLES)
    for other in (EXAMPLES[::-1], EXAMPLES[:1]):
        with pytest.raises(InputError, match="the data has changed"):
            run.write_examples(other, [])
        with pytest.raises(InputError, match="the data has changed"):
            RunFolder.reopen(run.path, arguments={}, resolved={}, examples=other)
    assert run.examples_file.read_bytes() == stored
    assert [one.question_id for one in run.examples()] == ["a", "b"]


def test_what_was_left_out_is_a_table(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    run.write_dropped([])
    assert not run.dropped_file.exists()
    run.write_dropped([("s,1", "no image"), ("s2", 'an "odd" one')])
    with run.dropped_file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["id"], row["reason"]) for row in rows] == [
        ("s,1", "no image"),
        ("s2", 'an "odd" one'),
    ]


def test_where_a_run_may_begin(tmp_path: Path) -> None:
    RunFolder.check_output(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty: another --output keeps it"):
        RunFolder.check_output(tmp_path)
    with pytest.raises(InputError, match="is not empty"):
        RunFolder.check_output(tmp_path, resume=True)
    run = begun(tmp_path / "run")
    with pytest.raises(InputError, match="--resume continues it"):
        RunFolder.check_output(run.path)
    RunFolder.check_output(run.path, resume=True)
    with pytest.raises(InputError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_files_that_are_none(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    with pytest.raises(InputError, match="has not been scored"):
        run.summary()
    run.summary_file.write_text("[]")
    with pytest.raises(InputError, match="a JSON object was expected"):
        run.summary()
    good = run.manifest()
    run.write_manifest({**good, "format": 2})
    with pytest.raises(InputError, match="not a manifest of format 1"):
        run.manifest()
    run.write_manifest({**good, "hashes": None})
    with pytest.raises(InputError, match="no object hashes in it"):
        run.manifest()
    run.manifest_file.write_text(json.dumps([]))
    with pytest.raises(InputError, match="not a manifest"):
        run.manifest()
    run.examples_file.mkdir()
    with pytest.raises(InputError, match="a file was expected"):
        run.examples()
