"""Diptych: translation of images between two domains, learnt from unpaired examples."""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["load_encoder", "load_translator"]

if TYPE_CHECKING:
    from diptych.translators import load_encoder, load_translator


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for."""
    if name in __all__:
        from diptych import translators

        return getattr(translators, name)
    raise AttributeError(f"module 'diptych' has no attribute {name!r}")
