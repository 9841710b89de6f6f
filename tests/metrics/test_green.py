"""GREEN: the question, the reading of an analysis, and a judge that runs here."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from neural_models import write_tokenizer

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics.green import Green, Verdict, prompt, verdict
from libra_bench.metrics.judge import LocalJudge

ANALYSIS = """[Explanation]:
The candidate misses the effusion and sees an edema that is not there.

[Clinically Significant Errors]:
(a) False report of a finding in the candidate: 1. edema
(b) Missing a finding present in the reference: 2. small effusion; device
(c) Misidentification of a finding's anatomic location/position: 0.

[Clinically Insignificant Errors]:
(d) Misassessment of the severity of a finding: 3. a; b; c

[Matched Findings]:
3. normal heart; clear lungs; no pneumothorax
"""


class Parrot:
    """A judge that always says the same."""

    fingerprint = "parrot"

    def __init__(self, answers: Sequence[str]) -> None:
        self.answers, self.prompts = list(answers), []

    def check(self) -> None:
        pass

    def answer(self, prompts: Sequence[str]) -> list[str]:
        self.prompts += prompts
        return self.answers[: len(prompts)]


def test_an_analysis_is_read() -> None:
    found = verdict(ANALYSIS)
    assert found == Verdict(3, (1, 2, 0, 0, 0, 0))
    assert found.score == pytest.approx(3 / 6)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", Verdict(0, (0,) * 6)),
        ("nothing of the kind", Verdict(0, (0,) * 6)),
        ("[Matched Findings]:\nNo matched findings.", Verdict(0, (0,) * 6)),
        (
            "[Clinically Significant Errors]:\nNo errors.\n\n[Matched Findings]:\n2. a; b",
            Verdict(2, (0,) * 6),
        ),
        (
            "[Clinically Significant Errors]:\n(1) False: 4. a\n\n[Matched Findings]:\n1. b",
            Verdict(1, (4, 0, 0, 0, 0, 0)),
        ),
    ],
)
def test_other_analyses(answer: str, expected: Verdict) -> None:
    assert verdict(answer) == expected


def test_the_question_holds_both_reports_up_to_300_words() -> None:
    text = prompt("{candidate} reference", "word " * 400)
    assert text.startswith("<|user|>\nObjective") and text.endswith("<|assistant|>\n")
    assert "{candidate} reference" in text
    assert text.count("word ") == 299 + text.count("keyword ")


def test_the_mean_of_the_verdicts() -> None:
    judge = Parrot([ANALYSIS, ""])
    metric = Green(judge=judge)
    report = metric.score(["a", "b", None], ["x", "y", "z"])
    assert report.values["green"][:2].tolist() == pytest.approx([50.0, 0.0])
    assert report.unscored == 1
    assert float(metric.aggregate(report)["green"]) == pytest.approx(25.0)
    assert "judge:parrot" in metric.signature(2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("judge")
    write_tokenizer(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
        config = LlamaConfig(
            vocab_size=150, num_attention_heads=2, initializer_range=0.5, **sizes, eos_token_id=3
        )
        LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def test_a_local_judge_answers_alike_alone_and_in_company(model: str) -> None:
    judge = LocalJudge("green.model", model, longest=40)
    judge.check()
    prompts = ["the heart is normal", "no effusion", "small left pleural effusion is seen"]
    together = judge._answer(prompts)
    assert len(set(together)) > 1
    assert together == [judge._answer([text])[0] for text in prompts]


def test_a_prompt_without_room_and_a_model_that_is_not_there(model: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no room"):
        LocalJudge("green.model", model, longest=8).answer(["heart " * 20])
    with pytest.raises(MissingResourceError, match=r"green\.model"):
        Green(model=str(tmp_path / "absent")).check()
