"""Several processes, and a process that is killed, through the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from corpus import COMMON, checkpoint, run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


SETTINGS = ("--lora_r", "4", "--lora_dropout", "0", "--learning_rate", "1e-2")


def command(data: Path, model: Path, output: Path, *given: str) -> list[str]:
    return [
        *("-m", "libra_bench", "train", "--stage", "finetune", "--model", str(model)),
        *("--data", str(data), "--image-root", str(data.parent), "--output", str(output)),
        *COMMON,
        *SETTINGS,
        *given,
    ]


def losses(output: Path) -> list[float]:
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [one["loss"] for one in log if "loss" in one]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_equal_one_with_the_doubled_batch(data: Path, tmp_path: Path) -> None:
    """The loss is the mean over all tokens of both, however unevenly these are spread."""
    model, both, one = checkpoint(tmp_path / "model"), tmp_path / "both", tmp_path / "one"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    given = ("--per_device_train_batch_size", "2", "--max_steps", "4", "--ddp_backend", "gloo")
    subprocess.run(
        [sys.executable, *launch, *command(data, model, both, *given)],
        env=ENVIRONMENT,
        check=True,
        timeout=200,
    )
    alone = ("--per_device_train_batch_size", "4", "--max_steps", "4")
    run(data, one, *SETTINGS, *alone, stage="finetune", model=str(model))
    assert len(losses(one)) == 4
    assert losses(both) == pytest.approx(losses(one), abs=1e-5)


def test_a_killed_process_is_resumed(data: Path, tmp_path: Path) -> None:
    """SIGKILL, wherever it strikes: also while a checkpoint is being written."""
    model, whole, killed = checkpoint(tmp_path / "model"), tmp_path / "whole", tmp_path / "killed"
    given = ("--max_steps", "12", "--save_steps", "1", "--per_device_train_batch_size", "2")
    running = subprocess.Popen(
        [sys.executable, *command(data, model, killed, *given)], env=ENVIRONMENT
    )
    # However slow the machine is, the test's own timeout ends a wait that has no end.
    while not (killed / "checkpoint-3").exists():
        assert running.poll() is None, "ended before it could be killed"
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (killed / "adapter_model.safetensors").exists()
    both = [
        run(data, output, *SETTINGS, *given, stage="finetune", model=str(model), resume=resume)
        for output, resume in ((whole, False), (killed, True))
    ]
    assert both[0].losses == both[1].losses and len(both[0].losses) == 12
    name = "adapter_model.safetensors"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()
