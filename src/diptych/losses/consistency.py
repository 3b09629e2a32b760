"""Image-level losses that tie a translation to its input."""

import torch.nn.functional as F
from torch import Tensor

from diptych.errors import UserError


class LowResolution:
    """L1 between both images averaged over `factor`×`factor` blocks: colours and layout stay, detail is free.

    The consistency loss of UVCGANv2 (Torbunov et al. 2023, section 3.3), with averaging for its resize.
    """

    def __init__(self, factor: int = 8) -> None:
        if factor < 1:
            raise UserError(f"LowResolution.factor = {factor} must be at least 1")
        self.factor = factor

    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the mean distance of two N×C×H×W images."""
        blocks, others = (F.avg_pool2d(x, self.factor, ceil_mode=True) for x in (image, reference))
        return F.l1_loss(blocks, others)
