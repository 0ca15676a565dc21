"""Numbers survive the way from text to value, on the command line and in files alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autovul.base.errors import UsageError
from autovul.base.settings import option_types, yaml_strict

# PyYAML's own writer loses some line breaks and control characters, and leaves text such as 0E0 without quotes.
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" ")).filter(
    lambda text: not option_types.NUMBER.fullmatch(text)
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
quick = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def from_file(folder: Path, text: str) -> object:
    """The value of the only key of a file."""
    path = folder / "value.yaml"
    path.write_text(f"key: {text}\n", encoding="utf-8")
    return yaml_strict.load(path)["key"].value


@quick
@given(FINITE, st.sampled_from([repr, "{:e}".format, "{:.17g}".format, "{:E}".format, "{:+.20e}".format]))
def test_a_float_as_python_writes_it(tmp_path: Path, value: float, write) -> None:
    text = write(value)
    assert option_types.read_text(float, text) == float(text)
    assert from_file(tmp_path, text) == float(text)
    assert option_types.read_text(float, option_types.show(value)) == value


@quick
@given(st.integers())
def test_a_whole_number(tmp_path: Path, value: int) -> None:
    assert option_types.read_text(int, str(value)) == value
    assert from_file(tmp_path, str(value)) == value
    assert type(from_file(tmp_path, str(value))) is int


@quick
@given(st.integers(-300, 300), st.integers(1, 300))
def test_a_fraction(tmp_path: Path, numerator: int, denominator: int) -> None:
    text = f"{numerator}/{denominator}"
    assert option_types.read_text(float, text) == numerator / denominator
    assert option_types.read_yaml(float, from_file(tmp_path, text)) == numerator / denominator


@quick
@given(st.lists(FINITE, max_size=4).map(tuple))
def test_a_list_of_numbers(values: tuple[float, ...]) -> None:
    assert option_types.read_text(tuple[float, ...], ",".join(map(repr, values))) == values


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-2", 0.01), ("1E5", 1e5), (".5e3", 500.0), ("5.", 5.0), ("+3", 3), ("-0", 0), ("1e+3", 1000.0), ("-.5", -0.5)],
)
def test_numbers_that_yaml_1_1_takes_for_text_or_not(tmp_path: Path, text: str, value: float) -> None:
    assert from_file(tmp_path, text) == value
    assert option_types.read_text(float, text) == value


@pytest.mark.parametrize(
    "text", ["010", "0x10", "0o7", "0b1", "1_000", "1:30", ".inf", "-.Inf", ".nan", "2020-01-01", "e5", "."]
)
def test_what_yaml_1_1_would_take_for_something_else_is_text(tmp_path: Path, text: str) -> None:
    assert from_file(tmp_path, text) == text
    assert option_types.read_text(float, text) == text


@pytest.mark.parametrize("text", ["~", "null", "", "Null"])
def test_nothing(tmp_path: Path, text: str) -> None:
    assert from_file(tmp_path, text) is None


@quick
@given(
    st.dictionaries(
        st.text("abcdefghij_", min_size=1),
        st.one_of(FINITE, st.integers(), st.booleans(), st.none(), PRINTABLE, st.lists(st.integers() | PRINTABLE)),
    )
)
def test_what_pyyaml_writes_is_read_back(tmp_path: Path, mapping: dict) -> None:
    path = tmp_path / "dumped.yaml"
    path.write_text(yaml.safe_dump(mapping, allow_unicode=True), encoding="utf-8")
    assert {key: located.value for key, located in yaml_strict.load(path).items()} == mapping


@quick
@given(st.binary(max_size=60) | st.text("ab:[]{}#&*!|>'\"%@`-? \n\t01.").map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    try:
        yaml_strict.load(path)
    except UsageError as error:
        assert str(error).startswith(str(path))


def test_lines_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("\ufeff# only a comment\n", encoding="utf-8")
    assert yaml_strict.load(path) == {}
    path.write_text("a: 1\n\n# more\nb:\n  c: [x, 2]\n", encoding="utf-8")
    loaded = yaml_strict.load(path)
    assert loaded["a"].place == f"{path}:1"
    assert loaded["b"].value["c"].place == f"{path}:5"
    assert loaded["b"].value["c"].value == ["x", 2]
