"""Hugging Face's trainer with Libra's layouts, and with nothing lost where a run breaks off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import Trainer, TrainerState
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import rotate_checkpoints

from libra_bench.core.errors import InputError, RunError
from libra_bench.training.checkpoints import (
    WHOLE,
    Origin,
    mark_whole,
    read_layout,
    whole_checkpoints,
    write_layout,
)
from libra_bench.training.dataset import ConversationDataset, collate
from libra_bench.training.module import TrainedLibra
from libra_bench.training.stages import LibraTrainingArguments
from libra_bench.training.throughput import Throughput

Validate = Callable[[TrainedLibra], dict[str, float]]
"""Figures of reports that the model writes now, by name."""


class LibraTrainer(Trainer):
    """Trains the parts that learn, and writes checkpoints that `generate` can load.

    Args:
        module: the model with the parts that learn.
        arguments: the stage's settings.
        train, validation: conversations.
        origin: where the model came from.
        validate: writes and scores validation reports, where that is asked for.
    """

    def __init__(
        self,
        module: TrainedLibra,
        arguments: LibraTrainingArguments,
        train: ConversationDataset,
        validation: ConversationDataset | None,
        origin: Origin,
        validate: Validate | None = None,
    ) -> None:
        # Batches hold places of images, and counts, which no column filter should take out.
        arguments.remove_unused_columns = False
        arguments.label_names = ["labels"]
        # A loss that is not a number stops the run; hiding it from the log would not help.
        arguments.logging_nan_inf_filter = False
        arguments.ddp_find_unused_parameters = False
        super().__init__(
            model=module,
            args=arguments,
            train_dataset=train,
            eval_dataset=validation,
            data_collator=collate,
        )
        if arguments.as_published:
            # Each batch of an accumulated step counts the same, however many tokens it learns.
            self.model_accepts_loss_kwargs = False
        # Hugging Face's trainer would delete the old checkpoints before the new one is marked
        # whole, and the last one behind the end of the run, where another is the best.
        self._kept, arguments.save_total_limit = arguments.save_total_limit, None
        self._module, self._origin, self._validate = module, origin, validate
        self._output = Path(str(arguments.output_dir))
        self._throughput = Throughput(module)
        self.skipped = 0
        """Conversations passed over in this process because an image could not be read."""

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """The loss, and the bookkeeping of what went in."""
        inputs = dict(inputs)
        skipped = int(inputs.pop("skipped"))
        if model.training:
            self.skipped += skipped
            self._throughput.add(inputs)
        return super().compute_loss(model, inputs, *args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """One step.

        Raises:
            RunError: the loss is not a number.
        """
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss).all():
            raise RunError(
                f"the loss is {float(loss)} at step {self.state.global_step + 1}: a lower "
                f"--learning_rate or --max_grad_norm may help. {self._last_whole()}"
            )
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log what Hugging Face logs, the speed, and what was skipped."""
        if "loss" in logs:
            logs |= self._throughput.take(self.accelerator.num_processes)
            if self.skipped:
                logs["skipped_images"] = self.skipped
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validation loss, and figures of generated reports where they are asked for."""
        figures = super().evaluate(*args, **kwargs)
        if self._validate is not None:
            self._module.eval()
            with self.autocast_smart_context_manager():
                found = self._validate(self._module)
            extra = {f"eval_{name}": value for name, value in found.items()}
            self.log(extra)
            figures |= extra
        self._throughput.reset()
        return figures

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """AdamW, or what is asked for; the connector may have a learning rate of its own."""
        own = self.args.mm_projector_lr  # type: ignore[attr-defined]
        if self.optimizer is not None or own is None:
            return super().create_optimizer(*args, **kwargs)
        kind, settings = self.get_optimizer_cls_and_kwargs(self.args, None)
        decayed = set(self.get_decay_parameter_names(self._module))  # type: ignore[arg-type]
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        target = self.model_wrapped if self.is_deepspeed_enabled else self._module
        for name, parameter in target.named_parameters():
            if parameter.requires_grad:
                key = ("connector." in name, name in decayed)
                groups.setdefault(key, []).append(parameter)
        self.optimizer = kind(
            [
                {
                    "params": parameters,
                    "lr": own if connector else self.args.learning_rate,
                    "weight_decay": self.args.weight_decay if decays else 0.0,
                }
                for (connector, decays), parameters in groups.items()
            ],
            **settings,
        )
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        """Length groups from lengths that are known, without reading an image."""
        data: Any = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        draw = torch.Generator().manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
        return LengthGroupedSampler(
            self.args.train_batch_size * self.args.gradient_accumulation_steps,
            lengths=data.lengths,
            generator=draw,
        )

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            write_layout(self._module, folder, self._origin, state_dict)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        folder = self._output / f"checkpoint-{self.state.global_step}"
        # A run that goes on after a break writes over what was cut off.
        (folder / WHOLE).unlink(missing_ok=True)
        try:
            super()._save_checkpoint(*args, **kwargs)
        except (OSError, RuntimeError) as error:  # torch's writer knows no OSError.
            reason = getattr(error, "strerror", None) or error
            raise RunError(
                f"{folder} cannot be written ({reason}). {self._last_whole()}"
            ) from error
        self.accelerator.wait_for_everyone()  # Each process writes a part of it.
        if self.args.should_save and folder.is_dir():
            mark_whole(folder)
            rotate_checkpoints(
                output_dir=str(self._output),
                save_total_limit=self._kept,
                best_model_checkpoint=self.state.best_model_checkpoint,
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        read_layout(self._module, Path(resume_from_checkpoint), self._origin)

    def take_end(self, checkpoint: Path) -> None:
        """Be as after the last step, from the checkpoint that was written there."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        self._load_from_checkpoint(str(checkpoint))
        if self.args.load_best_model_at_end and self.state.best_model_checkpoint:
            self._load_best_model()

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if best is None:
            raise InputError("no checkpoint was evaluated, so none is the best")
        # The folder may have been moved since.
        self.state.best_model_checkpoint = str(self._output / Path(best).name)
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _last_whole(self) -> str:
        whole = whole_checkpoints(self._output)
        if not whole:
            return "No checkpoint was written before."
        return f"The last whole checkpoint is {whole[-1]}; --resume goes on from it."
