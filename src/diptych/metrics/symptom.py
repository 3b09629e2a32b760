"""What a number says when it is that of a failure which users of GANs know."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Symptom:
    """From which value on something is wrong, and what that is in words."""

    threshold: float
    message: str

    def shows(self, value: float) -> bool:
        """Whether the value is beyond the threshold; a NaN never is."""
        return value > self.threshold


DISCRIMINATOR_AUC = Symptom(
    0.995, "the discriminator always wins: its logits teach little; weaken it, or add a penalty"
)


def measure_auc(real: Tensor, fake: Tensor) -> float:
    """Return the share of pairs in which a real image's mean logit exceeds a fake one's (0.5 is chance)."""
    reals, fakes = real.flatten(1).mean(1), fake.flatten(1).mean(1)
    return float((reals[:, None] > fakes[None]).float().mean())
