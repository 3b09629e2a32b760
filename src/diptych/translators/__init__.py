"""Translators: everything that makes an image from an image, under one contract, and the files they come from."""

from diptych.translators.bundle import load_translator
from diptych.translators.encoders import TranslatorEncoder, load_encoder
from diptych.translators.gatys import GatysTranslator
from diptych.translators.mixing import mix_styles
from diptych.translators.network_translator import NetworkTranslator
from diptych.translators.recipes import make_gatys
from diptych.translators.style import Style, StyleLike
from diptych.translators.translator import Progress, Translator

__all__ = [
    "GatysTranslator",
    "NetworkTranslator",
    "Progress",
    "Style",
    "StyleLike",
    "Translator",
    "TranslatorEncoder",
    "load_encoder",
    "load_translator",
    "make_gatys",
    "mix_styles",
]
