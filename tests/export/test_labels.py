"""The leaderboard's labels: exactly ReXrank's own steps, and nowhere else."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example, Prediction
from libra_bench.data.corpora import load
from libra_bench.data.texts import read_pairs
from libra_bench.runs.forms import labelled, pair
from libra_bench.runs.scoring import ScoringSettings, evaluate

FINDINGS, PREDICTED = "The lungs are clear.  No effusion.", "Lungs are clear."
REPORT = f"Findings: {FINDINGS} Impression: Normal."
ROW = {"section_findings": FINDINGS, "section_impression": "Normal.", "report": REPORT}


def official_bleu2(submission: dict[str, dict[str, Any]], track: str) -> float:
    """ReXrank's steps 0 and 1 for BLEU-2, written down from its description.

    Step 0 makes two tables of the submission; step 1 reads them, lowers case, sets full stops
    apart, splits at blanks, and takes the mean of sentence BLEU-2 smoothed by a tenth.
    """
    tables = {"gt": io.StringIO(), "predicted": io.StringIO()}
    writers = {name: csv.writer(stream) for name, stream in tables.items()}
    for number, (key, entry) in enumerate(submission.items()):
        if track == "findings":
            findings = entry.get("section_findings") or ""
            truth = f"Findings: {findings}" if findings else ""
        else:
            truth = entry.get("report") or ""
        writers["gt"].writerow([number, key, truth])
        writers["predicted"].writerow([number, key, entry["model_prediction"]])
    rows = {
        name: list(csv.reader(io.StringIO(stream.getvalue()))) for name, stream in tables.items()
    }

    def words(text: str) -> list[str]:
        return [word for word in text.lower().replace(".", " .").split(" ") if word != ""]

    scores = [
        sentence_bleu(
            [words(truth[2])],
            words(predicted[2]),
            weights=(0.5, 0.5),
            smoothing_function=SmoothingFunction(epsilon=0.1).method1,
        )
        for truth, predicted in zip(rows["gt"], rows["predicted"], strict=True)
    ]
    return 100 * sum(scores) / len(scores)


def study(reference: str, **more: Any) -> Example:
    return Example(question_id="s", text="q", reference=reference, rexrank=ROW, **more)


def answer(text: str, **more: Any) -> Prediction:
    return Prediction.model_validate({"question_id": "s", "text": text, **more})


def test_labels_are_put_on_for_the_leaderboard_alone() -> None:
    plain = (PREDICTED, FINDINGS)
    assert pair(study(FINDINGS), answer(PREDICTED), "libra") == plain
    assert pair(study(FINDINGS), answer(PREDICTED), "rexrank") == tuple(
        f"Findings: {text}" for text in plain
    )
    other = Example(question_id="s", text="q", reference=FINDINGS)
    assert pair(other, answer(PREDICTED), "rexrank") == plain


def test_a_whole_report_is_taken_as_it_stands() -> None:
    assert pair(study(REPORT), answer(REPORT), "rexrank") == (REPORT, REPORT)
    assert pair(study(REPORT), answer(PREDICTED), "rexrank")[0] == f"Findings: {PREDICTED}"
    assert pair(study(REPORT), answer(REPORT), "libra") == (REPORT, REPORT)


def test_a_submission_is_compared_as_it_was_submitted() -> None:
    bare = answer(PREDICTED, form="rexrank")
    assert pair(study(FINDINGS), bare, "rexrank") == (PREDICTED, f"Findings: {FINDINGS}")
    named = answer(f"Findings:{PREDICTED}", form="rexrank")
    assert pair(study(FINDINGS), named, "rexrank")[0] == f"Findings:{PREDICTED}"
    # Libra's own evaluation knows no labels, on neither side.
    assert pair(study(FINDINGS), named, "libra") == (PREDICTED, FINDINGS)


def test_what_is_missing_stays_missing() -> None:
    failed = answer("", status="failed")
    assert pair(study(FINDINGS), failed, "rexrank") == (None, f"Findings: {FINDINGS}")
    assert pair(study(""), answer(""), "rexrank") == ("", None)
    assert labelled(" \n") == " \n"
    assert labelled("findings: x") == "Findings: findings: x"


@pytest.mark.parametrize("track", ["findings", "report"])
def test_scores_are_the_leaderboards(tmp_path: Path, public_data: Path, track: str) -> None:
    """A run, its export under the official steps, and the submission scored from its file."""
    source = public_data / "rexrank" / "ReXRank_IUXray_test.json"
    cohort = load(f"rexrank:{source}", section=track, limit=120)
    # Made up: half of the words of another study's text, so that figures are neither 0 nor 100.
    words = [one.reference.removeprefix("Findings: ").split() for one in cohort.examples]
    texts = [
        " ".join([*own[: len(own) // 2], *other[len(other) // 2 :]])
        for own, other in zip(words, [*words[1:], words[0]], strict=True)
    ]
    answers = [
        Prediction(question_id=example.question_id, text=text)
        for example, text in zip(cohort.examples, texts, strict=True)
    ]
    settings = ScoringSettings(["bleu"], profile="rexrank", trials=2)
    result = evaluate(cohort.examples, answers, settings)
    ours = result.summary()["metrics"]["bleu2"]
    submission = {
        example.question_id: {
            **(example.model_extra or {})["rexrank"],
            "model_prediction": labelled(text),
        }
        for example, text in zip(cohort.examples, texts, strict=True)
    }
    official = official_bleu2(submission, "findings" if track == "findings" else "reports")
    assert ours["value"] == pytest.approx(official, abs=1e-9)
    assert "|labels:all|" in ours["signature"]
    if track == "findings":
        path = tmp_path / "submission.json"
        path.write_text(json.dumps(submission))
        again = evaluate(*read_pairs(path), settings).summary()["metrics"]["bleu2"]
        assert again["value"] == pytest.approx(official, abs=1e-9)
        bare = {key: {**one, "model_prediction": "x y"} for key, one in submission.items()}
        path.write_text(json.dumps(bare))
        unlike = evaluate(*read_pairs(path), settings).summary()["metrics"]["bleu2"]
        assert unlike["value"] == pytest.approx(official_bleu2(bare, "findings"), abs=1e-9)


def test_compare_sees_the_labels() -> None:
    settings = ScoringSettings(["bleu"], profile="rexrank", trials=2)
    frame = evaluate([study(FINDINGS)], [answer(PREDICTED)], settings).frame
    assert frame["bleu::signature"].iloc[0].endswith("|labels:all")
    other = Example(question_id="s", text="q", reference=FINDINGS)
    plain = evaluate([other], [answer(PREDICTED)], settings).frame
    assert "labels" not in plain["bleu::signature"].iloc[0]


def test_nothing_to_score_is_said_before_any_metric() -> None:
    with pytest.raises(InputError, match="of 1 reports 0 have a prediction and 1 a reference"):
        evaluate([study(FINDINGS)], [answer("", status="failed")], ScoringSettings(["bleu"]))
    with pytest.raises(InputError, match="1 have a prediction and 0 a reference"):
        evaluate([study("  ")], [answer("x")], ScoringSettings(["bleu"]))
