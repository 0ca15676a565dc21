"""The loss scale of fp16: a gradient that overflows costs a step and nothing else."""

from __future__ import annotations

import pytest
import torch

from autovul.base.checkpoint import load_checkpoint
from autovul.base.trainer import TrainingOptions, cross_entropy_step
from tests.cuda.small import quiet, there, weights_of
from tests.vision.attacks import patches

pytestmark = pytest.mark.cuda
STEPS, BAD = 12, 3


class Overflowing:
    """Cross entropy whose gradient leaves the range of fp16 in one step; the weights before each step."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def __call__(self, model, x, y):
        self.weights.append(weights_of(model))
        loss, logits = cross_entropy_step(model, x, y)
        return loss * (2.0**30 if len(self.weights) == BAD else 1.0), logits


@pytest.mark.parametrize("grad_clip", [None, 1.0])
@pytest.mark.parametrize("optimiser", ["SGD", "AdamW", "RMSprop"])
def test_a_step_is_left_out(device, dataset, tmp_path, optimiser, grad_clip):
    step, path = Overflowing(), tmp_path / "net.state"
    options = TrainingOptions(epoch=1, lr=1e-3, OptimType=optimiser, precision="fp16", grad_clip=grad_clip)
    trainer = quiet(options, device, step=step, state_path=path)
    model = there(patches.make_network(), device)
    assert trainer.fit(model, dataset.train_batches(10, device, 1)).status == "ok"
    moved = [not torch.equal(a, b) for a, b in zip(step.weights, [*step.weights[1:], weights_of(model)], strict=True)]
    assert moved == [number != BAD for number in range(1, STEPS + 1)]
    state = load_checkpoint(path)["state"]
    assert state["scaler"]["scale"] == 2.0**15  # half of what PyTorch begins with
    counts = {float(kept["step"]) for kept in state["optimiser"].values() if "step" in kept}
    assert counts <= {STEPS - 1.0}
    assert bool(weights_of(model).isfinite().all())
