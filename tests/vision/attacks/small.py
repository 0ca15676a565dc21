"""Every attack in small: its options, for `patches`."""

from __future__ import annotations

from typing import Any

from tests.vision.attacks import backdoors

OPTIONS: dict[str, dict[str, Any]] = {
    "pgd": {"test_num": 12, "pgd_eps": 0.2, "pgd_alpha": 0.1, "num_restart": 1, "target_idx": 1},
    "fmn": {"test_num": 12, "iteration": 10},
    "hop_skip_jump": {"test_num": 6, "max_queries": 300},
    "poison_random": {"poison_percent": (0.0, 0.3)},
    "poison_basic": {"test_num": 2},
    **{name: {**backdoors.OPTIONS, **extra} for name, extra in backdoors.EXTRA.items()},
    "knockoff": {"nb_stolen": (20, 40), "label_mode": "soft"},
    "membership": {"sample_num": 5, "max_iter": 2, "init_size": 10, "confidence_filter": "none"},
}
