"""Several styles in one image, by weight, mask and strength, in the codes of a network rather than in its results."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from diptych.networks import StyleNetwork
from diptych.networks.statistics import fit_code
from diptych.translators.style import Style


def mix_styles(network: StyleNetwork, content: Tensor, styles: Sequence[Style], strength: float = 1.0) -> Tensor:
    """Translate N×C×H×W content in the codes of several styles by their weights and masks.

    Below full strength, and where masks leave a place to no style, codes are mixed with the content's own, and what the
    network loses of an image by itself is put back in proportion, so that strength 0 and a black mask are the content;
    where no code leaves images as they are, the images are mixed.
    """
    codes = [style.code for style in styles if style.code is not None]
    assert len(codes) == len(styles)
    height, width = (-(-side // network.stride) for side in content.shape[-2:])
    masks = [_shrink(style.mask, (height, width)).to(content) for style in styles]
    weighted = [style.weight * mask for style, mask in zip(styles, masks, strict=True)]
    total = sum(weighted[1:], start=weighted[0])
    shares = [one / total.clamp_min(1e-6) for one in weighted]  # where there is no style they are covered
    amount = strength * sum(masks[1:], start=masks[0]).clamp(max=1)
    if bool((amount == 1).all()):
        return network.blend(content, codes, shares)
    own, whole = network.encode_content(content), fit_code(amount, content)
    if own is None:
        rest = 1 - sum(shares[1:], start=shares[0])  # something must be there everywhere, if only to be covered
        return content.lerp(network.blend(content, [*codes, network.mean_code], [*shares, rest]), whole)
    mixed = network.blend(content, [own, *codes], [1 - amount, *(amount * share for share in shares)])
    return mixed + (1 - whole) * (content - network(content, own))


def _shrink(mask: Tensor | None, size: tuple[int, int]) -> Tensor:
    return torch.ones(1, 1, 1, 1) if mask is None else adaptive_avg_pool2d(mask, size)
