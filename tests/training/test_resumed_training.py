"""`train --resume` goes on with the same run, and not beyond its end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from corpus import TINY, row, run, write

from libra_bench.core.errors import InputError
from libra_bench.training import trainer
from libra_bench.training.checkpoints import WHOLE, cut_off_checkpoints, whole_checkpoints
from libra_bench.training.stages import training_arguments

GIVEN = ("--max_steps", "4", "--save_steps", "2", "--seed", "5")


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "out"
    run(data, output, *GIVEN)
    return output


def copied(finished: Path, folder: Path) -> Path:
    return Path(shutil.copytree(finished, folder / "out"))


def test_a_finished_run_trains_no_further(data: Path, finished: Path, tmp_path: Path) -> None:
    output = copied(finished, tmp_path)
    before = (output / "mm_projector.bin").read_bytes()
    # As if it had been killed behind the last checkpoint, before the model was saved.
    (output / "mm_projector.bin").unlink()
    (output / "trainer_state.json").unlink()
    for _ in range(2):
        done = run(data, output, *GIVEN, resume=True)
        assert done.steps == 4 and list(done.losses) == [1, 2, 3, 4]
        assert (output / "mm_projector.bin").read_bytes() == before
        assert json.loads((output / "trainer_state.json").read_text())["global_step"] == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--seed", "6"), "seed: 5 there, 6 now"),
        (("--per_device_train_batch_size", "1"), "per_device_train_batch_size: 2 there, 1 now"),
        (("--learning_rate", "0.5"), "learning_rate: 0.001 there, 0.5 now"),
        (("--max_steps", "8"), "max_steps: 4 there, 8 now"),
    ],
)
def test_other_arguments_are_named(
    data: Path, finished: Path, tmp_path: Path, change: tuple[str, ...], named: str
) -> None:
    output = copied(finished, tmp_path)
    before = {one: one.read_bytes() for one in output.rglob("*") if one.is_file()}
    with pytest.raises(InputError, match=named):
        run(data, output, *GIVEN, *change, resume=True)
    assert before == {one: one.read_bytes() for one in output.rglob("*") if one.is_file()}


def test_other_data_and_another_base_are_named(data: Path, finished: Path, tmp_path: Path) -> None:
    output = copied(finished, tmp_path)
    other = write(tmp_path, rows=[row(number) for number in range(11)])
    with pytest.raises(InputError, match="data_sha256"):
        run(other, output, *GIVEN, resume=True)
    base = Path(shutil.copytree(TINY, tmp_path / "base"))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    with pytest.raises(InputError, match="start_parts"):
        run(data, output, *GIVEN, resume=True, model=str(base))


def test_what_changes_nothing_may_change(data: Path, finished: Path, tmp_path: Path) -> None:
    output = copied(finished, tmp_path)
    run(data, output, *GIVEN, "--logging_steps", "2", "--save_total_limit", "1", resume=True)


def test_an_output_that_is_an_input_or_somebody_s(data: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(TINY, tmp_path / "base"))
    before = {one: one.read_bytes() for one in base.rglob("*") if one.is_file()}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("keep")
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (base, {}, "an input of this command"),
        (base, {"resume": True}, "an input of this command"),
        (tmp_path / "mine", {}, "holds no training run"),
        (tmp_path / "mine", {"resume": True}, "holds no training run"),
    ]
    for output, settings, message in cases:
        with pytest.raises(InputError, match=message):
            run(data, output, *GIVEN, model=str(base), **settings)
    assert before == {one: one.read_bytes() for one in base.rglob("*") if one.is_file()}
    assert (tmp_path / "mine" / "config.json").read_text() == "keep"


def test_one_option_names_the_folder() -> None:
    for given in (("--output_dir", "b"), ("--output_dir=b",)):
        with pytest.raises(InputError, match="--output names the folder"):
            training_arguments("align", "a", given)


def test_a_checkpoint_that_was_deleted_in_part_is_not_whole(finished: Path, tmp_path: Path) -> None:
    output = copied(finished, tmp_path)
    first, last = whole_checkpoints(output)
    assert (last / WHOLE).read_text()
    (last / "optimizer.pt").unlink()
    assert whole_checkpoints(output) == [first] and cut_off_checkpoints(output) == [last]


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def test_a_kill_while_old_checkpoints_are_deleted_loses_no_step(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one is whole before the old one loses a file: there is one to go on from."""
    given = (*GIVEN, "--save_total_limit", "1")
    output = tmp_path / "out"

    def half(**asked: Any) -> None:
        old = output / "checkpoint-2"
        if asked["save_total_limit"] == 1 and (output / "checkpoint-4").exists():
            (old / "optimizer.pt").unlink()
            raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(trainer, "rotate_checkpoints", half)
        with pytest.raises(Killed):
            run(data, output, *given)
    assert [one.name for one in whole_checkpoints(output)] == ["checkpoint-4"]
    done = run(data, output, *given, resume=True)
    whole = run(data, copied(finished, tmp_path / "copy"), *GIVEN, resume=True)
    assert done.steps == 4 and done.losses == whole.losses
    assert [one.name for one in output.glob("checkpoint-*")] == ["checkpoint-4"]
    assert (output / "mm_projector.bin").read_bytes() == (
        finished / "mm_projector.bin"
    ).read_bytes()


def test_a_finished_run_whose_best_checkpoint_is_an_early_one_is_finished(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last checkpoint stays beside the best one; without it the run would train again."""

    def worse(self: trainer.LibraTrainer, *given: Any, **named: Any) -> dict[str, float]:
        return {"eval_loss": float(self.state.global_step)}

    monkeypatch.setattr(trainer.LibraTrainer, "evaluate", worse)
    given = (*GIVEN, "--save_total_limit", "1")
    first = run(data, tmp_path / "first", *given, validation_data=data)
    assert first.best and first.best.endswith("checkpoint-2")
    best = (tmp_path / "first" / "mm_projector.bin").read_bytes()
    moved = (tmp_path / "first").rename(tmp_path / "moved")
    assert [one.name for one in whole_checkpoints(moved)] == ["checkpoint-2", "checkpoint-4"]
    (moved / "mm_projector.bin").unlink()
    again = run(data, moved, *given, validation_data=data, resume=True)
    assert again.steps == 4 and again.losses == first.losses
    assert (moved / "mm_projector.bin").read_bytes() == best
