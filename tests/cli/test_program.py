"""The program as a user runs it: exit codes, messages, files, interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

EXIT = {"done": 0, "failed": 1, "input": 2, "regression": 3, "failures": 4, "interrupted": 130}
QUICK = ("--metrics", "bleu,rouge_l,temporal_f1", "--max-new-tokens", "12", "--trials", "50")
# One report after the other, so that there is a time between the first and the last of them.
QUICK += ("--batch-size", "1")


def program(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "libra_bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the packaged model."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    answer = program("run", "--limit", 12, "--output", folder, *QUICK)
    assert answer.returncode == EXIT["done"], answer.stderr
    return folder


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['libra-bench', '--help']\n"
        "from libra_bench.cli import main\n"
        "try: main()\n"
        "finally: print([n for n in ('torch', 'pandas', 'numpy') if n in sys.modules])"
    )
    # What makes `--help` slow is what it imports; seconds depend on what else runs.
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert answer.stdout.splitlines()[-1] == "[]"
    for command in ("run", "generate", "score", "compare", "check", "report", "export", "data"):
        assert f" {command} " in answer.stdout


def test_run_folder_is_complete(finished: Path) -> None:
    names = {file.name for file in finished.iterdir()}
    assert names == {
        "manifest.json",
        "examples.jsonl",
        "dropped.csv",
        "predictions.jsonl",
        "scores.parquet",
        "summary.json",
        "report.html",
        "report.md",
    }
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["arguments"]["limit"] == 12
    assert manifest["resolved"]["system"]["protocol"] == "demo+custom"
    assert len(manifest["hashes"]["examples"]) == 64
    assert manifest["versions"]["torch"]
    summary = json.loads((finished / "summary.json").read_text())
    assert (summary["n"], summary["generated"], summary["failed"]) == (12, 12, 0)
    assert summary["run"]["trained"] is True
    figure = summary["metrics"]["bleu4"]
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert "|model:libra-tiny@" in figure["signature"]
    assert "max_new_tokens=12" in figure["signature"]
    frame = pd.read_parquet(finished / "scores.parquet")
    assert len(frame) == 12
    assert "untrained" not in (finished / "report.html").read_text()
    assert "untrained" not in (finished / "report.md").read_text()


def test_scoring_again_never_loads_the_model(finished: Path, tmp_path: Path) -> None:
    answer = program(
        "score",
        *("--predictions", finished / "predictions.jsonl"),
        *("--references", finished / "examples.jsonl"),
        *("--metrics", "bleu,rouge_l", "--json", "--per-report", tmp_path / "scores.parquet"),
    )
    assert answer.returncode == EXIT["done"], answer.stderr
    again = json.loads(answer.stdout)
    stored = json.loads((finished / "summary.json").read_text())
    for name in ("bleu1", "bleu4", "rouge_l"):
        assert again["metrics"][name]["value"] == stored["metrics"][name]["value"]
        assert again["metrics"][name]["signature"] == stored["metrics"][name]["signature"]
    assert len(pd.read_parquet(tmp_path / "scores.parquet")) == 12


def test_a_second_run_needs_another_folder_or_resume(finished: Path) -> None:
    answer = program("run", "--limit", 12, "--output", finished, *QUICK)
    assert answer.returncode == EXIT["input"]
    assert "--resume continues it" in answer.stderr
    answer = program("run", "--limit", 11, "--output", finished, "--resume", *QUICK)
    assert answer.returncode == EXIT["input"]
    assert "limit: 12 there, 11 now" in answer.stderr


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        (signal.SIGINT, "cancelled", EXIT["interrupted"]),
        (signal.SIGTERM, "cancelled", EXIT["interrupted"]),
        (signal.SIGKILL, "started", -signal.SIGKILL),
    ],
)
def test_stopped_runs_resume_to_the_same_end(
    finished: Path, tmp_path: Path, number: signal.Signals, status: str, code: int
) -> None:
    folder = tmp_path / "stopped"
    command = [sys.executable, "-m", "libra_bench", "run", "--limit", "12", *QUICK]
    command += ["--output", str(folder)]
    # Fewer threads than the finished run had would be another order of summation; the ids of a
    # run must not depend on it, and are compared below.
    # A test run started in the background hands down that it does not hear Ctrl-C.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear) as running:
        log = folder / "predictions.jsonl"
        while not (log.exists() and log.read_text().count("\n") >= 2):
            assert running.poll() is None, "ended before it could be stopped"
            time.sleep(0.01)
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode == code
    assert json.loads((folder / "manifest.json").read_text())["status"] == status
    assert len(read_lines(folder / "predictions.jsonl")) < 12
    answer = program("run", "--limit", 12, *QUICK, "--output", folder, "--resume")
    assert answer.returncode == EXIT["done"], answer.stderr

    def texts(place: Path) -> list[tuple[str, str]]:
        return [(row["question_id"], row["text"]) for row in read_lines(place)]

    assert texts(folder / "predictions.jsonl") == texts(finished / "predictions.jsonl")
    figures = [
        json.loads((place / "summary.json").read_text())["metrics"] for place in (folder, finished)
    ]
    assert figures[0] == figures[1]


def test_one_bad_example_costs_only_itself(tmp_path: Path, public_data: Path) -> None:
    images = public_data / "images"
    examples = write_lines(
        tmp_path / "examples.jsonl",
        {"question_id": "two", "text": "q", "image": sorted(p.name for p in images.glob("*.png"))},
        {"question_id": "dicom", "text": "q", "image": ["rsna_monochrome2.dcm"]},
        {"question_id": "inverted", "text": "q", "image": "monochrome1.dcm"},
        {"question_id": "evil", "text": "q", "image": "../../../etc/passwd"},
        {"question_id": "gone", "text": "q", "image": "gone.png"},
    )
    arguments = (
        *("generate", "--model", "libra-tiny", "--examples", examples, "--image-root", images),
        *("--max-new-tokens", 4, "--output", tmp_path / "out.jsonl"),
    )
    answer = program(*arguments)
    assert answer.returncode == EXIT["failures"], answer.stderr
    rows = {row["question_id"]: row for row in read_lines(tmp_path / "out.jsonl")}
    assert [key for key, row in rows.items() if row["status"] == "ok"] == [
        "two",
        "dicom",
        "inverted",
    ]
    assert "leaves the image root" in rows["evil"]["error"]
    assert "gone.png" in rows["gone"]["error"]
    assert program(*arguments, "--resume", "--max-failures", 2).returncode == EXIT["done"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"question_id": "a", "text": "q", "image": "gone.png"}\n', "no example has an image"),
        ('{"question_id": "a", "text": "q"}\n{"question_id": "b", "te', "line 2: not JSON"),
        ('{"question_id": "a", "text": "q"}\n' * 2, "line 2: duplicate id 'a'"),
        ("", "no records in it"),
    ],
)
def test_unusable_examples_stop_before_any_work(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "examples.jsonl").write_text(content)
    answer = program(
        *("generate", "--model", "libra-tiny", "--examples", tmp_path / "examples.jsonl"),
        *("--image-root", tmp_path, "--output", tmp_path / "out.jsonl"),
    )
    assert answer.returncode == EXIT["input"]
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_shards_merge_to_the_whole(tmp_path: Path, finished: Path) -> None:
    from libra_bench.data.corpora import synthetic

    root = synthetic.built_in()
    for shard in ("1/3", "2/3", "3/3"):
        answer = program(
            *("generate", "--model", "libra-tiny", "--examples", finished / "examples.jsonl"),
            *("--image-root", root, "--output", tmp_path / f"{shard[0]}.jsonl", "--shard", shard),
            *("--max-new-tokens", 12),
        )
        assert answer.returncode == EXIT["done"], answer.stderr
    merged = [row for part in "123" for row in read_lines(tmp_path / f"{part}.jsonl")]
    whole = read_lines(finished / "predictions.jsonl")
    assert [row["text"] for row in merged] == [row["text"] for row in whole]


def test_weights_or_data_that_are_not_here(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "LIBRA_BENCH_MODELS": ""}
    for arguments, message in (
        (("--model", "libra-7b"), "libra-bench fetch libra-7b"),
        (("--model", "normal-template", "--data", f"mimic-cxr:{tmp_path}"), "physionet.org"),
        (("--model", "libra7b"), "Did you mean 'libra-7b'"),
        (("--protocol", "greedi"), "Did you mean 'greedy'"),
        (("--metrics", "blue"), "Did you mean 'bleu'"),
        (("--engine", "slow"), "unknown engine 'slow'"),
    ):
        answer = program("run", *arguments, "--output", tmp_path / "run", env=environment)
        assert answer.returncode == EXIT["input"], answer.stderr
        assert message in answer.stderr
        assert "Traceback" not in answer.stderr
        assert not (tmp_path / "run").exists()


def test_baselines_on_real_reports(tmp_path: Path, public_data: Path) -> None:
    """The floor of every table, compared, checked and exported."""
    data = f"rexrank:{public_data / 'rexrank' / 'ReXRank_IUXray_test.json'}"
    corpus = f"openi:{public_data / 'openi' / 'NLMCXR_reports.tgz'}"
    quick = ("--metrics", "bleu,rouge_l,temporal_f1", "--trials", 200, "--data", data)
    runs = {name: tmp_path / name for name in ("normal-template", "indication-retrieval")}
    for name, folder in runs.items():
        extra = ("--corpus", corpus) if name == "indication-retrieval" else ()
        answer = program("run", "--model", name, *extra, *quick, "--output", folder)
        assert answer.returncode == EXIT["done"], answer.stderr
        assert json.loads((folder / "summary.json").read_text())["n"] == 590
    template, retrieval = runs.values()

    answer = program("compare", template, retrieval, "--trials", 500, "--json")
    rows = {row["name"]: row for row in json.loads(answer.stdout)}
    assert rows["bleu1"]["difference"] == pytest.approx(
        rows["bleu1"]["value"] - rows["bleu1"]["baseline"]
    )
    assert rows["bleu1"]["low"] < rows["bleu1"]["difference"] < rows["bleu1"]["high"]

    same = program("check", "--run", template, "--baseline", template / "summary.json")
    assert same.returncode == EXIT["done"]
    better = json.loads((template / "summary.json").read_text())
    for figure in better["metrics"].values():
        for key in ("value", "low", "high"):
            figure[key] += 5
    (tmp_path / "better.json").write_text(json.dumps(better))
    worse = program("check", "--run", template, "--baseline", tmp_path / "better.json")
    assert worse.returncode == EXIT["regression"]

    exported = program("export", "rexrank", "--run", retrieval, "--output", tmp_path / "x.json")
    assert exported.returncode == EXIT["done"], exported.stderr
    studies = json.loads((tmp_path / "x.json").read_text())
    original = json.loads((public_data / "rexrank" / "ReXRank_IUXray_test.json").read_text())
    assert set(studies) == set(original)
    for key, study in studies.items():
        assert study.pop("model_prediction")
        assert study == original[key]


def test_retrieval_without_a_corpus_says_what_to_name(tmp_path: Path, public_data: Path) -> None:
    data = f"rexrank:{public_data / 'rexrank' / 'ReXRank_IUXray_valid.json'}"
    answer = program("run", "--model", "indication-retrieval", "--data", data)
    assert answer.returncode == EXIT["input"]
    assert "--corpus" in answer.stderr


def test_data_commands(tmp_path: Path, parity: Path) -> None:
    kit = parity / "mimic-layout"
    answer = program(
        *("data", "sections", "--reports", kit / "reports.tar.gz"),
        *("--output", tmp_path / "sections.csv"),
    )
    assert answer.returncode == EXIT["done"], answer.stderr
    header = (tmp_path / "sections.csv").read_text().partition("\n")[0].strip()
    assert header == (
        "study,findings,impression,indication,comparison,technique,history,examination,"
        "last_paragraph"
    )
    read = {"dtype": str, "keep_default_na": False}
    ours = pd.read_csv(tmp_path / "sections.csv", **read).set_index("study").sort_index()
    expected = pd.read_csv(kit / "expected" / "mimic_cxr_sectioned.csv", **read)
    pd.testing.assert_frame_equal(ours, expected.set_index("study").sort_index())
    answer = program(
        *("data", "pair", "--metadata", kit / "mimic-cxr-2.0.0-metadata.csv.gz"),
        *("--split-file", kit / "mimic-cxr-2.0.0-split.csv.gz"),
        *("--output", tmp_path / "pairs.csv"),
    )
    assert answer.returncode == EXIT["done"], answer.stderr
    columns = set(pd.read_csv(tmp_path / "pairs.csv", nrows=1).columns)
    assert columns >= {"split", "subject_id", "study_id", "dicom_id", "image", "prior_image"}


def test_studies_that_a_run_cannot_use_are_listed(tmp_path: Path) -> None:
    """As CheXpert Plus writes them, with NaN where a section is missing."""
    study = {"key_image_path": "p1/view1.jpg", "context": float("nan")}
    studies = {
        "p1_study1": {**study, "section_findings": "The lungs are clear."},
        "p2_study1": {**study, "section_findings": float("nan")},
    }
    (tmp_path / "x.json").write_text(json.dumps(studies))
    data = ("--data", f"rexrank:{tmp_path / 'x.json'}", "--model", "normal-template")
    folder = tmp_path / "run"
    assert program("run", *data, *QUICK, "--output", folder).returncode == EXIT["done"]
    assert (folder / "dropped.csv").read_text().splitlines() == [
        "id,reason",
        "p2_study1,no findings",
    ]


def test_lists_and_doctor() -> None:
    models = {row["name"] for row in json.loads(program("models", "--json").stdout)}
    assert {"libra-7b", "libra-3b", "libra-tiny", "normal-template"} <= models
    metrics = {row["name"] for row in json.loads(program("metrics", "--json").stdout)}
    assert {"bleu", "meteor", "rouge_l", "temporal_f1"} <= metrics
    findings = {row["what"]: row for row in json.loads(program("doctor", "--json").stdout)}
    assert findings["model libra-tiny"]["ok"]
    assert findings["GPU"]["ok"] or findings["GPU"]["mend"]
    for command in ("doctor", "metrics", "models"):
        shown = program(command).stdout.splitlines()
        assert max(map(len, shown)) <= 80, command
    # The subprocess has no terminal: 80 columns. No name is cut in two.
    assert "temporal_f1_change" in program("metrics").stdout


def test_report_again(finished: Path) -> None:
    before = (finished / "report.md").read_text()
    (finished / "report.md").unlink()
    assert program("report", "--run", finished, "--format", "html,md,latex").returncode == 0
    assert (finished / "report.md").read_text() == before
    assert (finished / "report.tex").is_file()
    (finished / "report.tex").unlink()
    assert program("report", "--run", finished, "--format", "pdf").returncode == EXIT["input"]


def test_scoring_words_imports_no_torch(tmp_path: Path) -> None:
    """Torch is several times the rest of what scoring many reports needs."""
    rows = [
        {"question_id": str(n), "text": "No effusion.", "reference": "Small effusion."}
        for n in range(3)
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code = (
        "import sys\nfrom libra_bench.cli import main\ntry: main()\nfinally: "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)), file=sys.stderr)"
    )
    for given in (
        ("--metrics", "bleu,meteor,rouge_l,temporal_f1", "--allow-unscored"),
        ("--profile", "coco", "--metrics", "bleu,rouge_l,cider", "--allow-unscored"),
        ("--profile", "rexrank", "--metrics", "bleu", "--per-report", tmp_path / "s.parquet"),
    ):
        command = [sys.executable, "-c", code, "score", "--predictions", path, *given]
        answer = subprocess.run(
            [str(one) for one in command], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr.endswith("\n[]\n"), answer.stderr
