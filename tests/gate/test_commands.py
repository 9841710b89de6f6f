"""`check` and `baseline` as a user runs them, and what they write for continuous integration."""

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_up_runs import cohort, cut, make_run
from typer.testing import CliRunner, Result

from libra_bench.cli.program import app
from libra_bench.gate import baseline as files
from libra_bench.gate.judgement import Judgement, Moved, Outcome
from libra_bench.gate.junit import junit
from libra_bench.gate.markdown import error_lines, markdown

QUICK = ("--trials", "1000")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    texts, references = cohort(60)
    folder = tmp_path_factory.mktemp("runs")
    return {
        "before": make_run(folder / "before", texts, references),
        "worse": make_run(folder / "worse", cut(texts, 0.6), references),
        "other": make_run(folder / "other", texts, references, decoding="beam"),
    }


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def program(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_save_check_and_update(runs: dict[str, Path], tmp_path: Path) -> None:
    assert program("baseline", "save", runs["before"], "--output", "b.json").exit_code == 0
    again = program("baseline", "save", "--run", runs["before"], "--output", "b.json")
    assert again.exit_code == 2 and "baseline update" in again.output
    same = program("check", "--run", runs["before"], "--baseline", "b.json", "--json", *QUICK)
    assert same.exit_code == 0
    answer = json.loads(same.stdout)
    assert answer["verdict"] == "same"
    keys = {"name", "baseline", "current", "difference", "low", "high", "p", "verdict"}
    assert all(keys <= set(one) for one in answer["figures"])

    worse = program("check", "--run", runs["worse"], "--baseline", "b.json", "--json", *QUICK)
    assert worse.exit_code == 3
    assert json.loads(worse.stdout)["verdict"] == "worse"

    kept = Path("b.json").read_bytes()
    update = ("baseline", "update", "--output", "b.json", *QUICK, "--run")
    refused = program(*update, runs["worse"])
    assert refused.exit_code == 3 and "was kept" in refused.output
    assert Path("b.json").read_bytes() == kept
    assert program(*update, runs["other"]).exit_code == 2
    assert program(*update, runs["worse"], "--accept", " ").exit_code == 2
    assert Path("b.json").read_bytes() == kept

    # A reason is for runs, not for options that cannot be used.
    for wrong in (("--margin", "blue=1"), ("--by", "wiev")):
        assert program(*update, runs["other"], "--accept", "x", "--margin", "blue=1").exit_code == 2
        assert program(*update, runs["worse"], "--accept", "x", *wrong).exit_code == 2
    assert Path("b.json").read_bytes() == kept

    assert program(*update, runs["worse"], "--accept", "shorter on purpose").exit_code == 0
    assert program(*update, runs["before"]).exit_code == 0
    assert program(*update, runs["before"], "--accept", "the same again").exit_code == 0
    assert program(*update, runs["other"], "--accept", "beams from now on").exit_code == 0
    history = files.read(Path("b.json")).history
    assert [(one.verdict, one.accepted) for one in history] == [
        ("worse", "shorter on purpose"),
        (history[1].verdict, None),
        ("same", "the same again"),
        ("not compared", "beams from now on"),
    ]
    assert history[1].verdict in ("better", "undecided")
    assert "rouge_l" in history[0].worse and history[0].replaced != history[1].replaced


def test_a_baseline_holds_no_text_no_patient_and_no_path(runs: dict[str, Path]) -> None:
    program("baseline", "save", runs["before"], "--output", "b.json")
    text = Path("b.json").read_text()
    for word in ("lungs", "heart", "Describe", str(runs["before"]), '"p1"'):
        assert word not in text
    # Equal runs give equal files, but for the time.
    value = json.loads(text)
    datetime.fromisoformat(value["created"])
    assert value["patients"][:4] == [0, 0, 1, 1]


def test_what_no_report_has_does_not_gate(tmp_path: Path) -> None:
    """No word of change in a reference: the score of those reports has no value."""
    run = make_run(
        tmp_path / "run",
        ["Lungs clear.", "Heart normal.", "No effusion."] * 2,
        ["The lungs are clear.", "The heart is normal.", "There is no effusion."] * 2,
        metrics=("bleu", "temporal_f1"),
    )
    summary = json.loads((run / "summary.json").read_text())
    # A reason names a folder of the machine, and a baseline must not.
    gap = {"reason": f"no file {tmp_path}/weights", "mend": "get it"}
    (run / "summary.json").write_text(json.dumps({**summary, "not_scored": {"semb": gap}}))
    answer = program("baseline", "save", run, "--output", "b.json")
    assert answer.exit_code == 0
    assert "no report has a value of temporal_f1_change: this will not gate" in answer.output
    assert str(tmp_path) not in Path("b.json").read_text()
    checked = program("check", "--run", run, "--baseline", "b.json", *QUICK, "--strict", "--json")
    assert checked.exit_code == 0, checked.output
    found = json.loads(checked.stdout)
    assert "temporal_f1_change" in " ".join(found["notes"])
    assert "temporal_f1_change" not in {one["name"] for one in found["figures"]}


def test_unchanged_numbers_survive_the_file(runs: dict[str, Path]) -> None:
    for name in ("b.json", "b.json.gz"):
        program("baseline", "save", runs["before"], "--output", name)
    one, two = (files.read(Path(name)) for name in ("b.json", "b.json.gz"))
    assert one.metrics == two.metrics
    assert Path("b.json.gz").stat().st_size < Path("b.json").stat().st_size / 3


def test_files_for_continuous_integration(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("baseline", "save", runs["before"], "--output", "b.json")
    Path("summary.md").write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    answer = program(
        *("check", "--run", runs["worse"], "--baseline", "b.json", "--json", *QUICK),
        *("--junit", "out/j.xml", "--markdown", "out/m.md", "--link", "https://ci/run"),
    )
    assert answer.exit_code == 3
    found = json.loads(answer.stdout)
    lines = [line for line in answer.stderr.splitlines() if line.startswith("::error")]
    failing = [one for one in found["figures"] + found["checks"] if one["verdict"] == "worse"]
    assert len(lines) == len(failing)
    page = Path("out/m.md").read_text()
    assert "[browse the run](https://ci/run)" in page
    assert Path("summary.md").read_text() == f"before\n{page}\n"
    for study in failing[0]["moved"]:
        assert f"`{study['id']}`" in page
    assert "The lungs are clear." in page or "The heart" in page
    suite = check_junit(Path("out/j.xml").read_text())
    assert suite.get("failures") == str(len(failing))

    program(
        *("check", "--run", runs["worse"], "--baseline", "b.json", "--no-text", *QUICK),
        *("--markdown", "out/m.md"),
    )
    assert not re.search(r"\b(heart|lungs|effusion)\b", Path("out/m.md").read_text())


def check_junit(text: str) -> ElementTree.Element:
    """What both schemas in use demand; returns the suite."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites" and not root.attrib
    (suite,) = root
    assert set(suite.attrib) == {
        *("name", "package", "id", "hostname", "timestamp"),
        *("tests", "failures", "errors", "skipped", "time"),
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
    tags = [child.tag for child in suite]
    cases = [child for child in suite if child.tag == "testcase"]
    assert tags == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
    counted = {"failure": 0, "skipped": 0}
    for case in cases:
        assert set(case.attrib) == {"classname", "name", "time"}
        assert len(case) <= 1
        for child in case:
            counted[child.tag] += 1
            assert child.get("message")
            assert child.tag == "skipped" or child.get("type")
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    assert suite.get("tests") == str(len(cases))
    assert suite.get("failures") == str(counted["failure"])
    assert suite.get("skipped") == str(counted["skipped"])
    return suite


def outcome(strict: bool = False) -> Outcome:
    study = Moved("a|b\x00`c", -1.0, "<b>bold</b> | 5\n% [x](y)", "plain")
    figures = [
        Judgement("m", "M|1", "worse", 2.0, 1.0, -1.0, moved=(study,), reason="a\n%"),
        Judgement("u", "U", "undecided", 2.0, 1.0, reason="cannot tell"),
        Judgement("s", "S", "same", None, float("nan")),
    ]
    return Outcome("base", "run", 0.05, strict, figures)


def test_strange_ids_and_texts_break_no_format() -> None:
    suite = check_junit(junit(outcome()))
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")
    strict = check_junit(junit(outcome(strict=True)))
    assert (strict.get("failures"), strict.get("skipped")) == ("2", "0")
    page = markdown(outcome())
    assert "<b>" not in page and "| `a\\|b" in page
    assert all(len(re.findall(r"(?<!\\)\|", line)) in (0, 3, 4, 9) for line in page.splitlines())
    assert error_lines(outcome()) == [
        r"::error title=M|1%3A worse::a\x0a%25; moved most: a|b\x00`c"
    ]


EVIL = ("a\n::error::pwn", "b|c`d", "\x1b[31mred", "@octocat #12 $x$ ~~s~~", "<img src=x>")


def test_data_writes_no_line_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids, groups and texts that a terminal, GitHub's log or Markdown would act on."""
    texts, references = cohort(60)
    runs = [
        make_run(
            tmp_path / name,
            [f"{text} @octocat see #12 \x1b[31m {EVIL[0]}" for text in part],
            references,
            ids=lambda n: f"{EVIL[n % 5]} {n}",
            fields=lambda n: {"view": EVIL[n % 3]},
        )
        for name, part in (("before", texts), ("now", cut(texts, 1.0)))
    ]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    check = ("check", "--run", runs[1], "--baseline", runs[0], "--by", "view", *QUICK)
    answer = program(*check, "--junit", "j.xml", "--markdown", "m.md")
    assert answer.exit_code == 3
    lines = [line for line in answer.output.splitlines() if line.lstrip().startswith("::")]
    failing = json.loads(program(*check, "--json").stdout)
    assert len(lines) == sum(
        one["verdict"] == "worse" for one in failing["figures"] + failing["checks"]
    )
    assert all(line.startswith("::error title=") for line in lines)
    check_junit(Path("j.xml").read_text())
    page = Path("m.md").read_text()
    assert "\x1b" not in answer.output + page
    # In code nothing is a mention; elsewhere a comment stands between.
    assert "@<!-- -->octocat see #<!-- -->12" in page
    outside = re.sub(r"(?<!\\)`[^`]*`", "", page)
    assert not re.search(r"[@#]\w|(?<!\\)[$~]|<img", outside)


def test_a_page_fits_into_a_comment() -> None:
    study = [Moved(f"s{n}", -1.0, "word " * 200, "other " * 200) for n in range(1500)]
    figures = [
        Judgement(
            f"m{n}", f"M{n}", "same" if n < 50 else "worse", 2.0, 1.0, -1.0, reason="fell " * 20
        )
        for n in range(300)
    ]
    few = [replace(one, moved=tuple(study[5 * n : 5 * n + 5])) for n, one in enumerate(figures)]
    page = markdown(Outcome("base", "run", 0.05, False, few))
    assert len(page) < 65_536
    assert page.index("worse | M50") < page.index("same | M0")
    assert re.search(r"… \d+ failing figures are not described here", page)
    short = markdown(Outcome("base", "run", 0.05, False, few[50:52]))
    # A study that moved two figures is shown once.
    twice = markdown(
        Outcome(
            "base", "run", 0.05, False, [replace(one, moved=few[50].moved) for one in few[50:52]]
        )
    )
    assert short.count("| word") == 10 and twice.count("| word") == 5


def test_outputs_that_cannot_be_are_refused_first(runs: dict[str, Path], tmp_path: Path) -> None:
    program("baseline", "save", runs["before"], "--output", "b.json")
    kept = Path("b.json").read_bytes()
    check = ("check", "--run", runs["before"], "--baseline", "b.json", *QUICK)
    for arguments, message in (
        (("--junit", "b.json"), "an input of this command"),
        (("--markdown", tmp_path), "a file was expected"),
        (("--junit", "x", "--markdown", "x"), "are both to be x"),
    ):
        answer = program(*check, *arguments)
        assert answer.exit_code == 2 and message in " ".join(answer.output.split())
    assert Path("b.json").read_bytes() == kept


def test_a_summary_that_cannot_be_written_changes_no_answer(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "nowhere/summary.md")
    answer = program("check", "--run", runs["worse"], "--baseline", runs["before"], *QUICK)
    assert answer.exit_code == 3 and "summary of the job could not be written" in answer.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--margin", "bleu9=1"), "unknown metric of a margin 'bleu9'"),
        (("--margin", "bleu4"), "NAME=NUMBER"),
        (("--threshold", "empti=1"), "Did you mean 'empty'"),
        (("--by", "ward"), "no such column"),
        (("--alpha", "2"), "alpha 2: not in"),
        (("--metrics", "cider"), "unknown metric 'cider'"),
        (("--baseline", "none.json"), "baseline save"),
        (("--perf", "p.json"), "one --baseline each"),
    ],
)
def test_wrong_usage(runs: dict[str, Path], arguments: tuple[str, ...], message: str) -> None:
    program("baseline", "save", runs["before"], "--output", "b.json")
    answer = program("check", "--run", runs["before"], "--baseline", "b.json", *arguments)
    assert answer.exit_code == 2
    assert message in " ".join(answer.output.split())


def test_strict_fails_what_is_undecided(runs: dict[str, Path], tmp_path: Path) -> None:
    texts, references = cohort(60)
    near = make_run(tmp_path / "near", [*texts[:-1], "The lungs are clear."], references)
    check = ("check", "--run", near, "--baseline", runs["before"], *QUICK)
    assert program(*check).exit_code == 0
    strict = program(*check, "--strict", "--json")
    assert strict.exit_code == 3
    # What fails names its studies, also where it is only undecided.
    failing = [one for one in json.loads(strict.stdout)["figures"] if one["verdict"] != "same"]
    assert failing and all(one["moved"][0]["id"] == "study-59" for one in failing)
