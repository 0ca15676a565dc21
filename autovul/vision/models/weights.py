"""Fitting the tensors of a file to a model, and finding files of weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from autovul.base.checkpoint import load_state
from autovul.base.errors import UserError, nearest
from autovul.vision.models.registry import Parts, networks

State = dict[str, torch.Tensor]

WRAPPERS = ("module.", "_orig_mod.")
AUXILIARY = "auxiliary_head."


def fitting(path: str | Path, own: State, title: str, *, has_head: bool) -> State:
    """A file's tensors, for a model to load.

    Prefixes that DDP and ``torch.compile`` put before every key are dropped, and any other (such as Lightning's
    ``model.``) without which the keys are the model's. So are an auxiliary head's tensors where the model has no such
    head; where it has one and the file does not, the head's own stand in.

    Args:
        path: The file.
        own: The model's ``state_dict``.
        title: What error messages call the model.
        has_head: Whether the model has an auxiliary head of the project's kind.

    Raises:
        UserError: The file is missing or damaged, or does not fit.
    """
    state = _unwrapped(load_state(path), own)
    own_head, its_head = ({key for key in keys if key.startswith(AUXILIARY)} for keys in (own, state))
    if not own_head:
        state = {key: value for key, value in state.items() if key not in its_head}
    elif has_head and not its_head:
        state |= {key: own[key] for key in own_head}
    differences = _differences(state, own)
    if differences:
        shown = "; ".join(differences[:3]) + (f"; {len(differences) - 3} more" if len(differences) > 3 else "")
        raise UserError(f"{path} does not fit {title}: {shown}{_resemblance(state)}")
    return state


def as_loaded(state: State, *, auxiliary: bool) -> State:
    """A file's tensors as a network takes them: without prefixes, and in single precision.

    Args:
        state: As read.
        auxiliary: Whether the network has an auxiliary head, which else is left out.
    """
    for prefix in WRAPPERS * 2:  # one may stand within another
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in state.items()
        if auxiliary or not key.startswith(AUXILIARY)
    }


def bared(state: State) -> Iterator[State]:
    """A state as it is, then without each prefix, up to a dot, that all of its keys have."""
    shared = os.path.commonprefix([*state])
    for end in (0, *(place + 1 for place, letter in enumerate(shared) if letter == ".")):
        yield {key[end:]: value for key, value in state.items()}


def model_path(model_dir: str | Path, dataset: str, name: str, suffix: str = "") -> Path:
    """Where a model's weights belong: ``{model_dir}/image/{dataset}/{name}{suffix}.pth``."""
    return Path(model_dir) / "image" / dataset / f"{name}{suffix}.pth"


def find_pretrained(model_dir: str | Path, dataset: str, name: str, suffix: str = "", flags: str | None = None) -> Path:
    """The file of a model's weights, which is there.

    Args:
        model_dir: The folder of models.
        dataset: Name of the data set.
        name: Canonical name of the model.
        suffix: What follows the name.
        flags: How the training command in the error message names the model, ``-m {name}`` by default.

    Raises:
        UserError: There is no such file; the message says how to make or where to put it.
    """
    path = model_path(model_dir, dataset, name, suffix)
    if path.is_file():
        return path
    command = f"python -m autovul.train {flags or f'-m {name}'} -d {dataset}" + (
        f" --suffix={suffix}" if suffix else ""
    )
    found = nearest(path.name, (item.name for item in path.parent.glob("*.pth")))
    raise UserError(
        f"no weights at {path}{found}: train them with `{command}`, or put weights at that path "
        "(the authors' published ones; the state_dict of a network of your own)"
    )


def _unwrapped(state: State, own: State) -> State:
    while state and state.keys() != own.keys():
        for prefix in WRAPPERS:
            if all(key.startswith(prefix) for key in state):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
                break
        else:
            break
    for each in bared(state):  # an auxiliary head may be in one of the two only
        if _without_head(each) == _without_head(own):
            return each
    return state


def _without_head(state: State) -> set[str]:
    return {key for key in state if not key.startswith(AUXILIARY)}


def _differences(state: State, own: State) -> list[str]:
    shapes = [
        f"{key} has shape {tuple(state[key].shape)} in place of {tuple(value.shape)}"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    kinds = [
        f"{key} holds no {'floating-point' if value.is_floating_point() else 'whole'} numbers in a dense tensor"
        for key, value in own.items()
        if key in state and not _alike(state[key], value)
    ]
    missing = [f"{key} is missing" for key in own if key not in state]
    unknown = [f"{key} is not known" for key in state if key not in own]
    return [*shapes, *kinds, *missing, *unknown]


def _alike(found: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether a file's tensor can stand for a model's own but for its shape and precision."""
    floating = found.is_floating_point() == own.is_floating_point()
    return floating and not found.is_complex() and found.layout == torch.strided and found.device.type != "meta"


def _resemblance(state: State) -> str:
    """Which registered network a file's tensors are of, as a clause that ends a message, or an empty string."""
    last = next((value for key, value in reversed(state.items()) if key.startswith("classifier.")), None)
    if last is None or not last.shape:
        return ""
    num_classes, shapes = last.shape[0], {key: value.shape for key, value in state.items()}
    # A cell network has cells, and only such a one is built from layers: this halves the wait.
    holds_cells = any(key.startswith("features.cells.") for key in shapes)
    entries = [networks.get(name) for name in networks.list()]
    candidates = [entry for entry in entries if ("layers" in entry.takes) == holds_cells]
    with torch.device("meta"):
        alike = [entry.name for entry in candidates if _shapes(entry(num_classes, (3, 32, 32))) == shapes]
    return f"; the file looks like {' or '.join(alike)} with {num_classes} classes" if alike else ""


def _shapes(parts: Parts) -> dict[str, torch.Size]:
    """Those of a composed model's tensors, by their keys."""
    held = {"features": parts.features, "classifier": parts.classifier}
    return {f"{part}.{key}": value.shape for part, module in held.items() for key, value in module.state_dict().items()}
