"""Models that give something else than a logit for each class are refused in one line, whatever is to be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from autovul.base.errors import UserError
from autovul.vision import attacks
from autovul.vision.datasets import ImageDataset
from autovul.vision.tools.contour_measurement import ContourMeasurement
from autovul.vision.tools.gradient_measurement import GradientMeasurement
from autovul.vision.tools.gradient_variance import gradient_variance
from autovul.vision.tools.loss_contour import loss_contour
from autovul.vision.validation import validate
from tests.vision.attacks.patches import CLASSES, make_dataset

Work = Callable[[nn.Module, ImageDataset], Any]
ATTACKS: list[tuple[str, dict[str, Any]]] = [
    ("pgd", {}),
    ("fmn", {}),
    ("hop_skip_jump", {"max_queries": 50}),
    ("membership", {"method": "loss", "confidence_filter": "none"}),
    ("knockoff", {}),
    ("badnet", {"mark_height": 1, "mark_width": 1}),
    ("trojannn", {"mark_height": 1, "mark_width": 1}),
    ("poison_random", {}),
    ("poison_basic", {}),
]


def network(logits: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, logits))


EVERYTHING = pytest.mark.parametrize(
    "work",
    [
        *(pytest.param(attacks.create(name, **options).run, id=name) for name, options in ATTACKS),
        validate,
        ContourMeasurement(points=3).measure,
        GradientMeasurement().run,
    ],
)


@EVERYTHING
def test_too_few_logits(work: Work) -> None:
    message = f"the model gives {CLASSES - 1} logits and patches has {CLASSES} classes"
    with pytest.raises(UserError, match=message):
        work(network(CLASSES - 1), make_dataset())


@pytest.mark.parametrize("work", [validate, ContourMeasurement(points=3).measure, GradientMeasurement().run])
def test_more_logits_are_allowed(work: Work) -> None:
    assert work(network(CLASSES + 2), make_dataset())


class Wrapped(nn.Module):
    """Gives what another network gives within something else."""

    def __init__(self, form: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.network, self.form = network(CLASSES), form

    def forward(self, x: torch.Tensor) -> Any:
        return self.form(self.network(x))


FORMS: dict[str, Callable[[torch.Tensor], Any]] = {
    "tuple": lambda logits: (logits, logits),
    "dict": lambda logits: {"logits": logits},
    r"torch.float32 of shape \(\d+,\)": lambda logits: logits[:, 0],
}


@EVERYTHING
@pytest.mark.parametrize("name", FORMS)
def test_no_logits(work: Work, name: str) -> None:
    with pytest.raises(UserError, match=rf"the model must give logits \(N, classes\), and gives {name}: wrap it"):
        work(Wrapped(FORMS[name]), make_dataset())


@EVERYTHING
def test_names_in_place_of_a_model_or_data(work: Work) -> None:
    with pytest.raises(
        TypeError, match=r"dataset must be an ImageDataset, such as datasets.create\(…\) makes, got str"
    ):
        work(network(CLASSES), "digits")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, such as models.create\(…\) makes, got str"):
        work("darts", make_dataset())  # type: ignore[arg-type]


def test_the_library_s_tools_and_attacks_say_the_same() -> None:
    images, labels = make_dataset().valid.pixels(slice(0, 4)), torch.tensor([0, 1, 2, 0])
    for call in (gradient_variance, loss_contour, attacks.create("pgd").perturb):
        with pytest.raises(UserError, match="gives tuple"):
            call(Wrapped(lambda logits: (logits,)), images, labels)
    for call in (gradient_variance, loss_contour):
        with pytest.raises(ValueError, match="labels must be from 0 to 2, got 7"):
            call(network(CLASSES), images, labels + 5)


class Opaque(nn.Module):
    """Autograd does not see how its logits come about."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network(CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.network(x)


@pytest.mark.parametrize("name", ["pgd", "trojannn", "latent_backdoor", "imc"])
def test_what_needs_gradients_says_so(name: str) -> None:
    options = {} if name == "pgd" else {"mark_height": 1, "mark_width": 1}
    with pytest.raises(UserError, match="what the model gives is not differentiable in the image: "):
        attacks.create(name, **options).run(Opaque(), make_dataset())


def test_a_training_that_can_learn_nothing_says_so() -> None:
    with pytest.raises(UserError, match="the loss depends on no weight that is trained"):
        attacks.create("poison_basic", test_num=1).run(Opaque(), make_dataset())


def test_a_model_is_not_asked_with_a_single_image() -> None:
    """One that squeezes its maps gives no batch for it."""

    class Squeezing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.Conv2d(3, CLASSES, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.maps(x).mean((2, 3), keepdim=True).squeeze()

    for work in (validate, ContourMeasurement(points=3).measure, GradientMeasurement(per_sample="layers").run):
        work(Squeezing(), make_dataset())


class InPlace(nn.Module):
    """Normalises the very tensor that it is given."""

    def __init__(self, through_data: bool) -> None:
        super().__init__()
        self.network, self.through_data = network(CLASSES), through_data

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        target = x.data if self.through_data else x  # which tells autograd nothing
        target -= 0.5
        return self.network(x)


@EVERYTHING
@pytest.mark.parametrize("through_data", [False, True])
def test_a_model_that_changes_its_input(work: Work, through_data: bool) -> None:
    with pytest.raises(UserError, match="the model changes its input in place"):
        work(InPlace(through_data), make_dataset())


@EVERYTHING
def test_a_model_of_another_type_than_the_images(work: Work) -> None:
    with pytest.raises(UserError, match=r"the model does not take images, torch.float32 of shape \(\d+, 3, 8, 8\): "):
        work(network(CLASSES).double(), make_dataset())
