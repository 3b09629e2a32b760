"""Methods: how translators are learnt, one file per paper."""

from diptych.methods.cyclegan import CycleGAN
from diptych.methods.method import Method
from diptych.methods.player import Extra, Images, Player, Terms
from diptych.methods.schedule import Schedule

__all__ = ["CycleGAN", "Extra", "Images", "Method", "Player", "Schedule", "Terms"]
