"""A backdoored network and its trigger on disk: saved together, and loaded only as the pair that they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from autovul.base.archive import read_arrays
from autovul.base.atomic import whole_file
from autovul.base.checkpoint import digest, load_state, save_state
from autovul.base.errors import UserError
from autovul.vision.marks import Trigger


def stem(options: Any) -> str:
    """``{mark}_tar{target}_alpha{alpha:.2f}_mark({height},{width})``, the name of an attack's files without ending."""
    mark, size = Path(options.mark_path).stem, f"({options.mark_height},{options.mark_width})"
    return f"{mark}_tar{options.target_class}_alpha{options.mark_alpha:.2f}_mark{size}"


def save(
    base: Path, model: nn.Module, trigger: Trigger, options: Mapping[str, Any], made_with: Mapping[str, Any]
) -> None:
    """Write ``{base}.pth`` (the bare state_dict) and ``{base}.npz`` (trigger, options, digest of the weights).

    Each file is whole or not there. The digest tells, should the program be killed between the two, that they do not
    belong together.

    Args:
        base: Path without ending.
        model: The backdoored network.
        trigger: What it answers to.
        options: The attack's, as plain values.
        made_with: Seed and recipe, as plain values.
    """
    state = model.state_dict()
    arrays = trigger.to_arrays()
    arrays["options"] = np.array(json.dumps(dict(options)))
    arrays["made_with"] = np.array(json.dumps(dict(made_with)))
    arrays["weights_sha256"] = np.array(digest(state))
    with whole_file(_with(base, "npz")) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    save_state(_with(base, "pth"), state)


def load(base: Path) -> tuple[dict[str, Tensor], Trigger, dict[str, Any], dict[str, Any]]:
    """Read what `save` wrote: weights, trigger, options, and seed and recipe (of older files none).

    Raises:
        UserError: A file is missing or damaged, or the two are not of one run.
    """
    weights, archive = _with(base, "pth"), _with(base, "npz")
    for path in (weights, archive):
        if not path.is_file():
            raise UserError(f"no saved attack at {path}: run the same command without --validate_only first")
    state = load_state(weights)
    try:
        arrays = read_arrays(archive, (*Trigger.ARRAYS, "options", "made_with", "weights_sha256"))
        trigger, options = Trigger.from_arrays(arrays), json.loads(str(arrays["options"]))
        made_with = json.loads(str(arrays.get("made_with", "{}")))
        expected = str(arrays["weights_sha256"])
    except KeyError as error:
        raise UserError(f"{archive} is no saved trigger: it has no array {error}") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{archive} is damaged or no saved trigger ({' '.join(str(error).split())})") from None
    if digest(state) != expected:
        raise UserError(f"{weights} and {archive} are not of one run: repeat the attack without --validate_only")
    return state, trigger, options, made_with


def _with(base: Path, ending: str) -> Path:
    # Not with_suffix: the name has a dot of its own, in the transparency.
    return base.with_name(f"{base.name}.{ending}")
