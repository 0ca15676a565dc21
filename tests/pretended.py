"""A CUDA device that is only pretended, to find without a GPU what mixes devices and what waits for one.

Its tensors are CPU tensors of a type of their own, which say that they are on ``cuda:0``. What CUDA refuses is refused:
operators over both devices, NumPy, generators of the other device. What makes the host wait for a GPU is counted.

Gradients on their way back are plain tensors but in hooks, and so are those inside `torch.func`: code there is not
looked at. What an operator gives is a view of a plain tensor, so that a gradient's edge is lost where it is overwritten
in place.
"""

from __future__ import annotations

import contextlib
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo  # optimisers import it, and its annotations need the real torch.Generator
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CUDA = torch.device("cuda", 0)
READS = {
    *(
        "__bool__",
        "__contains__",
        "__float__",
        "__format__",
        "__index__",
        "__int__",
        "__repr__",
        "allclose",
        "argwhere",
    ),
    *("bincount", "equal", "is_nonzero", "item", "masked_select", "multinomial", "nonzero", "tolist", "unique"),
}
INDEXING = {"__getitem__", "__setitem__", "index_put", "index_put_"}
BOTH_DEVICES = {"__get__", "__set__", "_has_compatible_shallow_copy_type", "backward", "copy_", "set_data", "type_as"}


class Remote(Tensor):
    """A tensor on the pretended device."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copied = self.detach().clone()
            asks = self.requires_grad
            memo[id(self)] = (
                nn.Parameter(copied, asks) if isinstance(self, nn.Parameter) else copied.requires_grad_(asks)
            )
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _to_host(self).__reduce_ex__(protocol)


class RemoteGenerator(torch.Generator):
    """A generator of the pretended device."""

    def __new__(cls, device: Any = None) -> RemoteGenerator:
        return super().__new__(cls, "cpu")


class PretendedDevice(TorchFunctionMode):
    """What happens on the pretended device.

    Attributes:
        waits: How often the host waited, by operator and the line of the package that asked for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        tensors = [*_tensors((args, kwargs))]
        remote = any(isinstance(tensor, Remote) for tensor in tensors)
        if name == "__get__" and remote:
            answer = {"device": CUDA, "is_cuda": True, "is_cpu": False}.get(func.__self__.__name__)
            if answer is not None:
                return answer
        if name == "pin_memory":
            return args[0]
        with torch._C.DisableTorchFunctionSubclass():
            if name in ("to", "cpu", "cuda"):
                return self._move(name, args, kwargs)
            if kwargs.get("device") is not None:
                return self._make(func, args, kwargs)
            self._check(name, args, kwargs, tensors, remote)
            if name == "register_hook" and remote:
                args = (args[0], self._hook(args[1]))
            result = func(*args, **kwargs)
        return _map(result, _to_device) if remote and name != "__set__" else result

    def _move(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensor, *rest = args
        remote = isinstance(tensor, Remote)
        places = [*rest, kwargs.get("device"), *([name] if name != "to" else [])]
        device = next((each for each in places if isinstance(each, str | int | torch.device)), None)
        device = device if not isinstance(device, bool) else None
        other = next((each for each in rest if isinstance(each, Tensor)), None)
        dtype = next((each for each in (*rest, kwargs.get("dtype")) if isinstance(each, torch.dtype)), None)
        there = isinstance(other, Remote) if other is not None else remote if device is None else _is_remote(device)
        if remote != there and not (there and kwargs.get("non_blocking")):
            self._wait(name)
        layout = {"memory_format": kwargs["memory_format"]} if kwargs.get("memory_format") else {}
        moved = tensor.to(dtype or (other if other is not None else tensor).dtype, copy=remote != there, **layout)
        return _to_device(moved) if there else _to_host(moved)

    def _hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[Tensor], Tensor | None]:
        """On the way back nothing is pretended; within the hook it is again."""

        def within(gradient: Tensor) -> Tensor | None:
            with torch._C._EnableTorchFunction(), self:
                return hook(_to_device(gradient))

        return within

    def _make(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        there = _is_remote(kwargs["device"])
        if there and func in (torch.tensor, torch.as_tensor):
            self._wait(func.__name__)
        generator = kwargs.get("generator")
        if generator is not None and isinstance(generator, RemoteGenerator) != there:
            raise RuntimeError("Expected a generator of the other device")
        if there:
            kwargs["device"] = "cpu"
        return _map(func(*args, **kwargs), _to_device if there else _to_host)

    def _check(self, name: str, args: Any, kwargs: dict[str, Any], tensors: list[Tensor], remote: bool) -> None:
        generator = kwargs.get("generator")
        if generator is not None and tensors and isinstance(generator, RemoteGenerator) != remote:
            raise RuntimeError(f"{name}: expected a generator of the other device")
        if not remote:
            return
        if name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if name in READS:
            self._wait(name)
        if name in INDEXING:
            if any(key.dtype == torch.bool for key in _tensors(args[1])):
                self._wait("a mask")
            if not isinstance(args[0], Remote):
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
            tensors = [*_tensors(args[2:])]  # an index may be on the host
        if name not in BOTH_DEVICES and any(not isinstance(tensor, Remote) and tensor.ndim for tensor in tensors):
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got cuda:0 and cpu")

    def _wait(self, name: str) -> None:
        lines = [f for f in traceback.extract_stack() if "/autovul/" in f.filename.replace("\\", "/")]
        self.waits[f"{name}, {lines[-1].filename}:{lines[-1].lineno}" if lines else name] += 1


@contextlib.contextmanager
def pretended_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedDevice]:
    """Pretend that there is a CUDA device."""
    cuda, plain, fork = torch.cuda, torch.Generator, torch.random.fork_rng
    answers: dict[str, Any] = {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "max_memory_allocated": 1,
        "mem_get_info": (1 << 36, 1 << 36),
        "get_device_name": "pretended",
        "get_device_capability": (9, 0),
        "get_rng_state": torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": None,
        "empty_cache": None,
        "reset_peak_memory_stats": None,
        "synchronize": None,
        "manual_seed_all": None,
        "is_current_stream_capturing": False,
        "is_bf16_supported": True,
        "_lazy_init": None,
    }
    with monkeypatch.context() as patched, PretendedDevice() as device:
        for name, answer in answers.items():
            patched.setattr(cuda, name, lambda *_, answer=answer, **__: answer)
        for name in ("_cuda_graph_capture_health_check", "_accelerator_graph_capture_health_check"):  # asks the driver
            patched.setattr(torch.optim.Optimizer, name, lambda _: None, raising=False)
        patched.setattr(torch, "Generator", lambda at="cpu": RemoteGenerator() if _is_remote(at) else plain(at))
        patched.setattr(torch.random, "fork_rng", lambda devices=(), **kwargs: fork([], **kwargs))
        overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            yield device
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


def _is_remote(device: Any) -> bool:
    return isinstance(device, int) or torch.device(device).type == "cuda"


def _to_device(tensor: Tensor) -> Tensor:
    if isinstance(tensor, nn.Parameter) and not isinstance(tensor, Remote):
        return nn.Parameter(tensor.detach().as_subclass(Remote), tensor.requires_grad)
    return tensor if isinstance(tensor, Remote) else tensor.as_subclass(Remote)


def _to_host(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor) if isinstance(tensor, Remote) else tensor


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)


def _map(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_map(each, function) for each in value))
    if isinstance(value, list | tuple) and any(isinstance(each, Tensor) for each in value):
        return type(value)([_map(each, function) for each in value])
    return value
