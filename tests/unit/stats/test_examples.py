"""Every docstring example of stats and observe runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import mainspring.observe
import mainspring.stats

MODULES = [
    found.name
    for package in (mainspring.stats, mainspring.observe)
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    module = importlib.import_module(name)
    examples = doctest.testmod(module, extraglobs={"np": __import__("numpy")})
    assert examples.failed == 0


def test_the_modules_with_examples_are_found() -> None:
    assert "mainspring.stats.metrics" in MODULES
    assert "mainspring.observe.windows" in MODULES
