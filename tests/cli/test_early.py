"""What cannot be used is refused before any weights are loaded and any file is written."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.data.corpora import load
from libra_bench.model.zoo import find, is_present

TINY = is_present(find("libra-tiny"))


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Loading weights fails the test; the working folder is empty."""

    def refuse(*arguments: object, **options: object) -> None:
        pytest.fail("weights were loaded")

    monkeypatch.setattr("libra_bench.generation.libra.load_model", refuse)
    monkeypatch.setattr("libra_bench.training.run.start", refuse)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def refused(*arguments: str) -> str:
    """What a command that ends with 2 said on stderr, in one line."""
    answer = CliRunner().invoke(app, list(arguments))
    assert answer.exit_code == 2, answer.output
    assert "Traceback" not in answer.output
    return " ".join(answer.output.replace("│", " ").split())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A picture that is one."""
    from PIL import Image

    path = tmp_path_factory.mktemp("images") / "current.png"
    Image.new("L", (32, 32), 90).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--device gpu", "unknown device 'gpu'. Did you mean 'cuda'?"),
        ("--dtype half", "unknown dtype 'half'"),
        ("--batch-size 0", "--batch-size 0: a positive number or `auto`"),
        ("--batch-size ٣", "a positive number or `auto`"),
        ("--engine quick", "unknown engine 'quick'"),
        ("--seed -1", "'--seed'"),
        ("--limit 0", "'--limit'"),
        ("--trials 0", "'--trials'"),
        ("--temperature nan", "'--temperature'"),
        ("--temperature -1", "'--temperature'"),
        ("--temperature inf", "temperature must be a number above 0"),
        ("--num-beams 2 --length-penalty=-inf", "length_penalty must be a number"),
        ("--num-beams 0", "num_beams must be at least 1"),
        ("--top-p nan --temperature 1", "top_p must lie in (0, 1]"),
        ("--min-new-tokens 9 --max-new-tokens 3", "min_new_tokens must lie between"),
        ("--metrics ,", "--metrics: no name"),
        ("--metrics rouge", "unknown metric"),
        ("--profile paper", "unknown profile"),
        ("--metric-option bleu", "NAME.KEY=VALUE was expected"),
        ("--subgroups color", "no example has a field color; there are abnormal"),
        ("--split nowhere", "split 'nowhere'"),
        ("--section lungs", "unknown section 'lungs'"),
        ("--vision-tower ./absent", "absent"),
        ("--resume", "--resume needs the --output"),
    ],
)
def test_run(options: str, message: str) -> None:
    assert message in refused("run", *options.split(" "))
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("option", "message"),
    [("--device gpu", "'gpu'"), ("--batch-size 0", "--batch-size 0"), ("--dtype int8", "'int8'")],
)
def test_a_baseline_takes_no_wrong_word_either(option: str, message: str) -> None:
    said = refused("run", "--model", "normal-template", *option.split(" "))
    assert message in said
    assert list(Path().iterdir()) == []


def test_an_output_that_is_there(tmp_path: Path) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep")
    assert "mine is not empty: another --output keeps it" in refused("run", "--output", "mine")
    assert "another --output keeps it" in refused("run", "--output", "mine/notes.txt")
    assert "mine is not empty" in refused("run", "--output", "mine", "--resume")
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]


def test_predict(image: str) -> None:
    assert "--image current.jpg: no such file" in refused("predict", "--image", "current.jpg")
    assert "--prior p.jpg: no such file" in refused("predict", "--image", image, "--prior", "p.jpg")
    told = refused("predict", "--image", image, "--model", "indication-retrieval")
    assert "a text-only baseline, which reads no image" in told


def test_ablate() -> None:
    assert "unknown model" in refused("ablate", "--output", "a", "--baselines", "nope")
    told = refused("ablate", "--output", "a", "--baselines", "libra-7b")
    assert "--baselines libra-7b: a model, not a text-only baseline" in told
    told = refused("ablate", "--output", "a", "--limit", "2")
    assert "of these 2 studies have a prior image" in told and "--limit" in told
    assert "'--limit'" in refused("ablate", "--output", "a", "--limit", "-1")
    assert not Path("a").exists()


def test_train_names_the_nearest_argument() -> None:
    Path("d.json").write_text("[]")
    told = refused(
        *("train", "--stage", "align", "--model", "libra-tiny", "--data", "d.json"),
        *("--image-root", ".", "--output", "t", "--max_stepz", "3"),
    )
    assert "unknown training argument '--max_stepz'. Did you mean '--max_steps'?" in told
    assert len(told) < 120


def test_a_home_folder_behind_a_colon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "e.jsonl").write_text('{"question_id": "1", "text": "q"}\n')
    assert load("jsonl:~/e.jsonl").examples[0].question_id == "1"


def test_a_limit_must_be_positive() -> None:
    from libra_bench.core.errors import InputError

    with pytest.raises(InputError, match="limit -1: at least 1"):
        load("synthetic", limit=-1)


def test_the_evaluated_file_is_no_training_corpus() -> None:
    rows = [
        f'{{"question_id": "{n}", "text": "q", "reference": "Clear.", "indication": "cough"}}\n'
        for n in range(4)
    ]
    Path("e.jsonl").write_text("".join(rows))
    told = refused(
        *("run", "--model", "indication-retrieval", "--data", "jsonl:e.jsonl"),
        *("--limit", "2", "--output", "r"),
    )
    assert "'jsonl:e.jsonl' has no split `train`" in told and "--corpus" in told
    assert not Path("r").exists()


def test_a_model_names_all_that_it_lacks_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from libra_bench.model import places, zoo

    monkeypatch.setenv("LIBRA_BENCH_MODELS", str(tmp_path))
    told = refused("run", "--model", "libra-7b", "--output", "r")
    assert "X-iZhang/libra-v1.0-7b" in told and "microsoft/rad-dino" in told
    # The checkpoint without its tower is not there yet.
    folder = tmp_path / "X-iZhang" / "libra-v1.0-7b"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("vision_tower"))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(settings | {"mm_vision_tower": "microsoft/rad-dino"})
    )
    (gap,) = places.lacking(zoo.find("libra-7b"))
    assert "the vision tower microsoft/rad-dino is not on this machine" in gap.what
    assert "vision tower" in refused("run", "--model", "libra-7b", "--output", "r")
    assert "no tower" in CliRunner().invoke(app, ["models"]).output
    shutil.copytree(TINY / "vision_tower", tmp_path / "microsoft" / "rad-dino")
    assert places.lacking(zoo.find("libra-7b")) == []


def test_training_looks_at_its_files_first() -> None:
    turns = [{"from": "human", "value": "<image>\nq"}, {"from": "gpt", "value": "Clear."}]
    rows = [{"id": str(n), "image": f"{n}.png", "conversations": turns} for n in range(900)]
    Path("d.json").write_text(json.dumps(rows))
    options = ("train", "--stage", "align", "--model", "libra-tiny", "--data", "d.json")
    told = refused(*options, "--image-root", "wrong", "--output", "t")
    assert told == "error: image root wrong: no such folder"
    told = refused(*options, "--image-root", ".", "--output", "t")
    assert "none of the 900 conversations has its images there" in told
    assert len(told) < 200 and not Path("t").exists()


def test_a_metric_whose_files_are_named_and_not_there() -> None:
    option = ("--metric-option", "radgraph.archive=nowhere", "--metrics", "radgraph")
    told = refused("run", *option, "--output", "r")
    assert "radgraph, for which --metric-option names files" in told and "nowhere" in told
    Path("p.jsonl").write_text('{"question_id": 1, "prediction": "a", "reference": "b"}\n')
    assert "nowhere" in refused("score", "--predictions", "p.jsonl", *option)
