"""Functions of this room that are imported when they are called: help must not wait for torch."""

from importlib import import_module
from typing import Any


def call_late(module: str, name: str, *arguments: Any) -> Any:
    """Call a function of a module of `training`, imported only now."""
    return getattr(import_module(f"diptych.training.{module}"), name)(*arguments)
