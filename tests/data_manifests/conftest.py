"""The recipes are scripts, not modules of the package: they are loaded by their paths."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "data_manifests"


@pytest.fixture(scope="session")
def script():
    """Return a function that loads a recipe by its name."""

    def load(name):
        specification = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        specification.loader.exec_module(module)
        return module

    return load
