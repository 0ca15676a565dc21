"""Options: declared once, typed and bounded; flags, YAML checks, help and documentation derive from them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pydantic
from pydantic import ConfigDict, Field, ValidationError, model_validator

from autovul.base.errors import UsageError, nearest


class OptionError(UsageError, ValueError):
    """An option's value is not allowed, or no option has this name.

    Args:
        message: One line.
        option: The name of the option; "" when the violated rule concerns several.
        rule: What a class's own rule says; "" when the value has the wrong type or is out of bounds.
    """

    def __init__(self, message: str, *, option: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.option = option
        self.rule = rule


def option(
    default: Any,
    help: str,
    *,
    flags: tuple[str, ...] = (),
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    min_length: int | None = None,
    positional: bool = False,
    needs: str = "",
) -> Any:
    """Declare one field of an `Options` class.

    Args:
        default: The value where nobody says otherwise.
        help: One sentence for ``-h`` and the documentation.
        flags: Short forms beside ``--name``, such as ``("-d",)``.
        unit: The unit of a number, shown in the help.
        ge, gt, le, lt: Bounds of a number (at least, above, at most, below).
        min_length: The least length of a list or text.
        positional: A list that the command line takes as words without a flag; one a command.
        needs: Another option of the command, without which this one does nothing, or with the values of which it does
            something (``sampling=adaptive``, several joined by |; a list has to hold one of them); its flag is refused
            otherwise.
    """
    extra: dict[str, Any] = {"flags": list(flags), "unit": unit, "positional": positional, "needs": needs}
    return Field(default, description=help, ge=ge, gt=gt, le=le, lt=lt, min_length=min_length, json_schema_extra=extra)


class Options(pydantic.BaseModel):
    """A frozen group of options. Constructing it checks every value; a violation is one line.

    Whole numbers serve as floats, lists, ranges and arrays as tuples, NumPy scalars as Python's, and paths as text or
    text as a path; nothing else is converted, and neither NaN nor an infinity is a number here.

    Raises:
        OptionError: For an unknown name (with the nearest ones), a wrong type, or a value out of range.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0]) if first["loc"] else ""
            raise OptionError(
                f"{type(self).__name__}: {_explained(first, name, type(self))}",
                option=name,
                rule=first["msg"].removeprefix("Value error, ") if first["type"] == "value_error" else "",
            ) from None

    @model_validator(mode="before")
    @classmethod
    def _plain_values(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        return {name: _as_declared(kinds.get(name), _plain(value)) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | range):
        return tuple(map(_plain, value))
    return _plain(value.tolist()) if hasattr(value, "tolist") else value  # NumPy's scalars and arrays, tensors


def _as_declared(annotation: Any, value: Any) -> Any:
    kinds = get_args(annotation) or (annotation,)
    if isinstance(value, str) and Path in kinds:
        return Path(value)
    return os.fspath(value) if isinstance(value, os.PathLike) and str in kinds else value


def _explained(first: Mapping[str, Any], name: str, options: type[Options]) -> str:
    """A violation as ``name: what is allowed, got value``."""
    if first["type"] == "extra_forbidden":
        return f"no option {name!r}{nearest(name, options.model_fields)}"
    message = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if first["type"] in {"value_error", "missing"}:
        return f"{name}: {message}" if name else message
    return f"{name} must be {message}, got {first['input']!r}"
