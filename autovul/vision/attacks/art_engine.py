"""What the Adversarial Robustness Toolbox (ART) needs around it to serve as a second engine.

It is imported only when asked for, leaves the home folder and the global random generators as they were, and asks
through a black box that this package answers.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from autovul.base.errors import UserError
from autovul.base.training.random_state import random_state, restore_random_state


def prepare_art() -> None:
    """Make ART ready to be imported without a trace in the home folder.

    On import ``art.config`` writes ``~/.art/config.json``. It is therefore imported alone and first, with another home.

    Raises:
        UserError: ART is not installed.
    """
    if "art.config" in sys.modules:
        return
    package = importlib.util.find_spec("art")
    if package is None or not package.submodule_search_locations:
        raise UserError("engine art needs the package adversarial-robustness-toolbox: pip install it")
    path = os.path.join(package.submodule_search_locations[0], "config.py")
    spec = importlib.util.spec_from_file_location("art.config", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    names = ("HOME", "USERPROFILE")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(dict.fromkeys(names, folder))
        try:
            spec.loader.exec_module(module)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
    sys.modules["art.config"] = module


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """NumPy's, Python's and torch's global generators are afterwards as they were."""
    state = random_state(device)
    try:
        yield
    finally:
        restore_random_state(state, device)


def black_box() -> Any:
    """A base class for what ART may ask and nothing else; a subclass gives ``predict``."""
    from art.estimators import BaseEstimator
    from art.estimators.classification.classifier import ClassifierMixin

    class BlackBox(ClassifierMixin, BaseEstimator):
        """A classifier of images (C, H, W) in [0, 1]."""

        estimator_params = BaseEstimator.estimator_params + ClassifierMixin.estimator_params

        def __init__(self, shape: Sequence[int], classes: int) -> None:
            super().__init__(model=None, clip_values=(0.0, 1.0))
            self._shape, self.nb_classes = tuple(shape), classes

        @property
        def input_shape(self) -> tuple[int, ...]:
            return self._shape

        def fit(self, x: np.ndarray, y: np.ndarray, **kwargs: Any) -> None:
            raise NotImplementedError("a black box is not trained")

    return BlackBox
