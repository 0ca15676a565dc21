"""The data set and the network that attacks are tried on; a module with others of its own overrides them."""

from __future__ import annotations

import pytest

from tests.vision.attacks.patches import make_dataset, make_trained


@pytest.fixture(scope="module")
def dataset():
    return make_dataset()


@pytest.fixture(scope="module")
def trained(dataset):
    return make_trained(dataset)
