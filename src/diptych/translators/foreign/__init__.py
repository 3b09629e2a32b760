"""Weights of other projects, one file per origin; each recognises its own by the names and shapes of tensors."""

from diptych.translators.foreign.cyclegan import recognise

__all__ = ["recognise"]
