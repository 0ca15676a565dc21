"""``--compile`` on the device gives what eager training gives."""

from __future__ import annotations

import pytest

from autovul.base.errors import UserError
from autovul.base.trainer import TrainingOptions
from autovul.base.training.compilation import compiled
from tests.cuda.small import large_patches, needs, quiet, relative, small, there, weights_of

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_short_training(device, precision):
    needs(precision, device)
    try:
        compiled(there(small("vgg13_bn_comp"), device), device)
    except UserError as error:
        pytest.skip(str(error))
    start, changes, losses = small("vgg13_bn_comp"), [], []
    for compile in (False, True):
        model = there(start, device)
        options = TrainingOptions(epoch=1, lr=0.01, compile=compile, precision=precision)
        # Two whole batches and a smaller one, which is compiled by itself.
        history = quiet(options, device).fit(model, large_patches(20, 15).train_batches(8, device, 1))
        changes.append(weights_of(model) - weights_of(start))
        losses.append(history.records[-1].train_loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if precision == "fp32" else 0.02)
    assert relative(changes[1], changes[0]) < (0.02 if precision == "fp32" else 0.5)
