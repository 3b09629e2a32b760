"""Vision transformers that images are compared by, as timm builds them."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from diptych.metrics.extractor import Extractor
from diptych.metrics.network import OnHub, require


class Transformer(Extractor):
    """One of timm's models, whose weights are in the file that it would download."""

    library = "timm"
    model: ClassVar[str]
    side: ClassVar[int]
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, weights: str | None = None) -> None:
        timm = require("timm")
        config = timm.get_pretrained_cfg(self.model)
        super().__init__(OnHub(config.hf_hub_id), weights)
        self.mean, self.deviation = (torch.tensor(three)[:, None, None] for three in (config.mean, config.std))
        self.network: nn.Module = self.fill(self._make).eval().requires_grad_(False)

    def _make(self, state: dict[str, Tensor]) -> nn.Module:
        source = {"state_dict": self.adapt(state)}
        return require("timm").create_model(
            self.model, pretrained=True, pretrained_cfg_overlay=source, img_size=self.side, **self.options
        )

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights for images of another size than those that they were trained on."""
        return state

    def standardise(self, values: Tensor) -> Tensor:
        """Return values in [0, 255] as the network was trained with."""
        return (values / 255 - self.mean) / self.deviation

    @abstractmethod
    def extract(self, pixels: Tensor) -> Tensor:
        """Return the features of N×3×H×W pixels, uint8."""


class DINOv2(Transformer):
    """The class token of DINOv2 ViT-L/14, 1024 numbers, as Stein et al. 2023 compare it.

    DINOv2: Learning Robust Visual Features without Supervision. Oquab et al. 2023. https://arxiv.org/abs/2304.07193
    """

    name = "DINOv2 ViT-L/14"
    model = "vit_large_patch14_dinov2.lvd142m"
    side = 224
    resize = "bicubic, antialiased, 8 bits, 224"

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Interpolate the positions as DINOv2's own code does: not smoothed, and for a grid larger by 0.1.

        timm would smooth them, and published numbers are by that code.
        """
        token, grid = state["pos_embed"][:, :1], state["pos_embed"][:, 1:]
        kernel = state["patch_embed.proj.weight"].shape[-1]
        old, new = round(grid.shape[1] ** 0.5), self.side // kernel
        if old == new:
            return state
        square = grid.unflatten(1, (old, old)).permute(0, 3, 1, 2)
        square = F.interpolate(square, scale_factor=((new + 0.1) / old,) * 2, mode="bicubic")
        return state | {"pos_embed": torch.cat([token, square.flatten(2).mT], 1)}

    def extract(self, pixels: Tensor) -> Tensor:
        small = resize(pixels, [self.side, self.side], InterpolationMode.BICUBIC, antialias=True)
        return self.network(self.standardise(small))


class DINOKeys(Transformer):
    """The keys of DINO ViT-B/8's last layer, N×T×768, of the class token and of every 8×8 pixels.

    Images are resized to 224 pixels on the shorter side, and what is not a multiple of eight is cut off.
    Emerging Properties in Self-Supervised Vision Transformers. Caron et al. 2021. https://arxiv.org/abs/2104.14294
    """

    name = "DINO ViT-B/8 keys"
    model = "vit_base_patch8_224.dino"
    side = 224
    options: ClassVar[dict[str, Any]] = {"dynamic_img_size": True}
    resize = "bilinear, antialiased, 8 bits, shorter side 224"

    def extract(self, pixels: Tensor) -> Tensor:
        small = resize(pixels, [self.side], InterpolationMode.BILINEAR, antialias=True)
        network: Any = self.network
        height, width = (side - side % network.patch_embed.patch_size[0] for side in small.shape[-2:])
        kept: list[Tensor] = []
        last = network.blocks[-1].attn.qkv
        hook = last.register_forward_hook(lambda layer, given, output: kept.append(output))
        try:
            network.forward_features(self.standardise(small[..., :height, :width]))
        finally:
            hook.remove()
        return kept[0].chunk(3, -1)[1]  # queries, keys, values; the heads' keys beside each other


class CLIP(Transformer):
    """The embedding of CLIP ViT-L/14 for 336 pixels, 768 numbers of length one.

    Learning Transferable Visual Models From Natural Language Supervision. Radford et al. 2021.
    https://arxiv.org/abs/2103.00020
    """

    name = "CLIP ViT-L/14@336"
    model = "vit_large_patch14_clip_quickgelu_336.openai"  # without quickgelu timm builds what OpenAI did not train
    side = 336
    resize = "bicubic, aliased, 336"

    def extract(self, pixels: Tensor) -> Tensor:
        sized = F.interpolate(pixels.float(), (self.side, self.side), mode="bicubic", align_corners=False)
        return F.normalize(self.network(self.standardise(sized)))
