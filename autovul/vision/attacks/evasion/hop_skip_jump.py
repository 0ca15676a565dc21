"""The nearest adversarial example of each image, found from predicted classes alone: no gradient is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import model_validator
from torch import Tensor, nn

from autovul.base.options import option
from autovul.vision.attacks.base import registry
from autovul.vision.attacks.evasion.minimum_norm import MinimumNorm, Nearest
from autovul.vision.attacks.evasion.norms import lengths
from autovul.vision.attacks.hop_skip_jump import HopSkipJump, image_seed
from autovul.vision.attacks.victim import Victim


@registry.register("hop_skip_jump")
class HopSkipJumpAttack(MinimumNorm):
    r"""HopSkipJump: the smallest perturbation after which the model errs, from its answers alone.

    .. math:: \min_\delta \lVert\delta\rVert_p \quad\text{with}\quad c(x + \delta) \ne y,\; x + \delta \in [0, 1]^d

    c is the class that the model says and y the one to leave; with a target t, c(x + δ) = t. The search is
    `HopSkipJump`, that of membership inference, with two changes: the nearest point on the way is the result, and it
    begins at the nearest (L2) of the other attacked images of a fitting class, or at a random image where there is none
    or the model says otherwise. It needs neither gradients nor logits, so that it serves networks that hide their
    gradients or have none. Where gradients are of use, `FMN` finds nearer examples for less.

    A distance is an upper bound, and the looser the fewer queries; that nothing was found does not mean that nothing is
    there.

    Source: Chen, Jordan and Wainwright, HopSkipJumpAttack (IEEE S&P 2020, arXiv 1904.02144), algorithm 2. The artifact
    has it within membership inference alone. Deviations beside those of `HopSkipJump`: points for a gradient estimate
    are farther away by default, a tenth of the distance, since a network that rounds its input says the same of near
    ones; the paper starts an untargeted attack from noise.
    """

    name: ClassVar[str] = "hop_skip_jump"

    max_queries: int = option(
        5000, "Queries an image, at most; then the nearest point that it has by then counts.", ge=1
    )
    iteration: int = option(100, "Steps at the most; before that the queries are mostly used up.", ge=0)
    init_eval: int = option(100, "Queries of the first gradient estimate; those of step t are √t times as many.", ge=1)
    max_eval: int = option(10000, "Queries of one gradient estimate, at most.", ge=1)
    init_size: int = option(50, "Random images tried as a start where no other image serves.", ge=0)
    probe: float = option(
        0.1, "How far away the points of a gradient estimate are, as a share of the distance reached; 1 for networks "
        "that round their input.", gt=0, le=10,
    )  # fmt: skip

    @property
    def follows_gradients(self) -> bool:
        return False

    @model_validator(mode="after")
    def _growing(self) -> HopSkipJumpAttack:
        if self.init_eval > self.max_eval:
            raise ValueError(f"init_eval must be at most max_eval ({self.max_eval}), got {self.init_eval}")
        return self

    def perturb(
        self, model: nn.Module, images: Tensor, target: Tensor, *, seed: int = 1228, starts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Look for the nearest adversarial examples; the model is left exactly as it was.

        Args:
            model: Takes pixels in [0, 1] and gives logits; only the largest counts.
            images: (N, C, H, W), floating point, in [0, 1]; the model is asked in float32.
            target: (N,), the class to reach; for an untargeted attack the class to leave.
            seed: Seeds random starts and directions; an image's also depend on its place.
            starts: (N, C, H, W), an image of another class (of the target) for each, if there are any. A targeted
                attack mostly finds none at random.

        Returns:
            The nearest adversarial image of each, or itself where none was found; and the queries after which it stood
            (−1: none).

        Raises:
            ValueError: ``images``, ``target`` or ``starts`` are not as above.
            NonFiniteOutput: The model gave NaN.
        """
        if starts is not None and starts.shape != images.shape:
            raise ValueError(f"starts must be one for each image {tuple(images.shape)}, got {tuple(starts.shape)}")
        seeds = [image_seed(seed, place) for place in range(len(images))]
        nearest = self._nearest(model, images, target, seeds=seeds, starts=starts)
        return nearest.images, nearest.iterations

    def _begin(self, places: Tensor, target: Tensor, images: Tensor, labels: Tensor, seed: int) -> Mapping[str, Any]:
        apart = torch.cdist(images[places].flatten(1), images.flatten(1))
        fitting = (labels != target[:, None]) if self.untargeted else (labels == target[:, None])
        starts = images[apart.masked_fill(~fitting, torch.inf).argmin(1)]
        return {"seeds": [image_seed(seed, place) for place in places.tolist()], "starts": starts}

    def _search(
        self, model: nn.Module, clean: Tensor, target: Tensor, seeds: list[int] | None = None,
        starts: Tensor | None = None,
    ) -> Nearest:  # fmt: skip
        assert seeds is not None
        victim, images = Victim(model), clean.float()
        logits = victim.logits(images)
        if int(target.max()) >= logits.shape[1]:
            raise ValueError(f"target must be from 0 to {logits.shape[1] - 1}, got {int(target.max())}")
        errs = (logits.argmax(1) == target) != self.untargeted
        nearest = Nearest.begin(clean, target)
        nearest.flat.fill_(False)
        nearest.keep(errs, clean, torch.zeros_like(nearest.distances), logits.argmax(1), 1)
        index = (~errs).nonzero().squeeze(1)
        points = self._engine().run(
            victim,
            images[index],
            target[index],
            [seeds[place] for place in index.tolist()],
            starts=None if starts is None else starts.to(images)[index],
        )
        found = index[points.found]
        nearest.images[found] = points.images[points.found].to(clean.dtype)
        nearest.distances[found] = lengths(nearest.images[found] - clean[found], self.norm)
        nearest.iterations[found] = 1 + points.queries[points.found]
        nearest.passes.queries = len(clean) + int(points.queries.sum())
        if len(found):
            nearest.classes[found] = victim.labels(nearest.images[found])  # for the pictures: no query of the attack's
        nearest.passes.forward = victim.forward
        return nearest

    def _engine(self) -> HopSkipJump:
        return HopSkipJump(
            max_iter=self.iteration,
            max_eval=self.max_eval,
            init_eval=self.init_eval,
            init_size=self.init_size,
            max_queries=self.max_queries - 1,  # one is spent on the image itself
            norm=self.norm,
            targeted=not self.untargeted,
            keep_nearest=True,
            probe=self.probe,
        )
