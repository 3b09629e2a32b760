"""Methods: how translators are learnt, one file per paper."""

from diptych.methods.cyclegan import CycleGAN
from diptych.methods.method import Extra, Images, Method, Player, Terms
from diptych.methods.schedule import Schedule

__all__ = ["CycleGAN", "Extra", "Images", "Method", "Player", "Schedule", "Terms"]
