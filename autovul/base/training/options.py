"""What a training run can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from autovul.base.options import Options, option

OUTPUT_OPTIONS = frozenset({"save", "resume", "resume_changed", "tensorboard", "log_dir"})  # they change no weight


class TrainingOptions(Options):
    """The recipe of a training run and where its log goes."""

    epoch: int = option(250, "Number of passes over the training set.", ge=0)
    lr: float = option(0.025, "Learning rate at the start.", gt=0)
    OptimType: str = option("SGD", "Any optimiser of torch.optim, by its class name (SGD, Adam, AdamW, RMSprop, …).")
    momentum: float = option(0.9, "Momentum, for optimisers that take one.", ge=0, lt=1)
    weight_decay: float = option(5e-4, "Weight decay, on every parameter, batch norm and biases included.", ge=0)
    nesterov: bool = option(False, "Nesterov's form of momentum.")
    lr_scheduler: bool = option(False, "Let the learning rate fall to 0 along a half cosine, one step an epoch.")
    one_cycle: float | None = option(
        None,
        "In place of lr_scheduler, step by step: let the learning rate rise from 0 to lr over this share of the "
        "training, then fall to 0 along a half cosine.",
        gt=0,
        lt=1,
    )
    label_smoothing: float = option(
        0.0, "Share of a label that is spread evenly over all classes, where the loss is cross entropy.", ge=0, lt=1
    )
    grad_clip: float | None = option(None, "Clip the gradient to this L2 norm; none: no clipping.", gt=0)
    microbatch: int | None = option(
        None,
        "Images of a forward and backward pass, to save memory: gradients of a batch's parts are added up, and the "
        "result is the same but for batch norm, which sees a part; none: the whole batch.",
        ge=1,
        unit="images",
    )
    parameters: Literal["full", "features", "classifier"] = option(
        "full", "The part that is trained; the rest is frozen, with its batch-norm statistics and its dropout off."
    )
    precision: Literal["fp32", "auto", "bf16", "fp16"] = option(
        "fp32",
        "Arithmetic of forward and backward passes; auto: bf16 where the device has it and is faster so, else fp32.",
    )
    amp: bool = option(False, "The same as precision auto.")
    compile: bool = option(
        False,
        "Compile the network with torch.compile before training: minutes that only a long run makes up for.",
    )
    validate_interval: int = option(
        10, "Validate every so often, besides before the first epoch and at the end.", ge=1, unit="epochs"
    )
    save: bool = option(True, "Save the trained model.")
    resume: bool = option(False, "Continue the run that was stopped or killed from its last training state.")
    resume_changed: bool = option(
        False, "With resume: continue although options differ from those of the stopped run.", needs="resume"
    )
    tensorboard: bool = option(False, "Write curves for TensorBoard beside the log (needs the extra 'tensorboard').")
    log_dir: str = option("./data/log", "Folder of the training logs.", min_length=1)

    @field_validator("OptimType")
    @classmethod
    def _known_optimiser(cls, name: str) -> str:
        from autovul.base.training.optimiser_classes import OPTIMISERS

        OPTIMISERS.canonical(name)
        return name

    @model_validator(mode="after")
    def _consistent(self) -> TrainingOptions:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if self.one_cycle is not None and self.lr_scheduler:
            raise ValueError("one_cycle and lr_scheduler are two courses of the learning rate: give one of them")
        if self.amp and self.precision in {"bf16", "fp16"}:
            raise ValueError(f"amp means precision auto, but precision is {self.precision!r}: give one of the two")
        return self

    @property
    def wanted_precision(self) -> str:
        """``precision``, with ``amp`` taken into account."""
        return "auto" if self.amp else self.precision

    def recipe(self) -> dict[str, object]:
        """The options that the weights depend on, by name; not the precision, which the device has a say in."""
        return self.model_dump(exclude={*OUTPUT_OPTIONS, "precision", "amp"})
