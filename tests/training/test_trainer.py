"""Runs of the trainer: golden losses, resuming, layouts, and runs that break off."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from corpus import COMMON, TINY, checkpoint, row, run, write
from safetensors.torch import load_file

from libra_bench.core.errors import InputError, RunError
from libra_bench.model.loading import load_model
from libra_bench.training import trainer as trainer_module
from libra_bench.training.checkpoints import WHOLE, whole_checkpoints
from libra_bench.training.merging import merge
from libra_bench.training.module import TrainedLibra
from libra_bench.training.stages import STAGES, training_arguments
from libra_bench.training.throughput import Throughput
from libra_bench.training.trainer import LibraTrainer

LORA = ("--lora_r", "4", "--lora_alpha", "8")
GOLDEN = {
    "align": [5.780437, 5.786902, 5.777406, 5.776144, 5.781942],
    "finetune": [5.780437, 5.786902, 5.761518, 5.736591, 5.712136],
}


class Stopped(Exception):
    """Stands for a kill."""


def stop_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = LibraTrainer.training_step

    def step_or_stop(self: LibraTrainer, *args: object, **kwargs: object) -> torch.Tensor:
        if self.state.global_step + 1 == step:
            raise Stopped
        return original(self, *args, **kwargs)

    monkeypatch.setattr(LibraTrainer, "training_step", step_or_stop)


@pytest.mark.parametrize("stage", STAGES)
def test_golden_losses(data: Path, tmp_path: Path, stage: str) -> None:
    """Recorded in float32 on a CPU; a change of data, masks, batches, dropout or steps shows."""
    model = checkpoint(tmp_path / "model")
    given = LORA if stage == "finetune" else ()
    more = ("--max_steps", "5", "--learning_rate", "1e-2", *given)
    done = run(data, tmp_path / "out", *more, stage=stage, model=str(model))
    assert list(done.losses) == [1, 2, 3, 4, 5]
    assert list(done.losses.values()) == pytest.approx(GOLDEN[stage], abs=1e-5)


@pytest.mark.parametrize("stop", [3, 4])
@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_was_killed_goes_on_as_if_it_was_not(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, stop: int
) -> None:
    """Dropout, order of the data, optimizer and schedule all go on where they were."""
    given = ("--max_steps", "8", "--save_steps", "2", "--max_grad_norm", "0.5", *LORA)
    whole = run(data, tmp_path / "whole", *given, stage=stage)
    with monkeypatch.context() as patch:
        stop_before(stop, patch)
        with pytest.raises(Stopped):
            run(data, tmp_path / "broken", *given, stage=stage)
    resumed = run(data, tmp_path / "broken", *given, stage=stage, resume=True)
    assert resumed.losses == whole.losses
    for name in ("mm_projector.bin", "non_lora_trainables.bin", "adapter_model.safetensors"):
        first = tmp_path / "whole" / name
        assert first.exists() == (tmp_path / "broken" / name).exists()
        if first.exists():
            assert first.read_bytes() == (tmp_path / "broken" / name).read_bytes()


def test_a_checkpoint_that_was_cut_off_is_not_resumed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--max_steps", "6", "--save_steps", "2")
    whole = run(data, tmp_path / "whole", *given)
    output = tmp_path / "broken"

    def full(path: Path, *args: object) -> None:
        raise OSError(28, "No space left on device")

    stop = 4
    original = trainer_module.write_layout

    def write_until(module: object, folder: Path, *args: object) -> None:
        if folder.name == f"checkpoint-{stop}":
            (folder).mkdir()
            full(folder)
        original(module, folder, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "write_layout", write_until)
        with pytest.raises(RunError, match=r"No space left.*last whole checkpoint is .*point-2"):
            run(data, output, *given)
    assert (output / "checkpoint-4").is_dir()
    assert [path.name for path in whole_checkpoints(output)] == ["checkpoint-2"]
    with pytest.raises(InputError, match="--resume continues it"):
        run(data, output, *given)
    assert run(data, output, *given, resume=True).losses == whole.losses
    assert (output / "checkpoint-4" / WHOLE).is_file()


def test_a_loss_that_is_no_number_stops_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = LibraTrainer.compute_loss

    def explode(self: LibraTrainer, *args: object, **kwargs: object) -> torch.Tensor:
        loss = original(self, *args, **kwargs)  # type: ignore[arg-type]
        return loss * math.nan if self.state.global_step == 3 else loss

    monkeypatch.setattr(LibraTrainer, "compute_loss", explode)
    with pytest.raises(RunError, match=r"nan at step 4.*checkpoint-2; --resume"):
        run(data, tmp_path / "out", "--max_steps", "6", "--save_steps", "2")
    state = torch.load(tmp_path / "out/checkpoint-2/mm_projector.bin", weights_only=True)
    assert all(torch.isfinite(one).all() for one in state.values())


def test_images_that_are_missing_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "4.png").unlink()
    with pytest.warns(UserWarning, match="skipped"):
        done = run(path, tmp_path / "out", "--num_train_epochs", "1")
    # Studies 3 and 4 show it: study 3 passes over both, study 4 over itself.
    assert done.skipped == 3
    log = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert max(one.get("skipped_images", 0) for one in log) == 3


def test_both_stages_end_in_published_layouts(data: Path, tmp_path: Path) -> None:
    start = load_model("libra-tiny", device="cpu")
    before = {name: one.clone() for name, one in start.model.state_dict().items()}
    aligned = tmp_path / "aligned"
    run(data, aligned, "--max_steps", "2")
    saved = torch.load(aligned / "mm_projector.bin", weights_only=True)
    assert all(name.startswith("model.mm_projector.") for name in saved)
    first = load_model(aligned, model_base=TINY, device="cpu").model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], first[name])}
    assert changed and all(name.startswith("connector.") for name in changed)
    tuned = tmp_path / "tuned"
    run(
        data,
        tuned,
        *("--max_steps", "2", "--learning_rate", "1e-2", *LORA),
        stage="finetune",
        model=str(aligned),
        model_base=TINY,
    )
    adapter = load_file(tuned / "adapter_model.safetensors")
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in adapter
    assert len(adapter) == 2 * 7 * 3 and not any("lm_head" in name for name in adapter)
    extra = torch.load(tuned / "non_lora_trainables.bin", weights_only=True)
    assert all(name.startswith("base_model.model.model.mm_projector.") for name in extra)
    second = load_model(tuned, model_base=TINY, device="cpu")
    changed = {n for n, one in second.model.state_dict().items() if not torch.equal(first[n], one)}
    assert len(changed) == 7 * 3 and all(name.startswith("language_model.") for name in changed)
    merge(tuned, TINY, tmp_path / "merged")
    merged = load_model(tmp_path / "merged", device="cpu").model.state_dict()
    assert all(torch.equal(one, merged[n]) for n, one in second.model.state_dict().items())
    with pytest.raises(InputError, match="is not empty"):
        merge(tuned, TINY, tmp_path / "merged")
    with pytest.raises(InputError, match="makes a whole model of it first"):
        run(data, tmp_path / "o", stage="finetune", model=str(tuned), model_base=TINY)


def test_everything_may_learn_and_resumes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (
        *("--tune_language_model", "true", "--unfreeze_mm_vision_tower", "true"),
        *("--max_steps", "4", "--save_steps", "2"),
    )
    whole = run(data, tmp_path / "whole", *given)
    before = load_model("libra-tiny", device="cpu").model.state_dict()
    after = load_model(tmp_path / "whole", device="cpu").model.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    # What no loss reaches, and the embeddings of words that were not read, stay.
    assert all("mask_token" in name or "encoder.layernorm" in name for name in same)
    with monkeypatch.context() as patch:
        stop_before(4, patch)
        with pytest.raises(Stopped):
            run(data, tmp_path / "broken", *given)
    assert run(data, tmp_path / "broken", *given, resume=True).losses == whole.losses


def test_a_plain_language_model_gets_a_connector(data: Path, tmp_path: Path) -> None:
    """As the first stage of Libra begins: a language model and a tower, nothing between."""
    base = Path(shutil.copytree(TINY, tmp_path / "llm"))
    config = json.loads((base / "config.json").read_text())
    plain = {key: value for key, value in config.items() if not key.startswith(("mm_", "libra_"))}
    (base / "config.json").write_text(json.dumps({**plain, "model_type": "llama"}))
    state = load_file(base / "model.safetensors")
    language = {name: one for name, one in state.items() if "mm_proj" not in name}
    from safetensors.torch import save_file

    tower = tmp_path / "tower"
    shutil.move(base / "vision_tower", tower)
    prefix = "model.vision_tower.vision_tower."
    save_file(
        {n.removeprefix(prefix): one.clone() for n, one in language.items() if prefix in n},
        tower / "model.safetensors",
    )
    save_file(
        {n: one.clone() for n, one in language.items() if prefix not in n},
        base / "model.safetensors",
    )
    out = tmp_path / "out"
    run(data, out, "--max_steps", "1", model=str(base), vision_tower=tower)
    loaded = load_model(out, model_base=base, device="cpu")
    assert loaded.config.projector_type == "TAC" and loaded.config.select_layer == "all"
    run(
        data,
        tmp_path / "mlp",
        *("--max_steps", "1"),
        model=str(base),
        vision_tower=tower,
        connector="mlp2x_gelu",
    )
    second = load_model(tmp_path / "mlp", model_base=base, device="cpu")
    assert second.config.select_layer == -2


@pytest.mark.parametrize("figure", [None, "bleu1"])
def test_the_best_checkpoint_is_kept(data: Path, tmp_path: Path, figure: str | None) -> None:
    given = ["--max_steps", "6", "--save_steps", "2", "--save_total_limit", "1"]
    if figure:
        given += ["--generation_metric", figure, "--generation_samples", "2"]
    # Noise that grows: the first checkpoint is the best one.
    done = run(data, tmp_path / "out", *given, "--learning_rate", "0.5", validation_data=data)
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    wanted = f"eval_{figure or 'loss'}"
    values = {one["step"]: one[wanted] for one in state["log_history"] if wanted in one}
    assert len(values) == 3
    chosen = (max if figure else min)(values, key=lambda step: values[step])
    assert done.best and done.best.endswith(f"checkpoint-{chosen}")
    best = torch.load(Path(done.best) / "mm_projector.bin", weights_only=True)
    final = torch.load(tmp_path / "out" / "mm_projector.bin", weights_only=True)
    assert all(torch.equal(best[name], final[name]) for name in best)


def test_speed_is_logged_and_lengths_are_grouped(data: Path, tmp_path: Path) -> None:
    run(
        data,
        tmp_path / "out",
        *("--train_sampling_strategy", "group_by_length", "--max_steps", "2"),
        *("--mm_projector_lr", "1e-4"),
    )
    log = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert log[0]["tokens_per_second"] > 0


def test_a_frozen_language_model_costs_four_operations_a_weight_and_a_learning_one_six(
    tmp_path: Path,
) -> None:
    """Checkpoint of `corpus`: by hand from its shapes, weights of two dimensions alone."""
    # Two layers of attention 4·32² and MLP 3·32·48, and a head of 32·320.
    language = 2 * (4 * 32 * 32 + 3 * 32 * 48) + 32 * 320
    batch = {"lengths": torch.tensor([10, 14]), "pixels": torch.zeros(3, 3, 42, 42)}
    tokens = 10 + 14 + 2 * (9 - 1)  # 3×3 patches in the place of one token each.
    counted = []
    for whole in (False, True):
        loaded = load_model(checkpoint(tmp_path / f"model{whole}"), device="cpu")
        module = TrainedLibra(loaded.model, connector=False, language=whole, tower=False)
        speed = Throughput(module, peak=1e12)
        speed.add(batch)
        counted.append(speed._flops)
        assert speed.take(2)["mfu"] > 0
    # The rest, a frozen tower and connector, is the same in both.
    assert counted[1] - counted[0] == 2 * tokens * language
    rest = counted[0] - 4 * tokens * language
    assert 0 < rest < counted[0]


def test_stages_have_the_published_settings() -> None:
    for stage, epochs in (("align", 1), ("finetune", 3)):
        arguments = training_arguments(stage, "out", ["--use_cpu", "true"])
        assert arguments.num_train_epochs == epochs
        assert arguments.learning_rate == 2e-5 and arguments.per_device_train_batch_size == 16
        assert arguments.lr_scheduler_type == "cosine" and arguments.weight_decay == 0
        assert arguments.get_warmup_steps(1000) == 30
        assert arguments.tune_mm_mlp_adapter is (stage == "align")
    assert arguments.lora and (arguments.lora.r, arguments.lora.alpha) == (128, 256)
    assert arguments.lora.dropout == 0.05
    changed = training_arguments("align", "out", ["--learning-rate", "1e-4", "--use_cpu", "true"])
    assert changed.learning_rate == 1e-4
    validated = training_arguments("align", "out", [*COMMON, "--save_steps", "7"], validated=True)
    assert validated.eval_steps == 7 and validated.load_best_model_at_end


@pytest.mark.parametrize(
    ("stage", "given", "message"),
    [
        ("pretrain", (), "unknown stage 'pretrain'"),
        ("align", ("--learning_rat", "1"), "learning_rat"),
        ("align", ("--learning_rate", "fast"), "learning_rate"),
        ("align", ("--tune_mm_mlp_adapter", "false"), "nothing is left to learn"),
        ("finetune", ("--tune_language_model", "true"), "--lora_enable false"),
        ("align", ("--generation_metric", "bleu4"), "needs --validation-data"),
        ("align", ("--image_padding", "grey"), "black or mean"),
        ("finetune", ("--bits", "5"), "4, 8 or 16"),
        ("align", ("--bits", "8", "--tune_language_model", "true"), "cannot learn but by LoRA"),
        ("finetune", ("--bits", "4", "--quant_type", "int4"), "nf4 or fp4"),
    ],
)
def test_settings_that_cannot_be(stage: str, given: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        training_arguments(stage, "out", ["--use_cpu", "true", *given])


def test_nothing_to_train_on(tmp_path: Path, data: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        run(write(tmp_path, 1, [row(0)]), tmp_path / "o", image_root=tmp_path / "none")


def test_lora_on_llama_2_7b_has_320_million_parameters() -> None:
    """128 · (in + out): attention 4 · 8192, the MLP 3 · 15104, 32 layers."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    from libra_bench.training.module import lora_parameters

    with torch.device("meta"):
        llama = AutoModelForCausalLM.from_config(LlamaConfig())
    assert lora_parameters(llama, 128) == 128 * 32 * (4 * 8192 + 3 * 15104) == 319_815_680
