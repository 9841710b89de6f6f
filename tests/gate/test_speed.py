"""Speed and memory: ratios to the calibration loop, with their noise."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.core.errors import InputError
from libra_bench.gate.settings import GateSettings
from libra_bench.gate.speed import check_speed
from libra_bench.perf.record import Record, write

NOISE = (1.0, 1.02, 0.99, 1.01, 0.98)


def record(path: Path, *, factor: float = 1.0, machine: float = 1.0, **changes: Any) -> Path:
    """Five repetitions of `factor` seconds on a machine that is so many times slower."""
    fields: dict[str, Any] = {
        "kind": "generation",
        "model": "m",
        "random_weights": True,
        "shape": {},
        "device": "cpu x",
        "gpu": None,
        "facts": {"threads": 1, "load_average": 0.1, "cpus": 2},
        "versions": {"libra_bench": "1", "torch": "2"},
        "commit": None,
        "dtype": "float32",
        "attention": "sdpa",
        "settings": {"engine": "fast"},
        "seconds": [factor * machine * one for one in NOISE],
        "calibration": [0.01 * machine] * len(NOISE),
        "dropped": 0,
        "parts": {},
        "results": {"peak_bytes": 1e9},
        "gaps": {},
    }
    write(Record.model_validate(fields | changes), path)
    return path


def verdicts(now: Path, before: Path, **settings: Any) -> dict[str, str]:
    found = check_speed(now, before, GateSettings(**settings))
    return {one.name: one.verdict for one in found.checks}


def test_ratios(tmp_path: Path) -> None:
    base = record(tmp_path / "base.json")
    cases = {
        "same": ({}, "same"),
        "slow machine": ({"machine": 3.0}, "same"),
        "slower": ({"factor": 1.3}, "worse"),
        "faster": ({"factor": 0.7}, "better"),
        "near": ({"factor": 1.1}, "undecided"),
        "new code": ({"versions": {"libra_bench": "2", "torch": "2"}}, "same"),
        "load": (
            {"factor": 2.0, "facts": {"threads": 1, "load_average": 9.0, "cpus": 2}},
            "undecided",
        ),
        "one jump": ({"seconds": [1.0, 1.0, 1.0, 1.0, 3.0]}, "undecided"),
    }
    for name, (changes, expected) in cases.items():
        found = verdicts(record(tmp_path / f"{name}.json", **changes), base)
        assert found == {"time": expected, "memory": "same"}, name
    (time, _) = check_speed(tmp_path / "slower.json", base).checks
    assert time.current == pytest.approx(1.3)
    assert 1 + time.low < 1.3 < 1 + time.high
    assert verdicts(tmp_path / "slower.json", base, thresholds={"time": 0.5})["time"] == "same"


def test_memory(tmp_path: Path) -> None:
    base = record(tmp_path / "base.json")
    for size, expected in ((1.04e9, "same"), (1.2e9, "worse"), (0.8e9, "better")):
        now = record(tmp_path / "now.json", results={"peak_bytes": size})
        assert verdicts(now, base)["memory"] == expected
    none = record(tmp_path / "none.json", results={"peak_bytes": None})
    assert verdicts(none, base) == {"time": "same"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cpu y"}, "device: cpu x there, cpu y here"),
        ({"versions": {"libra_bench": "1", "torch": "3"}}, "version of torch: 2 there, 3 here"),
        ({"settings": {"engine": "reference"}}, "engine: fast there, reference here"),
        ({"facts": {"threads": 2, "load_average": 0.0, "cpus": 2}}, "threads: 1 there, 2 here"),
        ({"calibration": []}, "measured without the calibration loop"),
        ({"seconds": [1.0], "calibration": [0.1]}, "1 repetitions; 3 are needed"),
        ({"calibration": [0.0] * 5}, "no number above 0"),
    ],
)
def test_what_is_not_comparable(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    base = record(tmp_path / "base.json")
    now = record(tmp_path / "now.json", **changes)
    with pytest.raises(InputError, match=message):
        check_speed(now, base)
    answer = CliRunner().invoke(app, ["check", "--perf", str(now), "--baseline", str(base)])
    assert answer.exit_code == 2 and "not comparable" in answer.output


def test_by_command_and_by_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "base.json")
    record(tmp_path / "slow.json", factor=2.0)
    answer = CliRunner().invoke(app, ["check", "--perf", "slow.json", "--baseline", "base.json"])
    assert answer.exit_code == 3
    Path("libra-bench.toml").write_text('[perf]\nrecord = "slow.json"\nbaseline = "base.json"\n')
    assert CliRunner().invoke(app, ["check"]).exit_code == 3
    assert CliRunner().invoke(app, ["check", "--threshold", "time=2"]).exit_code == 0
    assert CliRunner().invoke(app, ["check", "--perf", "slow.json"]).exit_code == 2


def test_a_measurement_carries_its_calibration(tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        app,
        [
            *("perf", "measure", "--shape", "micro", "--tokens", "2", "--studies", "1"),
            *("--num-beams", "1", "--seconds", "0", "--output", str(tmp_path / "r.json")),
        ],
    )
    assert answer.exit_code == 0, answer.output
    found = Record.model_validate_json((tmp_path / "r.json").read_text())
    assert len(found.calibration) == len(found.seconds) >= 3
    assert all(0 < one < 5 for one in found.calibration)
    assert verdicts(tmp_path / "r.json", tmp_path / "r.json")["memory"] == "same"
