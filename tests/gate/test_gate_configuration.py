"""`libra-bench.toml`: read and checked as a whole; `check` alone then does everything."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.configuration import find, read
from libra_bench.core.errors import InputError

EXAMPLES = [
    {"question_id": n, "text": "q", "subject_id": n // 2, "view": "PA" if n % 3 else "AP"}
    | {"reference": f"The lungs are clear. There is no effusion. Line {n}."}
    for n in range(30)
]
GOOD = """\
# what is evaluated
[run]
model = "normal-template"
data = "jsonl:examples.jsonl"
metrics = [
  "bleu",
  "rouge_l",
]
output = "runs/now"
trials = 20

[gate]
baseline = "main"
by = ["view"]
alpha = 0.01
trials = 2000
junit = "out/gate.xml"
margins = { bleu4 = 0.2 }
thresholds.length = 0.5

[baselines]
main = "main.json.gz"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = "".join(json.dumps(row) + "\n" for row in EXAMPLES)
    (tmp_path / "examples.jsonl").write_text(lines)
    return tmp_path


def test_check_alone_does_everything(folder: Path) -> None:
    (folder / "libra-bench.toml").write_text(GOOD)
    run = CliRunner().invoke
    missing = run(app, ["check"])
    assert missing.exit_code == 2 and "baseline save" in missing.output
    assert not (folder / "runs").exists(), "nothing is evaluated before all is known"
    common = ["run", "--model", "normal-template", "--data", "jsonl:examples.jsonl"]
    options = ["--metrics", "bleu,rouge_l", "--output", "first", "--trials", "20"]
    assert run(app, [*common, *options]).exit_code == 0
    assert run(app, ["baseline", "save", "first", "--output", "main.json.gz"]).exit_code == 0
    answer = run(app, ["check", "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["verdict"] == "same" and found["alpha"] == 0.01
    names = {one["name"]: one for one in found["figures"]}
    assert names["bleu4"]["margin"] == 0.2 and "rouge_l@view=PA" in names
    assert (folder / "out" / "gate.xml").is_file() and (folder / "runs" / "now").is_dir()
    # An earlier run of this folder is not taken for a new one.
    assert run(app, ["check"]).exit_code == 2
    # What is named on the command line goes before the file.
    answer = run(app, ["check", "--run", "runs/now", "--alpha", "0.2", "--json"])
    assert json.loads(answer.stdout)["alpha"] == 0.2


def test_the_table_of_a_project(folder: Path) -> None:
    project = folder / "pyproject.toml"
    project.write_text('[project]\nname = "x"\n')
    assert find(folder) is None
    project.write_text(
        '[project]\nname = "x"\n\n[tool.libra-bench.gate]\nalpha = 0.1\n'
        '[tool.libra-bench.baselines]\nmain = "b.json"\n'
    )
    assert find(folder) == project
    found = read(project)
    assert found.gate().alpha == 0.1 and found.baseline == folder / "b.json"
    project.write_text(project.read_text().replace("0.1", '"high"'))
    with pytest.raises(InputError, match=r"line 5: gate.alpha"):
        read(project)
    (folder / "libra-bench.toml").write_text(GOOD)
    assert find(folder) == folder / "libra-bench.toml"


def test_every_fault_is_named_with_its_line(folder: Path) -> None:
    path = folder / "libra-bench.toml"
    path.write_text(
        """\
[run]
modell = "libra-tiny"
limit = 0
metrics = ["bleu", "rouge"]
note = '''
[gate]
'''

[run.decoding]
num_beam = 4

[gate]
baseline = "mian"
alpha = 5
strict = "yes"

[gate.margins]
bleu4 = -1
blue = 1.0

[gate.thresholds]
empti = 0.1

[baselines]
main = "b.json"
other = 3
"""
    )
    with pytest.raises(InputError) as told:
        read(path)
    message = str(told.value)
    for line, part in (
        (2, "run.modell: Extra inputs"),
        (3, "run.limit: "),
        (4, "run.metrics.1: unknown metric"),
        (5, "run.note: Extra"),
        (
            10,
            "run.decoding.num_beam: unknown decoding setting 'num_beam'. Did you mean 'num_beams'",
        ),
        (13, "gate.baseline: unknown baseline 'mian'. Did you mean 'main'"),
        (14, "gate.alpha: "),
        (15, "gate.strict: "),
        (18, "gate.margins.bleu4: "),
        (19, "gate.margins.blue: unknown metric of a margin 'blue'"),
        (22, "gate.thresholds.empti: unknown threshold 'empti'. Did you mean 'empty'"),
        (26, "baselines.other: "),
    ):
        assert f"line {line}: {part}" in message, message
    assert message.startswith(str(path))
    assert message.count("\n  line ") == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run\n", "not TOML .*line 1"),
        ('[run]\nmodel = "a"\nmodel = "b"\n', "not TOML .*line 3"),
        ("run = 3\n", "line 1: run: "),
        ('[baselines]\na = "a"\nb = "b"\n', "`baseline` is to name one of a, b"),
        ('[perf]\nrecord = "r.json"\n', "line 1: perf.baseline: Field required"),
        ("[run]\nprofile = 'libre'\n", "line 2: run.profile: unknown profile 'libre'"),
    ],
)
def test_other_faults(folder: Path, text: str, message: str) -> None:
    (folder / "libra-bench.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read(folder / "libra-bench.toml")
    assert CliRunner().invoke(app, ["check"]).exit_code == 2


def test_values_are_checked_before_anything_runs(folder: Path) -> None:
    path = folder / "libra-bench.toml"
    path.write_text(
        """\
[run]
model = "libra-tyny"
data = "rexrank:none.json"
corpus = "openy:x"
section = "impresion"
prior_policy = "dicom"
protocol = "libra-papr"
engine = "fastt"
device = "gpu"
dtype = "f16"
conv_mode = "lybra"
batch_size = 0
image_root = "nowhere"

[run.decoding]
num_beams = "x"
do_sample = 1
length_penalty = true
"""
    )
    with pytest.raises(InputError) as told:
        read(path)
    message = str(told.value)
    for line, part in (
        (2, "run.model: unknown model (and no folder of that name) 'libra-tyny'. Did you mean"),
        (3, f"run.data: there is no {folder / 'none.json'}"),
        (4, "run.corpus: unknown kind of data 'openy'. Did you mean 'openi'"),
        (5, "run.section: unknown section 'impresion'. Did you mean 'impression'"),
        (6, "run.prior_policy: unknown prior policy 'dicom'"),
        (7, "run.protocol: unknown protocol 'libra-papr'. Did you mean 'libra-paper'"),
        (8, "run.engine: unknown engine 'fastt'. Did you mean 'fast'"),
        (9, "run.device: unknown device 'gpu'. Did you mean 'cuda'"),
        (10, "run.dtype: unknown dtype 'f16'"),
        (11, "run.conv_mode: unknown conversation mode 'lybra'"),
        (12, "run.batch_size: 0: a positive number or `auto`"),
        (13, "run.image_root: there is no folder"),
        (16, "run.decoding.num_beams: 'x': a whole number was expected"),
        (17, "run.decoding.do_sample: 1: true or false was expected"),
        (18, "run.decoding.length_penalty: True: a number was expected"),
    ):
        assert f"line {line}: {part}" in message, message
    assert message.count("\n  line ") == 15
    path.write_text("[run]\ndecoding = { num_beams = 0 }\n")
    with pytest.raises(InputError, match=r"line 2: run\.decoding: .*num_beams"):
        read(path)
    # A model may be a folder beside the file; whole numbers are numbers.
    (folder / "mine").mkdir()
    path.write_text('[run]\nmodel = "mine"\ndecoding = { num_beams = 4, length_penalty = 2 }\n')
    assert read(path).run().system.model == str(folder / "mine")


def test_a_table_that_is_none(folder: Path) -> None:
    project = folder / "pyproject.toml"
    project.write_text('[project]\nname = "x"\n\n[tool]\nlibra-bench = 3\n')
    with pytest.raises(InputError, match=r"line 5: tool\.libra-bench: a table was expected"):
        read(project)
    assert CliRunner().invoke(app, ["check"]).exit_code == 2


def test_text_that_is_no_text(folder: Path) -> None:
    (folder / "libra-bench.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read(folder / "libra-bench.toml")
