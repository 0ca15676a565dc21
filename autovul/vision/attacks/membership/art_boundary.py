"""The boundary search by ART's HopSkipJump."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autovul.vision.attacks.art_engine import black_box, generators_kept, prepare_art
from autovul.vision.attacks.hop_skip_jump import BoundaryPoints, HopSkipJump
from autovul.vision.attacks.victim import Victim


def boundary_points(
    attack: HopSkipJump,
    victim: Victim,
    images: Tensor,
    classes: Tensor,
    seeds: Sequence[int],
    tick: Callable[[], None] = lambda: None,
) -> BoundaryPoints:
    """As `HopSkipJump.run`, by ART's HopSkipJump, one image after the other.

    The random start is drawn here from the image's seed, because ART draws it from the operating system's entropy.
    ART repeats some queries (it predicts each image several times); all are counted, and end at the cap where ART
    would go on for ever. With ``closing_search`` the binary search that ends the paper's algorithm, and not ART's, is
    done here.

    Raises:
        NonFiniteOutput: The victim answered NaN.
        UserError: ART is not installed.
    """
    points = attack.start(victim, images, classes, seeds)
    prepare_art()
    from art.attacks.evasion import HopSkipJump as Engine

    with generators_kept(victim.device):
        classifier = _counting_classifier(victim, images.shape[1:])
        engine = Engine(
            classifier,
            norm=2,
            max_iter=attack.max_iter,
            max_eval=attack.max_eval,
            init_eval=attack.init_eval,
            init_size=1,
            verbose=False,
        )
        for i in range(len(images)):
            if bool(points.found[i]):
                classifier.left = attack.max_queries - int(points.queries[i])
                _search_one(engine, classifier, images[i].numpy(), points, i, seeds[i])
                points.queries[i] = attack.max_queries - classifier.left
            tick()
    return attack.close(victim, images, classes, points) if attack.closing_search else points


class _CapReached(Exception):
    """The image has no query left."""


def _search_one(engine: Any, classifier: Any, image: np.ndarray, points: BoundaryPoints, i: int, seed: int) -> None:
    np.random.seed(seed % 2**32)
    start = points.images[i].cpu().numpy()
    try:
        found = engine.generate(image[None], x_adv_init=start[None].copy())[0]
    except _CapReached:
        # ART keeps its progress to itself: what is left is the start.
        points.capped[i] = True
        return
    # ART gives the image itself back where it failed.
    if np.array_equal(found, image):
        points.found[i] = False
    points.images[i] = torch.from_numpy(found).to(points.images)


def _counting_classifier(victim: Victim, shape: Sequence[int]) -> Any:
    classes = victim.logits(torch.full((1, *shape), 0.5)).shape[1]

    class Counting(black_box()):  # type: ignore[misc]
        """Asks the victim for classes as long as queries are left."""

        left = 0

        def predict(self, x: np.ndarray, batch_size: int = 128, **kwargs: Any) -> np.ndarray:
            if len(x) > self.left:
                raise _CapReached
            self.left -= len(x)
            return victim.logits(torch.from_numpy(np.asarray(x, dtype=np.float32))).cpu().numpy()

    return Counting(shape, classes)
