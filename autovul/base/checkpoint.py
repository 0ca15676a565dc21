"""Weights and training states on disk: written whole or not at all, verified before they are read."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autovul.base.atomic import whole_file
from autovul.base.errors import UserError

MAGIC = b"autovul training state 1\n"
DIGEST_LENGTH = 64  # hexadecimal digits of SHA-256
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")


def save_state(path: str | Path, state: Mapping[str, Tensor]) -> None:
    """Write a bare ``state_dict`` in PyTorch's zip format, in one step.

    Args:
        path: The file; parent folders are made, a file already there is replaced.
        state: Tensors by name, on any device; stored as contiguous CPU tensors.

    Raises:
        UserError: The file cannot be written (a full disk, no permission); what was there before is left as it was.
    """
    content = io.BytesIO()
    torch.save({name: _compact(tensor) for name, tensor in state.items()}, content)
    with whole_file(path) as file:
        file.write(content.getvalue())


def load_state(path: str | Path) -> dict[str, Tensor]:
    """Read a ``state_dict`` onto the CPU, without running anything that the file may hold.

    The checksums of the zip archive, which PyTorch writes but does not check, are verified first. Files of PyTorch
    before 1.6 carry none and are read without. A state under the key ``state_dict``, ``model_state_dict``, ``model``
    or ``net`` of a larger dictionary is found as well.

    Raises:
        UserError: The file is missing, truncated, damaged, holds something else than tensors by name, or would run
            code. The message names the file.
    """
    content = _read(path, "weights")
    return _tensors_by_name(path, _unpickle(path, _verified(path, content)))


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in hexadecimal: the same weights, the same digest.

    The order of the tensors does not matter.
    """
    sha = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        plain = tensor.detach().cpu().contiguous()
        sha.update(f"{name} {plain.dtype} {tuple(plain.shape)};".encode())
        sha.update(plain.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a full training state with its SHA-256, in one step; the state before stays until the new one is whole.

    Args:
        path: The file; parent folders are made.
        state: Tensors, numbers, texts, and lists, tuples and dictionaries of them.

    Raises:
        UserError: The file cannot be written; what was there before is left as it was.
    """
    content = io.BytesIO()
    torch.save(dict(state), content)
    checksum = hashlib.sha256(content.getvalue()).hexdigest()
    with whole_file(path) as file:
        file.write(MAGIC + checksum.encode() + b"\n")
        file.write(content.getvalue())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a training state onto the CPU, after its SHA-256 was verified.

    Raises:
        UserError: The file is missing, is no training state, or a byte of it has changed. The message names the file.
    """
    content = _read(path, "training state")
    start = len(MAGIC) + DIGEST_LENGTH + 1
    if not content.startswith(MAGIC):
        raise UserError(f"{path} is not a training state of this version, or its beginning is damaged")
    checksum, payload = content[len(MAGIC) : start], memoryview(content)[start:]
    if checksum != hashlib.sha256(payload).hexdigest().encode() + b"\n":
        raise UserError(f"{path} is damaged: its SHA-256 does not fit; delete it and start from scratch")
    state = _unpickle(path, payload)
    if not isinstance(state, dict):
        raise UserError(f"{path} holds {_describe(state)}, not a training state")
    return state


def _compact(tensor: Tensor) -> Tensor:
    """A copy that owns exactly its numbers: a slice would be stored with all that it was cut from."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _read(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"no {what} at {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a file of {what}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None


def _verified(path: str | Path, content: bytes) -> bytes:
    """The archive, rebuilt from entries whose checksums fit; what is no archive stays as it is.

    Rebuilding leaves PyTorch's own reader of archives nothing to stumble over: it believes headers that no checksum
    covers, and one changed bit there makes it give zeros for a tensor.
    """
    if not content:
        raise UserError(f"{path} is empty")
    if not (content.startswith(b"PK") or zipfile.is_zipfile(io.BytesIO(content))):
        return content
    rebuilt = io.BytesIO()
    scripted = False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(rebuilt, "w") as copy:
            scripted = any("/code/" in name for name in archive.namelist())
            for entry in archive.infolist():
                # PyTorch never compresses: a compressed entry is foreign, and may unfold without bound.
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise zipfile.BadZipFile
                copy.writestr(zipfile.ZipInfo(entry.filename), archive.read(entry))
    except Exception:  # damaged headers surface as many kinds of exceptions
        if scripted:
            raise UserError(f"{path} is a TorchScript file, or a damaged one: save the model's state_dict()") from None
        raise UserError(f"{path} is truncated or damaged: the checksums of the archive do not fit") from None
    return rebuilt.getvalue()


def _unpickle(path: str | Path, content: bytes | memoryview) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of foreign pickle protocols: whether they are read is said below
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes surface as many kinds of exceptions
        refused = re.search(r"(?:GLOBAL|[Cc]lass|function) ([\w.]+\.[\w.]+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and refused:
            name = refused[1].rstrip(".")
            raise UserError(
                f"{path} is refused: it refers to {name}, and only tensors are loaded, never code; save the model's "
                "state_dict()"
            ) from None
        raise UserError(f"{path} is damaged or was not written by PyTorch") from None


def _tensors_by_name(path: str | Path, found: Any) -> dict[str, Tensor]:
    if isinstance(found, dict):
        for key in WRAPPERS:
            if isinstance(found.get(key), dict):
                found = found[key]
                break
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path} holds {_describe(found)}, not tensors by name (a state_dict)")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(f"{path} holds {_describe(tensor)} under {name!r}, not tensors by name (a state_dict)")
    return dict(found)


def _describe(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    if isinstance(found, (dict, list, tuple)):
        return f"a {type(found).__name__} of {len(found)} entries"
    return f"{found!r} ({type(found).__name__})" if isinstance(found, (int, float, str)) else type(found).__name__
