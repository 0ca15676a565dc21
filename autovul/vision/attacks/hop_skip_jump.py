"""HopSkipJump: how far an image is from the decision boundary, found from predicted classes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autovul.vision.attacks.evasion.norms import Norm, lengths
from autovul.vision.attacks.victim import Victim

PRECISION = 0.01  # of a binary search, relative to the length searched, times √d
FIRST_RADIUS = 0.1  # of the first gradient estimate, in pixels
HALVINGS = 40  # of a step at most: then it is below what float32 tells apart


@dataclass
class BoundaryPoints:
    """For each image the point of another class that was found near it.

    Args:
        images: (N, C, H, W) in [0, 1]; where nothing was found, the image itself.
        found: (N,), whether a point was found.
        capped: (N,), whether the search ended because the next round would have exceeded the query cap.
        queries: (N,), queries spent.
    """

    images: Tensor
    found: Tensor
    capped: Tensor
    queries: Tensor


@dataclass(frozen=True)
class HopSkipJump:
    r"""The boundary attack that estimates the boundary's normal from predicted classes.

    From a random image of another class, each iteration t = 0, 1, … (all images in step):

    - a binary search on the segment to the image x* finds a point xₜ of another class next to the boundary;
    - the normal is estimated from B = min(⌊init_eval · √(t+1)⌋, max_eval) directions uₙ of length 1, as
      v ∝ Σ (φₙ − φ̄) uₙ, where φₙ = ±1 says whether xₜ + δuₙ has another class and δ = probe · distance (0.1 at first);
    - a step ξv from ‖xₜ − x*‖₂ / √(t+1) on, halved until xₜ + ξv has another class.

    One more binary search ends it. Searches end at a relative width of θ = 0.01 / √d, for d pixels. In L∞ a search
    cuts the change off at a height instead of shortening it, and the step is ξ sign(v) from ‖xₜ − x*‖∞ / √(t+1) on.
    With a target, "another class" is the target alone.

    An image's result depends on the image, its seed and the network, not on the others (but for rounding in the
    network). Images are questioned together; no round of an image begins that its query cap does not cover, so that
    nothing can go on for ever.

    Args:
        max_iter: Iterations.
        max_eval: Queries of a gradient estimate, at most.
        init_eval: Queries of the first gradient estimate.
        init_size: Random images tried as a start.
        max_queries: Queries an image, at most.
        closing_search: Whether to end with a binary search.
        norm: In which the distance is made small.
        targeted: Whether the classes are to be reached rather than left.
        keep_nearest: Whether the nearest point of all searches is the result, and not the last one.
        probe: δ, as a share of the distance.

    Source: Chen, Jordan and Wainwright, HopSkipJumpAttack (arXiv 1904.02144), algorithm 2. θ, δ and the first δ are
    those of ART, which the artifact uses: the paper's θ = d^(−3/2) is below the resolution of float32 pixels.
    ART also searches twice at the start and leaves out the closing search. In L∞, where the paper draws the directions
    uniformly from a cube, they are the same as in L2, and δ follows the L2 distance.
    """

    max_iter: int = 10
    max_eval: int = 100
    init_eval: int = 25
    init_size: int = 50
    max_queries: int = 2000
    closing_search: bool = True
    norm: Norm = "2"
    targeted: bool = False
    keep_nearest: bool = False
    probe: float = 0.01

    def run(
        self,
        victim: Victim,
        images: Tensor,
        classes: Tensor,
        seeds: Sequence[int],
        tick: Callable[[], None] = lambda: None,
        starts: Tensor | None = None,
    ) -> BoundaryPoints:
        """Attack all images.

        Args:
            victim: Answers the queries.
            images: (N, C, H, W), float32 in [0, 1].
            classes: (N,), the classes to leave: what the victim says of the images; or those to reach.
            seeds: One an image, 0 … 2⁶⁴ − 1.
            tick: Called after each iteration.
            starts: (N, C, H, W), images to start from; random ones are tried where the victim does not see another
                class in them.

        Raises:
            NonFiniteOutput: The victim answered NaN.
        """
        search = _Search(self, victim, images, classes, seeds)
        search.start(starts)
        for t in range(self.max_iter):
            search.iterate(t)
            tick()
        if self.closing_search:
            search.to_boundary()
        return search.result()

    def start(self, victim: Victim, images: Tensor, classes: Tensor, seeds: Sequence[int]) -> BoundaryPoints:
        """Only the random images of another class that `run` starts from."""
        search = _Search(self, victim, images, classes, seeds)
        search.start()
        return search.result()

    def close(self, victim: Victim, images: Tensor, classes: Tensor, points: BoundaryPoints) -> BoundaryPoints:
        """Only the closing search, from points that something else has found."""
        search = _Search(self, victim, images, classes, [0] * len(images))
        search.points, search.queries = points.images.to(victim.device), points.queries.to(victim.device)
        search.found, search.going = points.found.to(victim.device), (points.found & ~points.capped).to(victim.device)
        search.capped = points.capped.to(victim.device)
        search.to_boundary()
        return search.result()


class _Search:
    """The state of all images; ``going`` marks those that take part in the next round."""

    def __init__(
        self, attack: HopSkipJump, victim: Victim, images: Tensor, classes: Tensor, seeds: Sequence[int]
    ) -> None:
        device, count = victim.device, len(images)
        self.attack, self.victim = attack, victim
        self.images = images.to(device)
        self.classes = classes.to(device)
        self.points = self.images.clone()
        self.nearest = self.images.clone()
        self.least = torch.full((count,), torch.inf, device=device, dtype=self.images.dtype)
        self.found = torch.zeros(count, dtype=torch.bool, device=device)
        self.going = torch.ones(count, dtype=torch.bool, device=device)
        self.capped = torch.zeros(count, dtype=torch.bool, device=device)
        self.queries = torch.zeros(count, dtype=torch.int64, device=device)
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.precision = PRECISION / math.sqrt(images[0].numel()) if count else 1.0

    def result(self) -> BoundaryPoints:
        """The state as a record."""
        self._note_nearest()
        points = self.nearest if self.attack.keep_nearest else self.points
        return BoundaryPoints(points, self.found, self.capped, self.queries)

    def start(self, starts: Tensor | None = None) -> None:
        """Find an image of another class for each, of those given or a random one; those that find none stop."""
        if starts is not None:
            index = self._affordable(self.going, 1)
            self._begin(starts.to(self.images)[index], index)
        for _ in range(self.attack.init_size):
            index = self._affordable(self.going & ~self.found, 1)
            if not len(index):
                break
            self._begin(self._draw(torch.rand, index, ()), index)
        self.going &= self.found

    def _begin(self, points: Tensor, index: Tensor) -> None:
        other = self._is_other(points, index)
        self.points[index[other]] = points[other]
        self.found[index[other]] = True

    def iterate(self, t: int) -> None:
        """One iteration: to the boundary, estimate its normal there, step along it."""
        before = lengths(self.points - self.images, "2")
        self.to_boundary()
        self._note_nearest()
        radius = self.attack.probe * before if t else torch.full_like(before, FIRST_RADIUS)
        evaluations = min(int(self.attack.init_eval * math.sqrt(t + 1)), self.attack.max_eval)
        index = self._affordable(self.going, evaluations)
        if not len(index):
            return
        # The noise of these images, and not of all, has to be in memory at one time.
        together = max(1, self.victim.batch // evaluations)
        normals = [self._normal(part, radius[part], evaluations) for part in index.split(together)]
        direction = torch.cat(normals).sign() if self.attack.norm == "inf" else torch.cat(normals)
        self._step(index, direction, self._distance()[index] / math.sqrt(t + 1))

    def to_boundary(self) -> None:
        """Move each point towards its image as far as it keeps its class, by bisection."""
        index = self.going.nonzero().squeeze(1)
        far = self.points[index]
        low, high = far.new_zeros(len(index)), far.new_ones(len(index))
        for _ in range(math.ceil(-math.log2(self.precision))):
            self._affordable(self.going, 1)
            place = self.going[index].nonzero().squeeze(1)
            if not len(place):
                break
            asked, middle = index[place], (low[place] + high[place]) / 2
            points = self._between(self.images[asked], far[place], middle)
            other = self._is_other(points, asked)
            high[place], low[place] = torch.where(other, middle, high[place]), torch.where(other, low[place], middle)
            self.points[asked[other]] = points[other]

    def _between(self, images: Tensor, far: Tensor, share: Tensor) -> Tensor:
        """Points at a share (n,) of the distance from the images to those far away."""
        if self.attack.norm == "2":
            return torch.lerp(images, far, _spread(share))
        offset = far - images
        height = _spread(share * lengths(offset, "inf"))
        return (images + offset.clamp(-height, height)).clamp_(0, 1)

    def _note_nearest(self) -> None:
        """Keep the points that are nearer than all before, where there is need."""
        if not self.attack.keep_nearest:
            return
        distance = self._distance()
        nearer = self.found & (distance < self.least)
        self.nearest = torch.where(_spread(nearer), self.points, self.nearest)
        self.least = torch.where(nearer, distance, self.least)

    def _normal(self, index: Tensor, radius: Tensor, evaluations: int) -> Tensor:
        """Unit vectors (n, C, H, W) that point from the boundary into the other class."""
        current = self.points[index][:, None]
        noise = self._draw(torch.randn, index, (evaluations,))
        noise /= torch.linalg.vector_norm(noise, dim=(2, 3, 4), keepdim=True)
        asked = (current + _spread(radius, 5) * noise).clamp_(0, 1)
        noise = (asked - current) / _spread(radius, 5).clamp_min(1e-12)
        other = self._is_other(asked.flatten(0, 1), index.repeat_interleave(evaluations))
        sign = 2 * other.view(len(index), evaluations).to(noise.dtype) - 1
        mean = sign.mean(1, keepdim=True)
        # Where all answers are alike there is nothing to centre, and the mean direction keeps the answers' sign.
        weight = torch.where(mean.abs() == 1, sign, sign - mean)
        gradient = torch.einsum("nb,nbchw->nchw", weight, noise)
        return gradient / torch.linalg.vector_norm(gradient, dim=(1, 2, 3), keepdim=True).clamp_min(1e-30)

    def _step(self, index: Tensor, direction: Tensor, length: Tensor) -> None:
        """Go along the direction, half as far each time the class is lost again; else stay."""
        waiting = torch.zeros_like(self.going)
        waiting[index] = True
        steps = torch.zeros_like(self.points)
        steps[index] = _spread(length) * direction
        for _ in range(HALVINGS):
            asked = self._affordable(waiting, 1)
            if not len(asked):
                break
            points = (self.points[asked] + steps[asked]).clamp_(0, 1)
            other = self._is_other(points, asked)
            self.points[asked[other]] = points[other]
            waiting[asked[other]] = False
            waiting &= self.going
            steps /= 2

    def _distance(self) -> Tensor:
        return lengths(self.points - self.images, self.attack.norm)

    def _affordable(self, wanted: Tensor, queries: int) -> Tensor:
        """The wanted images that have so many queries left; the others stop for good."""
        poor = wanted & (self.queries + queries > self.attack.max_queries)
        self.capped |= poor
        self.going &= ~poor
        return (wanted & ~poor).nonzero().squeeze(1)

    def _is_other(self, points: Tensor, index: Tensor) -> Tensor:
        """Whether the victim sees a class in the points that the search is for; one query a point."""
        self.queries.index_add_(0, index, torch.ones_like(index))
        same = self.victim.labels(points) == self.classes[index]
        return same if self.attack.targeted else ~same

    def _draw(self, kind: Callable[..., Tensor], index: Tensor, size: tuple[int, ...]) -> Tensor:
        shape, device = (*size, *self.images.shape[1:]), self.images.device
        dtype = self.images.dtype
        draws = [kind(shape, generator=self.generators[i], device=device, dtype=dtype) for i in index.tolist()]
        return torch.stack(draws)


def _spread(values: Tensor, ndim: int = 4) -> Tensor:
    """(N,) as (N, 1, 1, …), to go with images."""
    return values.view(-1, *[1] * (ndim - 1))


def image_seed(seed: int, *place: int) -> int:
    """The seed of one image's search: the same in whatever sample the image occurs.

    Args:
        seed: Of the run.
        place: What tells the image from others.
    """
    return int(np.random.SeedSequence(seed, spawn_key=place).generate_state(1, np.uint64)[0])
