"""The measurements behind `reports/`: the suite for a GPU, tried at a small shape on a CPU."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.perf.record import Record, read_folder

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "sweep.py"
TRIAL = "--shape micro --device cpu --dtype float32 --attention sdpa --tokens 2 --seconds 0"
QUICK = "--repetitions 1 --warm-up 0"


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("sweep", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "sweep", module)
    spec.loader.exec_module(module)
    # Without a process each: torch would be imported dozens of times.
    monkeypatch.setattr(
        module,
        "libra_bench",
        lambda *given: CliRunner().invoke(app, ["perf", *given]).exit_code == 0,
    )
    return module


def few(sweep, monkeypatch: pytest.MonkeyPatch, *parts: str) -> None:
    """Keep the runs whose names hold one of `parts`."""
    everything = list(sweep.gpu())
    kept = [run for run in everything if any(part in run[0] for part in parts)]
    assert kept
    monkeypatch.setitem(sweep.SUITES, "gpu", lambda: iter(kept))


def test_the_gpu_suite_covers_engines_protocols_sizes_and_stages(sweep) -> None:
    names = [name for name, _ in sweep.gpu() if "sdpa" in name]
    for protocol in ("libra-paper", "greedy"):
        sizes = [name for name in names if f"fast-{protocol}-batch" in name]
        assert len(sizes) == 6 and f"gpu-sdpa-reference-{protocol}" in names
    arguments = dict(sweep.gpu())
    for stage in ("align", "finetune"):
        runs = [arguments[name] for name in names if f"-{stage}-" in name]
        assert len(runs) == 6
        assert all(run[run.index("--batch") + 1] == "16" for run in runs)
    assert all(run[run.index("--shape") + 1] == "libra-7b" for run in arguments.values())


def test_the_gpu_suite_runs_at_a_small_shape_and_goes_on(
    sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Record, "disturbed", False)
    few(sweep, monkeypatch, "sdpa-fast-greedy-batch4", "sdpa-reference", "sdpa-align-micro4-rec")
    folder, pages = tmp_path / "records", tmp_path / "pages"
    given = ["gpu", str(folder), "--pages", str(pages), "--", *TRIAL.split(), *QUICK.split()]
    sweep.main(given)
    records = read_folder(folder)
    assert len(records) == 4
    assert {one.model for one in records.values()} == {"micro"}
    training = records["gpu-sdpa-align-micro4-recompute.json"].settings
    assert (training["batch"], training["micro_batch"], training["recompute"]) == (16, 4, True)
    assert "gpu-sdpa-fast-greedy-batch4" in (pages / "README.md").read_text()
    # What is there is not measured again.
    before = {name: (folder / name).stat().st_mtime_ns for name in records}
    sweep.main(given)
    assert before == {name: (folder / name).stat().st_mtime_ns for name in records}


def test_what_fails_is_named_and_the_others_go_on(
    sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Record, "disturbed", False)
    few(sweep, monkeypatch, "sdpa-fast-greedy-batch1", "sdpa-finetune-micro1")
    monkeypatch.setattr(
        sweep, "libra_bench", lambda *given: "--stage" not in given and written(given)
    )
    with pytest.raises(SystemExit, match="not measured: gpu-sdpa-finetune-micro1, "):
        sweep.main(["gpu", str(tmp_path), "--", *TRIAL.split(), *QUICK.split()])
    assert {path.stem for path in tmp_path.glob("*.json")} == {
        "gpu-sdpa-fast-greedy-batch1",
        "gpu-sdpa-fast-greedy-batch16",
    }


def written(given: tuple[str, ...]) -> bool:
    """As a measurement that went well would leave its file."""
    record = json.loads(EXAMPLE.read_text())
    Path(given[given.index("--output") + 1]).write_text(json.dumps(record))
    return True


EXAMPLE = next((SCRIPT.parents[1] / "reports" / "perf").glob("cpu-fast-*.json"))
