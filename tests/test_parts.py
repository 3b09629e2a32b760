"""A part that is configured is a term that counts, or the recipe is refused: for every method that takes it."""

import pytest
from conftest import Batches, make_trainer, sweep
from test_family import METHODS, make

from diptych.errors import UserError
from diptych.losses import R1, DiffAugment, LeCam, LowResolution, SemanticRelation
from diptych.methods import Extra
from diptych.methods.cut import CUT
from diptych.methods.dclgan import DCLGAN
from diptych.methods.gan import GANMethod

pytestmark = pytest.mark.reliability

ALWAYS = {"cut", "simdcl", "gcgan", "pix2pix"}
JUDGED = [name for name, (kind, _, weights, _) in METHODS.items() if issubclass(kind, GANMethod) and weights]
CONTRASTED = [name for name, (kind, *_, settings) in METHODS.items() if issubclass(kind, CUT | DCLGAN)]
PARTS = {"penalty": R1(), "lecam": LeCam()}


def weigh(monkeypatch: pytest.MonkeyPatch, name: str, player: str, **weights: float) -> None:
    """Let a method's recipe weigh more of a player's terms."""
    kind, generator, discriminator, settings = METHODS[name]
    both = {"generator": dict(generator), "discriminator": dict(discriminator or {})}
    both[player] |= weights
    monkeypatch.setitem(METHODS, name, (kind, both["generator"], both["discriminator"], settings))


@pytest.mark.parametrize("name", sweep(JUDGED, ALWAYS))
@pytest.mark.parametrize("part", PARTS)
def test_a_discriminators_part_counts_or_is_refused(name: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(name, **{part: PARTS[part]})
    trainer = make_trainer(limit_train_batches=1)
    trainer.fit(method, Batches(1, batch_size=2))
    terms = [f"{part}_{domain}" for domain in method.adversarial_losses]
    assert all(method.weights.get("discriminator", term) == 1.0 for term in terms)
    assert all(f"discriminator/{term}" in trainer.callback_metrics for term in terms)
    weigh(monkeypatch, name, "discriminator", **dict.fromkeys(terms, 0.0))
    with pytest.raises(UserError, match=rf"method\.{part} is configured, but .* = 0 turns it off"):
        make(name, **{part: PARTS[part]})


@pytest.mark.parametrize("name", sweep(CONTRASTED, ALWAYS))
def test_a_relation_counts_or_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(name, relation=SemanticRelation())
    trainer = make_trainer(limit_train_batches=1)
    trainer.fit(method, Batches(1, batch_size=2))
    terms = [term for term in ("relation_a", "relation_b") if method.weights.get("generator", term)]
    assert "relation_a" in terms
    assert all(f"generator/{term}" in trainer.callback_metrics for term in terms)
    weigh(monkeypatch, name, "generator", **dict.fromkeys(terms, 0.0))
    with pytest.raises(UserError, match=r"method\.relation is configured, but .* = 0 turns it off"):
        make(name, relation=SemanticRelation())


@pytest.mark.parametrize("name", sweep(METHODS, {"cut", "johnson", "adain", "encoder_decoder"}))
def test_an_extra_without_a_weight_counts_or_is_refused(name: str) -> None:
    player = "decoder" if name.startswith("fusion") else "generator"
    image, reference = ("drawn_a_relu3_1", "padded_a") if name == "wct" else ("fake_b", "real_a")
    method = make(name, extras={"coarse": Extra(image, LowResolution(4), reference, player)})
    trainer = make_trainer(limit_train_batches=1)
    trainer.fit(method, Batches(1, batch_size=2))
    assert method.weights.get(player, "coarse") == 1.0
    assert f"{player}/coarse" in trainer.callback_metrics
    off = make(name, extras={"coarse": Extra(image, LowResolution(4), reference, player, weight=0.0)})
    with pytest.raises(UserError, match=r"method\.extras\.coarse is configured, but .* = 0 turns it off"):
        make_trainer(limit_train_batches=1).fit(off, Batches(1, batch_size=2))


@pytest.mark.parametrize("part", [*PARTS, "augmentation"])
def test_a_part_of_no_discriminator_is_refused(part: str) -> None:
    with pytest.raises(UserError, match=rf"method\.{part} is configured, but no discriminator plays"):
        make("johnson", **{part: {**PARTS, "augmentation": DiffAugment()}[part]})
