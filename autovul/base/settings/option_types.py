"""What an option's declared type means: how its text reads, what is allowed in plain words, how a value is shown."""

from __future__ import annotations

import re
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
LONGEST_NUMBER = 400
_SHOWN_LENGTH = 60
_LONG_FLOAT = 6  # digits from which a pixel step reads better as a fraction: 8/255, not 0.03137254901960784
# A union is tried from the narrowest kind to the widest: any text is a `str`, so `str` comes last.
_ORDER = ("choice", "none", "switch", "whole", "number", "list", "path", "text")
_PLAIN_KINDS = {type(None): "none", bool: "switch", int: "whole", float: "number", Path: "path", str: "text"}


def members(annotation: Any) -> list[Any]:
    """The types that a declaration unites, narrowest first: ``float | None`` gives ``[None, float]``.

    Raises:
        TypeError: A type that an option cannot have.
    """
    united = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return sorted(united, key=lambda member: _ORDER.index(kind(member)))


def kind(member: Any) -> str:
    """Which of the kinds of value one type is: choice, none, switch, whole, number, list, path or text."""
    plain = _bare(member)
    if get_origin(plain) is Literal:
        return "choice"
    if get_origin(plain) is tuple:
        return "list"
    if plain in _PLAIN_KINDS:
        return _PLAIN_KINDS[plain]
    raise TypeError(f"an option cannot have the type {member!r}")


def is_switch(annotation: Any) -> bool:
    """Whether an option is on or off, so that its flag takes no value."""
    return {kind(member) for member in members(annotation)} - {"none"} == {"switch"}


def choices(annotation: Any) -> list[str]:
    """The words that an option's literals allow."""
    return [str(choice) for member in members(annotation) if kind(member) == "choice" for choice in get_args(member)]


def read_text(annotation: Any, text: str) -> Any:
    """The value that text on the command line stands for; text that fits no kind comes back as it is, to be refused."""
    for member in members(annotation):
        match kind(member):
            case "choice":
                for choice in get_args(_bare(member)):
                    if text == str(choice):
                        return choice
            case "none" if text.lower() == "none":
                return None
            case "switch" if text in ("true", "false"):
                return text == "true"
            case "whole" if INTEGER.fullmatch(text) and len(text) < LONGEST_NUMBER:
                return int(text)
            case "number" if NUMBER.fullmatch(text) or _fraction(text) is not None:
                return float(text) if NUMBER.fullmatch(text) else _fraction(text)
            case "list":
                return read_words(member, text.split(",") if text else [])
            case "path":
                return Path(text)
            case "text":
                return text
    return text


def read_words(annotation: Any, words: Sequence[str]) -> tuple[Any, ...]:
    """The value of a list whose elements are given one by one."""
    types_ = _element_types(annotation, len(words))
    return tuple(read_text(type_, word.strip()) for type_, word in zip(types_, words, strict=True))


def read_yaml(annotation: Any, value: Any) -> Any:
    """The value that YAML's scalar or list stands for: itself, but for fractions, ``none``, paths and lists."""
    for member in members(annotation):
        match kind(member), value:
            case "none", str() if value.lower() == "none" and value not in choices(annotation):
                return None
            case "number", str() if _fraction(value) is not None:
                return _fraction(value)
            case "list", list():
                types_ = _element_types(member, len(value))
                return tuple(read_yaml(type_, item) for type_, item in zip(types_, value, strict=True))
            case "path", str():
                return Path(value)
    return value


def describe(annotation: Any, bounds: Sequence[Any] = ()) -> str:
    """What an option allows, in plain words: ``a number above 0 or none``.

    Args:
        annotation: The declared type.
        bounds: The declaration's metadata: objects with any of ``ge``, ``gt``, ``le``, ``lt``, ``min_length``.
    """
    parts = [_describe_member(member, bounds) for member in members(annotation)]
    named = sorted(parts, key=lambda part: part == "none")
    return " or ".join(named)


def show(value: Any) -> str:
    """A value as a user would type it."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case tuple() | list():
            return ",".join(show(item) for item in value) or "''"
        case "":
            return "''"
        case float() if abs(value) < 1 and len(repr(value)) > _LONG_FLOAT and round(value * 255) / 255 == value:
            return f"{round(value * 255)}/255"
    return str(value)


def quote(text: str) -> str:
    """A user's own text inside a message: bare when it is a number, else quoted, and never long or of several lines."""
    return shorten(text if NUMBER.fullmatch(text) or _fraction(text) is not None else repr(text))


def is_unicode(text: str) -> bool:
    """Whether text can be written as UTF-8. The name of a file that holds other bytes cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shorten(text: str) -> str:
    """Text that fits into a message of one line."""
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def metavar(annotation: Any) -> str:
    """The word that stands for an option's value in its help."""
    words = {"choice": "NAME", "whole": "N", "number": "X", "list": "A,B,…", "path": "PATH", "text": "TEXT"}
    kinds = [kind(member) for member in members(annotation)]
    return "|".join(dict.fromkeys(words[each] for each in kinds if each in words))


def _bare(member: Any) -> Any:
    return get_args(member)[0] if get_origin(member) is Annotated else member


def _element_types(annotation: Any, count: int) -> list[Any]:
    declared = get_args(_bare(annotation))
    if len(declared) == 2 and declared[1] is Ellipsis:
        return [declared[0]] * count
    # A list of the wrong length is refused later, by the check that knows how to say so.
    return [*declared[:count], *[str] * (count - len(declared))]


def _fraction(text: str) -> float | None:
    numerator, slash, denominator = (part.strip() for part in text.partition("/"))
    if not slash or not NUMBER.fullmatch(numerator) or not NUMBER.fullmatch(denominator) or float(denominator) == 0:
        return None
    return float(numerator) / float(denominator)


def _describe_member(member: Any, bounds: Sequence[Any]) -> str:
    # A bound inside a union or a list is written Annotated[int, Field(ge=1)].
    inner = [part for each in getattr(member, "__metadata__", ()) for part in getattr(each, "metadata", [each])]
    bounds = [*bounds, *inner]
    least = _bound(bounds, "min_length")
    match kind(member):
        case "choice":
            return f"one of: {', '.join(map(str, get_args(_bare(member))))}"
        case "none":
            return "none"
        case "switch":
            return "true or false"
        case "whole":
            return f"a whole number{_range(bounds)}"
        case "number":
            return f"a number{_range(bounds)}"
        case "path":
            return "a path"
        case "text":
            return f"text of at least {least} characters" if least is not None and least > 1 else "text"
    return _describe_list(member, least)


def _describe_list(member: Any, least: float | None) -> str:
    declared = get_args(_bare(member))
    many = len(declared) == 2 and declared[1] is Ellipsis
    count = f" of at least {least}" if many and least else "" if many else f" of {len(declared)}"
    return f"a list{count}, each {describe(declared[0])}"


def _range(bounds: Sequence[Any]) -> str:
    ge, gt, le, lt = (_bound(bounds, name) for name in ("ge", "gt", "le", "lt"))
    if ge is not None and le is not None:
        return f" from {ge} to {le}"
    low = f"of at least {ge}" if ge is not None else f"above {gt}" if gt is not None else ""
    high = f"of at most {le}" if le is not None else f"below {lt}" if lt is not None else ""
    words = " and ".join(part for part in (low, high) if part)
    return f" {words}" if words else ""


def _bound(bounds: Sequence[Any], name: str) -> Any:
    return next((getattr(bound, name) for bound in bounds if getattr(bound, name, None) is not None), None)
