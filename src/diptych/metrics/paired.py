"""Distances to a known truth, for aligned test sets."""

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from diptych.images import to_unit


def compare(outputs: Tensor, truths: Tensor) -> dict[str, float]:
    """Return PSNR (dB), SSIM and L1 (of the range 0…1) of N×C×H×W images in [-1, 1], each a mean over images."""
    outputs, truths = to_unit(outputs), to_unit(truths)
    psnr = peak_signal_noise_ratio(outputs, truths, data_range=1.0, dim=(1, 2, 3), reduction="elementwise_mean")
    ssim = structural_similarity_index_measure(outputs, truths, data_range=1.0)
    assert isinstance(ssim, Tensor)
    return {"psnr": float(psnr), "ssim": float(ssim), "l1": float(torch.mean(torch.abs(outputs - truths)))}
