"""Generators and discriminators, each a class known by its name and its plain arguments."""

from diptych.networks.adain_generator import AdaINGenerator
from diptych.networks.calls import apply, find_tensors, sees_images_alone, widen
from diptych.networks.conditional_generator import ConditionalGenerator
from diptych.networks.efficientnet_lite import EfficientNetLite
from diptych.networks.encoder import Encoder, NetworkEncoder
from diptych.networks.features import FeatureNetwork, count_feature_channels, extract_features, find_default_layers
from diptych.networks.fusion_generator import FusionGenerator
from diptych.networks.initialisation import initialise
from diptych.networks.iterative_network import IterativeNetwork
from diptych.networks.patch_discriminator import PatchDiscriminator
from diptych.networks.patch_projector import PatchProjector
from diptych.networks.pixel_discriminator import PixelDiscriminator
from diptych.networks.registry import Network, build, build_for, make_network, names
from diptych.networks.resnet_generator import ResnetGenerator
from diptych.networks.several_discriminators import MixedDiscriminator, MultiscaleDiscriminator
from diptych.networks.similarity_head import SimilarityHead
from diptych.networks.style_network import StyleNetwork
from diptych.networks.unet_generator import UnetGenerator
from diptych.networks.vgg import Vgg
from diptych.networks.wct_generator import WCTGenerator

__all__ = [
    "AdaINGenerator",
    "ConditionalGenerator",
    "EfficientNetLite",
    "Encoder",
    "FeatureNetwork",
    "FusionGenerator",
    "IterativeNetwork",
    "MixedDiscriminator",
    "MultiscaleDiscriminator",
    "Network",
    "NetworkEncoder",
    "PatchDiscriminator",
    "PatchProjector",
    "PixelDiscriminator",
    "ResnetGenerator",
    "SimilarityHead",
    "StyleNetwork",
    "UnetGenerator",
    "Vgg",
    "WCTGenerator",
    "apply",
    "build",
    "build_for",
    "count_feature_channels",
    "extract_features",
    "find_default_layers",
    "find_tensors",
    "initialise",
    "make_network",
    "names",
    "sees_images_alone",
    "widen",
]
