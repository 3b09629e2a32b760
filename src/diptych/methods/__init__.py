"""Methods: how translators are learnt, one file per paper."""

from diptych.methods.adain import AdaIN
from diptych.methods.cut import CUT
from diptych.methods.cyclegan import CycleGAN
from diptych.methods.dclgan import DCLGAN
from diptych.methods.distancegan import DistanceGAN
from diptych.methods.dumoulin import Dumoulin
from diptych.methods.encoder_decoder import EncoderDecoder
from diptych.methods.extra import Extra
from diptych.methods.fusion import Fusion
from diptych.methods.gan import GAN
from diptych.methods.gcgan import GcGAN
from diptych.methods.johnson import Johnson
from diptych.methods.method import Method
from diptych.methods.pix2pix import Pix2Pix
from diptych.methods.player import Images, Player, Terms
from diptych.methods.schedule import Schedule
from diptych.methods.simdcl import SimDCL
from diptych.methods.wct import WCT

__all__ = [
    "CUT",
    "DCLGAN",
    "GAN",
    "WCT",
    "AdaIN",
    "CycleGAN",
    "DistanceGAN",
    "Dumoulin",
    "EncoderDecoder",
    "Extra",
    "Fusion",
    "GcGAN",
    "Images",
    "Johnson",
    "Method",
    "Pix2Pix",
    "Player",
    "Schedule",
    "SimDCL",
    "Terms",
]
