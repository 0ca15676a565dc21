"""A network seen from outside, where memory ends."""

from __future__ import annotations

import torch

from autovul.vision.attacks.victim import Victim


class Large(torch.Tensor):
    """Images of which some at once do not fit where they are sent."""

    def to(self, *arguments, **options):
        if len(self) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().to(*arguments, **options).as_subclass(torch.Tensor)


def test_images_that_do_not_even_reach_the_device_are_sent_in_parts():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
    images = torch.rand(5, 1, 2, 2)
    victim = Victim(model, batch=5)
    found = victim.logits(images.as_subclass(Large))
    torch.testing.assert_close(found, Victim(model).logits(images))
    assert victim.batch <= 2
