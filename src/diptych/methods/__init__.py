"""Methods: how translators are learnt, one file per paper."""

from diptych.methods.cyclegan import CycleGAN
from diptych.methods.method import Images, Method, Player, Terms
from diptych.methods.schedule import Schedule

__all__ = ["CycleGAN", "Images", "Method", "Player", "Schedule", "Terms"]
