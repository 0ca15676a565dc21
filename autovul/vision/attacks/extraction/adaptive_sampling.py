"""Knockoff's adaptive choice of queries: a gradient bandit over the classes of the attacker's pool."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

REWARDS = ("certainty", "diversity", "loss")
Reward = Literal["all", "certainty", "diversity", "loss"]


@dataclass
class GradientBandit:
    r"""A softmax policy over actions, moved by rewards.

    .. math:: \pi(z) \propto e^{H(z)}, \qquad
              H(z) \leftarrow H(z) + \alpha (r - \bar r) \bigl([z = z_t] - \pi(z)\bigr), \qquad \alpha = 1 / N(z_t)

    N counts how often an action was taken, and r̄ is the mean reward of the last ``window`` steps.

    Args:
        actions: How many there are.
        generator: Draws the actions.
        window: Steps whose rewards make the baseline.

    Source: Orekondy et al., Knockoff Nets (arXiv 1812.02766), section 4.1.2; Sutton and Barto, section 2.8.
    """

    actions: int
    generator: np.random.Generator
    window: int = 1000
    preferences: np.ndarray = field(init=False)
    taken: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.preferences = np.zeros(self.actions)
        self.taken = np.zeros(self.actions, dtype=np.int64)
        self._past: deque[float] = deque(maxlen=self.window)

    def policy(self, available: np.ndarray) -> np.ndarray:
        """The chance of each action, with none for those that are not available; bool and float64, (actions,)."""
        weights = np.where(available, np.exp(self.preferences - self.preferences[available].max()), 0.0)
        return weights / weights.sum()

    def choose(self, available: np.ndarray) -> int:
        """Draw an action."""
        return int(self.generator.choice(self.actions, p=self.policy(available)))

    def learn(self, action: int, reward: float) -> None:
        """Take in the reward of an action."""
        everything = np.ones(self.actions, dtype=bool)
        self.taken[action] += 1
        self._past.append(reward)
        surprise = (reward - sum(self._past) / len(self._past)) / self.taken[action]
        self.preferences += surprise * ((np.arange(self.actions) == action) - self.policy(everything))


class RewardScale:
    """Brings each kind of reward to [0, 1], by its least and greatest value so far, and sums them with equal weight.

    Args:
        kind: The only one that counts, or all.
    """

    def __init__(self, kind: Reward = "all") -> None:
        self._counts = np.array([kind in ("all", name) for name in REWARDS])
        self._low = np.full(len(REWARDS), np.inf)
        self._high = np.full(len(REWARDS), -np.inf)

    def __call__(self, rewards: np.ndarray) -> np.ndarray:
        """Rewards of some queries in order, (n, kinds); their sums, (n,)."""
        sums = []
        for row in rewards:
            self._low, self._high = np.minimum(self._low, row), np.maximum(self._high, row)
            span = self._high - self._low
            scaled = np.where(span > 0, (row - self._low) / np.where(span > 0, span, 1), 0.0)
            sums.append(scaled[self._counts].sum())
        return np.array(sums)


def rewards(answers: Tensor, mean_answer: Tensor, guesses: Tensor) -> np.ndarray:
    r"""Certainty, diversity and loss of some queries, (n, 3).

    .. math:: y_{(1)} - y_{(2)}, \qquad \sum_k \max(0, y_k - \bar y_k), \qquad -\sum_k y_k \log \hat y_k

    Args:
        answers: (n, classes), the victim's probabilities y (one-hot where it gives classes alone).
        mean_answer: (classes,), the mean ȳ of the answers so far, these included.
        guesses: (n, classes), the thief's log probabilities, before it learns from the answers.
    """
    top = answers.topk(2, dim=1).values
    certainty = top[:, 0] - top[:, 1]
    diversity = (answers - mean_answer).clamp_min(0).sum(1)
    loss = -(answers * guesses).sum(1)
    return torch.stack([certainty, diversity, loss], dim=1).double().numpy()
