"""GREEN: the question, the reading of an analysis, and a judge that runs here."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from neural_models import write_tokenizer

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics.green import Green, Verdict, prompt, verdict
from libra_bench.metrics.judge import LocalJudge, closes_prompts

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


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # The count stands where the section begins, not where one of its lines does.
        ("[Matched Findings]:\nas follows\n4. a; b", Verdict(0, (0,) * 6)),
        ("[Matched Findings]:   \n 4. a; b", Verdict(4, (0,) * 6)),
        # A blank line ends a section, also one with blanks in it.
        ("[Matched Findings]: 2. a\n \n9. b", Verdict(2, (0,) * 6)),
        # Of two lines of a kind the last in alphabetical order counts.
        (
            "[Clinically Significant Errors]:\n(a) y: 1. b\n(a) x: 5. a\n(a) z: c\n\n"
            "[Matched Findings]: 1. d",
            Verdict(1, (1, 0, 0, 0, 0, 0)),
        ),
        # Numbers instead of letters count where there are no letters at all.
        (
            "[Clinically Significant Errors]:\n(b) x: 2. a\n(1) y: 3. b\n\n"
            "[Matched Findings]: 1. c",
            Verdict(1, (0, 2, 0, 0, 0, 0)),
        ),
        # Marks of the end are no text; only the last turn is the judge's answer.
        ("[Matched Findings]:</s><unk>7. a", Verdict(7, (0,) * 6)),
        ("[Matched Findings]: 7. a<|assistant|>[Matched Findings]: 2. b", Verdict(2, (0,) * 6)),
        # What stands before the last explanation is none of the analysis ...
        ("[Matched Findings]: 7. a\n\n[Explanation]: b", Verdict(0, (0,) * 6)),
        # ... but where the judge repeats the form, what follows the form's first is.
        (
            "[Explanation]:\n    <Explanation>\n[Matched Findings]: 7. a\n\n[Explanation]: b",
            Verdict(7, (0,) * 6),
        ),
        ("[Matched Findings]: No, 3. a", Verdict(0, (0,) * 6)),
        ("[Matched Findings]: " + "9" * 5000 + ". a", Verdict(0, (0,) * 6)),
    ],
)
def test_analyses_are_read_as_the_package_reads_them(answer: str, expected: Verdict) -> None:
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


def test_one_long_prompt_costs_its_own_answer(model: str) -> None:
    prompts = ["the heart is normal", "heart " * 60]
    both = LocalJudge("green.model", model, longest=40).answer(prompts)
    assert both[0] != "" and both[1] == ""


def test_the_end_token_closes_prompts_where_the_tokenizer_is_llamas(
    model: str, tmp_path: Path
) -> None:
    """GREEN's package loads its tokenizer with `add_eos_token`, which Llama's class heeds."""
    import json
    import shutil

    shutil.copytree(model, tmp_path / "judge")
    settings = tmp_path / "judge" / "tokenizer_config.json"
    plain = json.loads(settings.read_text())
    ids = {}
    for name in ("LlamaTokenizer", "CodeGenTokenizer", None):
        chosen = {key: value for key, value in plain.items() if key != "tokenizer_class"}
        settings.write_text(json.dumps({**chosen, **({"tokenizer_class": name} if name else {})}))
        assert closes_prompts(tmp_path / "judge") == (name != "CodeGenTokenizer")
    settings.write_text(json.dumps({**plain, "eos_token": "[SEP]"}))
    judge = LocalJudge("green.model", str(tmp_path / "judge"), 40, closes=True)
    ids = judge._ids(["heart"])[0]
    judge._closing = True
    assert judge._ids(["heart"])[0] == [*ids, judge._tokenizer.eos_token_id]
    assert judge.end == "[SEP]"
    assert prompt("a", "b", judge.end).count("[SEP]") == 2
