"""Generators and discriminators, each a class known by its name and its plain arguments."""

from diptych.networks.adain_generator import AdaINGenerator
from diptych.networks.allocation import keep_freed_memory
from diptych.networks.calls import apply, sees_images_alone
from diptych.networks.conditional_generator import ConditionalGenerator
from diptych.networks.encoder import Encoder, NetworkEncoder
from diptych.networks.features import FeatureNetwork, describe_features, find_landmarks, look
from diptych.networks.fusion_generator import FusionGenerator
from diptych.networks.initialisation import initialise
from diptych.networks.patch_discriminator import PatchDiscriminator
from diptych.networks.patch_mapper import PatchMapper
from diptych.networks.patch_projector import PatchProjector
from diptych.networks.pixel_discriminator import PixelDiscriminator
from diptych.networks.registry import Network, build, build_for, names
from diptych.networks.resnet_generator import ResnetGenerator
from diptych.networks.several_discriminators import MixedDiscriminator, MultiscaleDiscriminator
from diptych.networks.style_network import StyleNetwork
from diptych.networks.unet_generator import UnetGenerator
from diptych.networks.vgg import Vgg
from diptych.networks.wct_generator import WCTGenerator

__all__ = [
    "AdaINGenerator",
    "ConditionalGenerator",
    "Encoder",
    "FeatureNetwork",
    "FusionGenerator",
    "MixedDiscriminator",
    "MultiscaleDiscriminator",
    "Network",
    "NetworkEncoder",
    "PatchDiscriminator",
    "PatchMapper",
    "PatchProjector",
    "PixelDiscriminator",
    "ResnetGenerator",
    "StyleNetwork",
    "UnetGenerator",
    "Vgg",
    "WCTGenerator",
    "apply",
    "build",
    "build_for",
    "describe_features",
    "find_landmarks",
    "initialise",
    "keep_freed_memory",
    "look",
    "names",
    "sees_images_alone",
]
