"""Options that a system does not take: refused, or harmless on purpose and said."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from libra_bench.core.errors import InputError, Notice
from libra_bench.generation.factory import SystemSettings

PARTS: dict[str, Any] = {
    "model_base": Path("x"),
    "vision_tower": Path("x"),
    "conv_mode": "v1",
    "random_weights": True,
}


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_model_are_no_part_of_what_has_none(name: str) -> None:
    for system in (
        SystemSettings("normal-template"),
        SystemSettings("indication-retrieval", corpus="openi:x.tgz"),
        SystemSettings(predictions=Path("theirs.csv")),
    ):
        system.check()
        with pytest.raises(InputError, match=rf"^{option(name)}: .* takes no such option"):
            replace(system, **{name: PARTS[name]}).check()


def test_only_retrieval_takes_a_corpus() -> None:
    for system in (
        SystemSettings("normal-template"),
        SystemSettings("libra-tiny"),
        SystemSettings(predictions=Path("theirs.csv")),
    ):
        with pytest.raises(InputError, match=r"^--corpus: "):
            replace(system, corpus="openi:x.tgz").check()
    with pytest.raises(InputError, match=r"^--conv-mode and --corpus: normal-template is"):
        SystemSettings("normal-template", conv_mode="v1", corpus="openi:x.tgz").check()


def test_one_command_line_serves_a_whole_table() -> None:
    """Where images lie and how fast it goes changes no answer; how to decode is said to be idle."""
    for system in (SystemSettings("normal-template"), SystemSettings(predictions=Path("t.csv"))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            replace(system, image_root=Path("x"), device="cpu", batch_size="2").check()
            replace(system, overrides={"num_beams": None}).tell_what_changes_nothing()
            # Told once for a run, and not by each look at its settings.
            replace(system, protocol="greedy", overrides={"num_beams": 5}).check()
        with pytest.warns(Notice, match="decodes nothing: protocol, num_beams change nothing"):
            replace(
                system, protocol="greedy", overrides={"num_beams": 5}
            ).tell_what_changes_nothing()
    model = SystemSettings("libra-tiny", protocol="greedy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.tell_what_changes_nothing()


def test_idle_decoding_is_told_once_for_a_run(tmp_path: Path) -> None:
    from libra_bench.data.corpora import load
    from libra_bench.generation.factory import create_system

    (tmp_path / "e.jsonl").write_text('{"question_id": 1, "text": "q", "reference": "x"}\n')
    cohort = load(f"jsonl:{tmp_path / 'e.jsonl'}")
    with pytest.warns(Notice) as told:
        create_system(SystemSettings("normal-template", overrides={"num_beams": 5}), cohort)
    assert [str(one.message) for one in told] == [
        "normal-template decodes nothing: num_beams changes nothing"
    ]


def test_baselines_of_an_ablation_are_without_the_models_parts() -> None:
    model = SystemSettings("libra-7b", protocol="greedy", batch_size="2", **PARTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.for_baseline("normal-template").check()
    assert model.for_baseline("normal-template").batch_size == "2"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split": "train"}, "--split train"),
        ({"prior_policy": "none"}, "--prior-policy none"),
        ({"split": "train", "prior_policy": "none"}, "--split train and --prior-policy none"),
    ],
)
def test_texts_alone_choose_neither_split_nor_prior(
    tmp_path: Path, options: dict[str, str], told: str
) -> None:
    from libra_bench.pipeline import Settings, evaluate
    from libra_bench.runs.scoring import ScoringSettings

    file = tmp_path / "p.csv"
    file.write_text("id,prediction,reference,split\n1,a,a,test\n2,b,b,train\n")
    settings = Settings(
        system=SystemSettings(predictions=file),
        scoring=ScoringSettings(metrics=["bleu"], trials=2),
        data="",
        **options,
    )
    with pytest.raises(InputError, match=f"^{told}: only beside --data"):
        evaluate(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
