"""Mixed precision: what was asked for, what the device can do, and what is in effect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from autovul.base.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# By device, the arithmetic in which convolutions may be stored channels last.
LAID_OUT = {"cpu": ("fp32", "bf16"), "cuda": ("bf16", "fp16")}


@dataclass(frozen=True)
class Precision:
    """The arithmetic in effect on a device.

    Args:
        effective: ``fp32``, ``bf16`` or ``fp16``.
        device_type: Of the device.
        channels_last: Whether convolutions are stored channels last.
    """

    effective: str
    device_type: str
    channels_last: bool = False

    @contextlib.contextmanager
    def layout(self, model: nn.Module) -> Iterator[None]:
        """The model stored as is fastest inside the block; afterwards as PyTorch stores it."""
        if not self.channels_last:
            yield
            return
        model.to(memory_format=torch.channels_last)
        try:
            yield
        finally:
            model.to(memory_format=torch.contiguous_format)

    def autocast(self) -> AbstractContextManager[object]:
        """The context for a forward pass and its loss, in which every pass casts the weights anew.

        In older torch (2.6 is one) casts kept from a pass without gradients would leave a later pass of the step
        without a way back to the weights (PyTorch issues 105211 and 112583).
        """
        mixed, dtype = self.effective != "fp32", DTYPES[self.effective]
        return torch.autocast(self.device_type, dtype if mixed else None, enabled=mixed, cache_enabled=False)

    def scaler(self) -> torch.amp.GradScaler:
        """The loss scaler: active for fp16 only, whose gradients would otherwise vanish."""
        return torch.amp.GradScaler(self.device_type, enabled=self.effective == "fp16")


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions in fp32 as they are meant: PyTorch lets them round to TF32's ten bits on GPUs by default.

    Whoever has chosen otherwise for each operator, by the names that torch has for that since 2.9, is left alone.
    """
    cudnn = torch.backends.cudnn
    try:
        was_allowed = cudnn.allow_tf32
    except RuntimeError:  # what torch says to those who have used the newer names
        was_allowed = False
    if was_allowed:
        cudnn.allow_tf32 = False
    try:
        yield
    finally:
        if was_allowed:
            cudnn.allow_tf32 = True


def resolve_precision(wanted: str, device: torch.device, model: nn.Module) -> Precision:
    """The `effective_precision` of a training, and how convolutions are stored in it, see `gains_by_channels_last`."""
    effective = effective_precision(wanted, device, model)
    return Precision(effective, device.type, gains_by_channels_last(model, device, effective))


def effective_precision(wanted: str, device: torch.device, model: nn.Module | None = None) -> str:
    """Turn a wish into the arithmetic in effect: ``fp32``, ``bf16`` or ``fp16``.

    ``auto`` is bf16 on CUDA devices that compute it natively (compute capability 8.0 and later) and on CPUs with
    AVX512-BF16 or AMX instructions, there only for networks that are not `_depthwise`; elsewhere it is fp32.

    Args:
        wanted: ``fp32``, ``auto``, ``bf16`` or ``fp16``.
        device: Where the model is.
        model: Whose arithmetic it is; none: ``auto`` looks at the device alone.

    Raises:
        ValueError: ``wanted`` is none of the four.
        UserError: bf16 was asked for on a CUDA device that only emulates it.
    """
    if wanted not in {*DTYPES, "auto"}:
        raise ValueError(f"precision must be fp32, auto, bf16 or fp16, got {wanted!r}")
    if wanted == "bf16" and device.type == "cuda" and not _native_bf16(device):
        raise UserError(f"{torch.cuda.get_device_name(device)} has no bf16; use precision fp16 or fp32")
    if wanted == "auto":
        loses = device.type == "cpu" and model is not None and _depthwise(model)
        return "bf16" if _native_bf16(device) and not loses else "fp32"
    return wanted


def gains_by_channels_last(model: nn.Module, device: torch.device, precision: str = "fp32") -> bool:
    """Whether convolutions are stored channels last, which is mostly faster, in the arithmetic of `LAID_OUT`.

    Only in a network whose method ``takes_channels_last`` says that it computes the same then. Not in one with group
    norm, whose kernel is made for the other layout; on CUDA devices also not in one with grouped convolutions, for the
    same reason. For CPUs the rule is measured on the paper's 20 networks (benchmarks/README.md),
    for CUDA devices it is not. On a CPU a network with a convolution that is `_miscomputed` so is left as it is.

    Args:
        model: The network.
        device: Where it is.
        precision: The arithmetic in effect: ``fp32``, ``bf16`` or ``fp16``.
    """
    convolutions, on_cpu = _convolutions(model), device.type == "cpu"
    if not convolutions or precision not in LAID_OUT.get(device.type, ()):
        return False
    if on_cpu and any(_miscomputed(convolution, precision == "bf16") for convolution in convolutions):
        return False
    if any(isinstance(module, nn.GroupNorm) for module in model.modules()):
        return False
    if not on_cpu and any(convolution.groups > 1 for convolution in convolutions):
        return False
    takes = getattr(model, "takes_channels_last", None)
    return takes is not None and takes()


def _convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def _depthwise(model: nn.Module) -> bool:
    """Whether a network's grouped convolutions are all depthwise, as in searched cells, which a CPU computes in fp32.

    On the one kind of CPU where it was measured (Zen 4), full-size cell networks are in bf16 a tenth faster to a third
    slower, and narrow ones up to twice as slow (benchmarks/README.md). It goes by the groups alone, so that a ResNeXt
    of a sixteenth of the width, which is faster in bf16, is taken for one.
    """
    grouped = [convolution for convolution in _convolutions(model) if convolution.groups > 1]
    return bool(grouped) and all(convolution.groups == convolution.in_channels for convolution in grouped)


def _miscomputed(convolution: nn.Conv2d, bf16: bool) -> bool:
    """Whether oneDNN computes the gradient of a convolution's weights wrongly on some CPUs, stored channels last.

    Found by comparing random convolutions with PyTorch's own kernels. Dilated, in bf16, on maps 29 pixels wide and more
    (AVX512-BF16; torch 2.6 and 2.14), it is made of memory that nothing was written to, and other each time. With
    strides, filters of one pixel and fewer channels than a register holds, in fp32 (two to seven with AVX2; up to
    fifteen with AVX512, where it crashes from 48 pixels a side on; torch 2.14), it is written beside its place, as in
    oneDNN's issue 6035. Either may also crash. Not told from a network, and so not looked for: in bf16, a stride larger
    than the map.
    """
    if bf16 and max(convolution.dilation) > 1:
        return True
    is_point = convolution.groups == 1 and convolution.kernel_size == (1, 1)
    return is_point and max(convolution.stride) > 1 and convolution.in_channels < 16


def _native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(probe() for name in names if (probe := getattr(torch.cpu, name, None)))
    return False
