"""PGD of autovul, of libraries and of the plain loop, on one network and the same images; NES; the minimum-norm attack.

    python benchmarks/evasion.py resnet18_comp darts --batch 64
    python benchmarks/evasion.py resnet18_comp --only nes --batch 8

The floor is the forward and backward passes alone: one of each a step, for the gradient with respect to the images; for
NES its forward passes; for the fast minimum-norm attack one more forward pass. What stops early is measured on a
network that has been trained on handwritten digits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from timing import Record, begin, installed, parser
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from autovul.base.progress import Progress
from autovul.base.trainer import Trainer, TrainingOptions
from autovul.vision import attacks, datasets, models
from autovul.vision.attacks.art_engine import prepare_art
from autovul.vision.models.quick import quick

STEPS = 7
KINDS = ("plain", "stop", "nes", "fmn")
Side = Callable[[], Tensor]


def passes(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    """The floor: as many forward and backward passes as the attack has steps."""
    for _ in range(STEPS):
        x = images.detach().requires_grad_()
        torch.autograd.grad(cross_entropy(model(x), target), x)
    return images


def three_forwards(model: nn.Module, images: Tensor, target: Tensor, eps: float, alpha: float) -> Tensor:
    """The plain loop with a success check: confidence, class and gradient each ask the network anew."""
    x = images.clone()
    for _ in range(STEPS):
        with torch.no_grad():
            done = model(x).softmax(1).gather(1, target[:, None]).squeeze(1) > 0.99
            done &= model(x).argmax(1) == target
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(model(x), target), x)
        moved = images + (x.detach() - alpha * gradient.sign() - images).clamp(-eps, eps)
        x = torch.where(done[:, None, None, None], x.detach(), moved.clamp(0, 1))
    return x


def libraries(model: nn.Module, images: Tensor, target: Tensor, eps: float, alpha: float) -> dict[str, Side]:
    """The same PGD by those libraries that are installed."""
    sides: dict[str, Side] = {}
    for name in installed("foolbox", "torchattacks", "art"):
        sides[name] = LIBRARIES[name](model, images, target, eps, alpha)
    return sides


def _foolbox(model: nn.Module, images: Tensor, target: Tensor, eps: float, alpha: float) -> Side:
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=alpha, steps=STEPS, random_start=False)
    criterion = foolbox.criteria.TargetedMisclassification(target)
    return lambda: attack.run(wrapped, images, criterion, epsilon=eps)


def _foolbox_fmn(model: nn.Module, images: Tensor, labels: Tensor) -> Side:
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    attack, criterion = foolbox.attacks.LInfFMNAttack(steps=STEPS), foolbox.criteria.Misclassification(labels)
    return lambda: attack.run(wrapped, images, criterion)


def _torchattacks(model: nn.Module, images: Tensor, target: Tensor, eps: float, alpha: float) -> Side:
    import torchattacks

    attack = torchattacks.PGD(model, eps=eps, alpha=alpha, steps=STEPS, random_start=False)
    attack.set_mode_targeted_by_label(quiet=True)
    return lambda: attack(images, target)


def _art(model: nn.Module, images: Tensor, target: Tensor, eps: float, alpha: float) -> Side:
    prepare_art()
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    shape, classes = tuple(images.shape[1:]), model(images[:1]).shape[1]
    kind = "gpu" if images.is_cuda else "cpu"
    classifier = PyTorchClassifier(model, nn.CrossEntropyLoss(), shape, classes, clip_values=(0, 1), device_type=kind)
    attack = ProjectedGradientDescent(
        classifier, eps=eps, eps_step=alpha, max_iter=STEPS, targeted=True, batch_size=len(images), verbose=False
    )
    pixels, wanted = images.cpu().numpy(), torch.eye(classes)[target.cpu()].numpy()
    return lambda: torch.from_numpy(attack.generate(pixels, wanted))


LIBRARIES = {"foolbox": _foolbox, "torchattacks": _torchattacks, "art": _art}


def plain_pgd(record: Record, name: str, batch: int, device: torch.device) -> None:
    """Every step taken, nothing checked."""
    model, images, target, eps, alpha = *setting(name, batch, device), 8 / 255, 2 / 255
    ours = attacks.create("pgd", iteration=STEPS, pgd_eps=eps, pgd_alpha=alpha, stop_threshold=None)
    sides: dict[str, Side] = {
        "floor: forward and backward passes": lambda: passes(model, images, target),
        "autovul": lambda: ours.perturb(model, images, target)[0],
        "autovul, stored as adv_attack does": lambda: ours.perturb(quick(model), images, target)[0],
        "plain loop, three forward passes": lambda: three_forwards(model, images, target, eps, alpha),
        **libraries(model, images, target, eps, alpha),
    }
    record.compare(f"PGD, {STEPS} steps, {name}", sides, [*sides][0], units=batch, unit="images")
    reference = sides["autovul"]()
    for side in LIBRARIES.keys() & sides.keys():
        apart = ((sides[side]().to(device) - reference).abs() > 0.5 / 255).float().mean().item()
        record.note(f"pixels in which {side} differs from autovul: {apart:.2%}", library=side, apart=apart)


def stopping_pgd(record: Record, name: str, batch: int, device: torch.device, trained_for: int) -> None:
    """With the stop condition, on a network that has learnt something."""
    dataset = datasets.create("digits")
    model = models.create(name, dataset=dataset)
    train = dataset.train_batches(32, device, seed=0)
    options = TrainingOptions(epoch=trained_for, precision="auto", lr=0.02, grad_clip=5.0)
    Trainer(options, device=device, seed=0, progress=Progress("off")).fit(model, train)
    images = dataset.valid.pixels(slice(batch)).to(device)
    settings = {"iteration": STEPS, "pgd_eps": 48 / 255, "pgd_alpha": 12 / 255}
    stop = attacks.create("pgd", **settings, require_class=True)
    with torch.no_grad():
        target = stop.choose_target(model(images))
    taken = stop.perturb(model, images, target)[1]
    sides: dict[str, Side] = {
        "floor: forward and backward passes": lambda: passes(model, images, target),
        "autovul, stopping": lambda: stop.perturb(model, images, target)[0],
        "plain loop, three forward passes": lambda: three_forwards(model, images, target, 48 / 255, 12 / 255),
    }
    record.compare(f"PGD with a stop condition, {name}, digits", sides, [*sides][0], units=batch, unit="images")
    share, steps = (taken >= 0).float().mean().item(), taken[taken >= 0].float().mean().item()
    record.note(f"{share:.0%} of the images stopped, after {steps:.1f} steps on average", share=share, steps=steps)


def nes(record: Record, name: str, batch: int, device: torch.device) -> None:
    """One step of NES with 100 queries an image."""
    model, images, target = setting(name, batch, device)
    attack = attacks.create("pgd", iteration=1, grad_method="nes", query_num=100, stop_threshold=None)
    queries = images.repeat(100, 1, 1, 1)

    def forward() -> Tensor:
        with torch.no_grad():
            return torch.cat([model(part) for part in queries.split(64 if device.type == "cpu" else 512)])

    sides = {"floor: forward passes": forward, "autovul": lambda: attack.perturb(model, images, target)[0]}
    record.compare(f"NES, 100 queries, {name}", sides, [*sides][0], units=100 * batch, unit="queries")


def minimum_norm(record: Record, name: str, batch: int, device: torch.device) -> None:
    """The distance to the nearest adversarial example, in L-infinity."""
    model, images, _ = setting(name, batch, device)
    with torch.no_grad():
        labels = model(images).argmax(1)
    attack = attacks.create("fmn", iteration=STEPS)

    def floor() -> Tensor:
        passes(model, images, labels)
        with torch.no_grad():
            return model(images)

    sides: dict[str, Side] = {
        "floor: forward and backward passes": floor,
        "autovul": lambda: attack.perturb(model, images, labels)[0],
    }
    if installed("foolbox"):
        sides["foolbox"] = _foolbox_fmn(model, images, labels)
    record.compare(f"FMN, {STEPS} steps, {name}", sides, [*sides][0], units=batch, unit="images")


def setting(name: str, batch: int, device: torch.device) -> tuple[models.ImageModel, Tensor, Tensor]:
    """A network, random images, and their least likely classes."""
    model = models.create(name).to(device)
    images = torch.rand(batch, 3, 32, 32, device=device)
    with torch.no_grad():
        return model, images, model(images).argmin(1)


def main() -> None:
    """Measure."""
    made = parser(__doc__, ["resnet18_comp", "darts"])
    made.add_argument("--batch", type=int, default=64)
    made.add_argument("--only", choices=KINDS, nargs="+", default=[*KINDS])
    made.add_argument("--epochs", type=int, default=3, help="training before the attack that stops early")
    arguments: argparse.Namespace = made.parse_args()
    device = begin(arguments)
    record = Record(arguments, device)
    for name in arguments.models:
        if "plain" in arguments.only:
            plain_pgd(record, name, arguments.batch, device)
        if "stop" in arguments.only:
            stopping_pgd(record, name, arguments.batch, device, arguments.epochs)
        if "nes" in arguments.only:
            nes(record, name, max(1, arguments.batch // 8), device)
        if "fmn" in arguments.only:
            minimum_norm(record, name, arguments.batch, device)
    record.save()


if __name__ == "__main__":
    main()
