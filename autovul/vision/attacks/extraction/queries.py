"""Asking the victim: which images of the attacker's pool are sent, in which order, and how they are varied first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from autovul.base.errors import UserError
from autovul.base.progress import Progress
from autovul.base.trainer import Trainer
from autovul.base.training.history import History
from autovul.base.training.options import TrainingOptions
from autovul.vision.attacks.extraction.adaptive_sampling import GradientBandit, Reward, RewardScale, rewards
from autovul.vision.attacks.extraction.transfer_set import LabelMode, TransferSet, ask
from autovul.vision.attacks.victim import Victim, questioned
from autovul.vision.datasets import Augmentation, ImageBatches, ImageSplit
from autovul.vision.datasets.batches import generator_of, to_pixels
from autovul.vision.datasets.splits import legacy_shuffle

BLOCK = 100


class Pool:
    """The attacker's images in a shuffled order, each varied once.

    What an image looks like depends on the seed and on its place, and not on which others are asked for.

    Args:
        split: The images.
        seed: Of the order and the variation.
        vary: How images are varied; None: not at all.
    """

    def __init__(self, split: ImageSplit, seed: int, vary: Augmentation | None) -> None:
        self.order = legacy_shuffle(len(split), seed)
        self.labels = split.labels[self.order]
        self._split, self._seed, self._vary = split, seed, vary
        self._blocks: dict[int, Tensor] = {}

    def images(self, places: Tensor) -> Tensor:
        """The images at some places of the shuffled order, uint8 (n, C, H, W)."""
        if self._vary is None:
            return self._split.images[self.order[places]]
        return torch.stack([self._block(place // BLOCK)[place % BLOCK] for place in places.tolist()])

    def _block(self, number: int) -> Tensor:
        if number not in self._blocks:
            assert self._vary is not None
            images = self._split.images[self.order[number * BLOCK : (number + 1) * BLOCK]]
            self._blocks[number] = self._vary(images, generator_of(self._seed, number))
        return self._blocks[number]


def ask_at_random(victim: Victim, pool: Pool, budget: int, label_mode: LabelMode) -> TransferSet:
    """Send the first ``budget`` images of the shuffled pool."""
    places = torch.arange(budget)
    images = pool.images(places)
    return TransferSet(images, ask(victim, images, label_mode), pool.order[places])


class AdaptiveQueries:
    """Sends images of the classes that taught most so far.

    A `GradientBandit` chooses the pool's class of every query; of a class the images come in shuffled order, each
    once. Queries go in rounds: the victim answers a round, the rewards of its queries are computed and learnt from one
    by one, and the scout, a network that stands for the thief, takes one pass over the round's answers. (The paper
    does all this after every single query, which batch norm does not allow.) The thief proper is trained afterwards,
    from scratch.

    Args:
        pool: Images and their classes as the attacker knows them.
        seed: Of the policy's draws and of the scout's training.
        scout: A fresh network on the victim's device.
        options: The scout's recipe.
        batch_size: Images of its batches, at most.
        size: Queries a round.
        reward: What an answer is worth by.

    Attributes:
        work: What the scout's passes took.
    """

    def __init__(
        self,
        pool: Pool,
        seed: int,
        scout: nn.Module,
        options: TrainingOptions,
        batch_size: int,
        size: int,
        reward: Reward = "all",
    ) -> None:
        self.pool, self.seed, self.scout, self.size, self.reward = pool, seed, scout, size, reward
        self.options = options.model_copy(update={"epoch": 1, "lr_scheduler": False, "resume": False})
        self.batch_size = batch_size
        self.work: list[History] = []
        classes = int(pool.labels.max()) + 1
        self.bandit = GradientBandit(classes, np.random.default_rng(seed))
        self._queues = [(pool.labels == label).nonzero().squeeze(1).tolist()[::-1] for label in range(classes)]

    def ask(
        self, victim: Victim, budget: int, label_mode: LabelMode, advance: Callable[[], None] = lambda: None
    ) -> TransferSet:
        """Send ``budget`` images.

        Raises:
            UserError: The scout's training diverged.
        """
        scale, parts = RewardScale(self.reward), []
        total, asked = torch.zeros(()), 0
        while asked < budget:
            actions, places = self._choose(min(self.size, budget - asked))
            images = self.pool.images(places)
            part = TransferSet(images, ask(victim, images, label_mode), self.pool.order[places])
            parts.append(part)
            with questioned(self.scout, victim.batch) as scout:
                guesses = scout.logits(to_pixels(images)).cpu().log_softmax(1)
                self.work.append(History(forward=scout.forward))
            answers = part.answers if label_mode == "soft" else functional.one_hot(part.answers, guesses.shape[1])
            total = total + answers.float().sum(0)
            asked += len(part)
            found = scale(rewards(answers.float(), total / asked, guesses))
            for action, reward in zip(actions, found.tolist(), strict=True):
                self.bandit.learn(action, reward)
            if asked < budget:
                self._teach(part, len(parts))
            advance()
        return TransferSet(*(torch.cat([getattr(p, n) for p in parts]) for n in ("images", "answers", "indices")))

    def _choose(self, count: int) -> tuple[list[int], Tensor]:
        actions, places = [], []
        for _ in range(count):
            action = self.bandit.choose(np.array([bool(queue) for queue in self._queues]))
            actions.append(action)
            places.append(self._queues[action].pop())
        return actions, torch.tensor(places)

    def _teach(self, part: TransferSet, number: int) -> None:
        size = -(-len(part) // -(-len(part) // self.batch_size))  # equal batches: none of a single image
        device = next(self.scout.parameters()).device
        batches = ImageBatches(part.images, part.answers, size, device, seed=self.seed)
        trainer = Trainer(self.options, device=device, seed=self.seed + number, progress=Progress("off"))
        self.work.append(trainer.fit(self.scout, batches))
        if self.work[-1].status != "ok":
            raise UserError("the network that judges adaptive queries diverged: lower --lr, or set --grad_clip")
