"""Registries: names, aliases and what a wrong name is told."""

from __future__ import annotations

import pytest

from autovul.base.errors import UsageError
from autovul.base.registry import Registry, UnknownName


@pytest.fixture
def animals():
    registry = Registry("animal")
    registry.register("cat", "feline")(lambda **options: ("cat", options))
    registry.register("dog")(lambda **options: ("dog", options))
    return registry


def test_names_and_aliases(animals):
    assert animals.list() == ["cat", "dog"]
    assert animals.create("feline", age=3) == ("cat", {"age": 3})
    assert animals.canonical("feline") == "cat"
    assert "feline" in animals
    assert "cow" not in animals


def test_unknown_names_show_the_nearest_or_all(animals):
    with pytest.raises(UnknownName, match="unknown animal 'dgo' .*nearest: dog"):
        animals.get("dgo")
    with pytest.raises(UnknownName, match="there are: cat, dog"):
        animals.get("xyzzy")
    assert issubclass(UnknownName, UsageError)
    assert issubclass(UnknownName, ValueError)


@pytest.mark.parametrize("taken", ["cat", "feline"])
def test_a_name_is_registered_once(animals, taken):
    with pytest.raises(ValueError, match="twice"):
        animals.register(taken)(lambda: None)
    with pytest.raises(ValueError, match="twice"):
        animals.register("cow", taken)(lambda: None)


def test_what_is_defined_again_takes_its_own_place():
    """As a notebook's cell that runs twice does."""
    registry = Registry("animal")
    for sound in ("moo", "MOO"):
        namespace = {"registry": registry}
        code = f"@registry.register('cow', 'ox')\ndef cow():\n    return '{sound}'"
        exec(code, namespace)
    assert registry.create("ox") == "MOO" and registry.list() == ["cow"]
    with pytest.raises(ValueError, match="'ox' is registered twice"):
        exec("@registry.register('ox')\ndef ox(): pass", {"registry": registry})
    exec("@registry.register('ox')\ndef cow():\n    return 'low'", {"registry": registry})
    assert registry.create("ox") == "low" and "cow" not in registry
    with pytest.raises(ValueError, match="'ox' is registered twice"):
        registry.register("ox")(lambda: "two functions without a name are not one")
    registry.register("yak")(lambda: 1)
    with pytest.raises(ValueError, match="'yak' is registered twice"):
        registry.register("yak")(lambda: 2)


def test_a_class_that_calls_itself_otherwise_is_refused():
    """A subclass that inherits its parent's name would write over its parent's records."""

    class Cat:
        name = "cat"

    class Lion(Cat):
        pass

    registry = Registry("animal")
    registry.register("cat")(Cat)
    with pytest.raises(ValueError, match="animal 'lion' calls itself 'cat': its attribute name must be 'lion'"):
        registry.register("lion")(Lion)


def test_numbered_entries_are_made_when_they_are_asked_for_and_not_listed(animals):
    animals.register_numbered("bee", usual=3)(lambda number: lambda **options: (f"bee {number}", options))
    assert animals.create("bee_12", age=1) == ("bee 12", {"age": 1})
    assert animals.canonical("bee_1") == "bee_1" and "bee_999999999" in animals
    assert animals.list() == ["cat", "dog"] and animals.numbered() == ("bee_1", "bee_2", "bee_3")
    for wrong in ("bee_0", "bee_01", "bee_-1", "bee_1.0", "bee_", "bee", "bee_1234567890", "bee_\u0661", "bee_1\n"):
        assert wrong not in animals
        with pytest.raises(UnknownName, match="bee_1"):
            animals.get(wrong)
    assert 3 not in animals
