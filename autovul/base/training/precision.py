"""Mixed precision: what was asked for, what the device can do, and what is in effect."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from autovul.base.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """The arithmetic in effect on a device: ``fp32``, ``bf16`` or ``fp16``."""

    effective: str
    device_type: str

    def autocast(self) -> AbstractContextManager[object]:
        """The context for a forward pass and its loss."""
        mixed = self.effective != "fp32"
        return torch.autocast(self.device_type, dtype=DTYPES[self.effective] if mixed else None, enabled=mixed)

    def scaler(self) -> torch.amp.GradScaler:
        """The loss scaler: active for fp16 only, whose gradients would otherwise vanish."""
        return torch.amp.GradScaler(self.device_type, enabled=self.effective == "fp16")


def resolve_precision(wanted: str, device: torch.device) -> Precision:
    """Turn a wish into the precision in effect.

    ``auto`` is bf16 on CUDA devices that compute it natively (compute capability 8.0 and later) and on CPUs with
    AVX512-BF16 or AMX instructions, and fp32 elsewhere.

    Args:
        wanted: ``fp32``, ``auto``, ``bf16`` or ``fp16``.
        device: Where the model is.

    Raises:
        ValueError: ``wanted`` is none of the four.
        UserError: bf16 was asked for on a CUDA device that only emulates it.
    """
    if wanted not in {*DTYPES, "auto"}:
        raise ValueError(f"precision must be fp32, auto, bf16 or fp16, got {wanted!r}")
    if wanted == "auto":
        return Precision("bf16" if _native_bf16(device) else "fp32", device.type)
    if wanted == "bf16" and device.type == "cuda" and not _native_bf16(device):
        raise UserError(f"{torch.cuda.get_device_name(device)} has no bf16; use precision fp16 or fp32")
    return Precision(wanted, device.type)


def _native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(probe() for name in names if (probe := getattr(torch.cpu, name, None)))
    return False
