"""Contrastive losses against their papers' formulas, written out patch by patch."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from diptych.errors import UserError
from diptych.losses import Equal, HardDecoupled, PatchNCE, SemanticRelation, Transport
from diptych.networks.patch_projector import PatchProjector, select_by_attention

TAU = 0.07


def make(images: int = 2, patches: int = 5, width: int = 4, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(images, patches, width, generator=random, dtype=torch.float64), dim=2)


def dot(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum())


def test_patch_nce_is_equation_3() -> None:
    query, key = make(seed=1), make(seed=2)
    losses = PatchNCE(TAU).per_patch(query, key)
    for n in range(2):
        for p in range(5):
            right = math.exp(dot(query[n, p], key[n, p]) / TAU)
            wrong = sum(math.exp(dot(query[n, p], key[n, q]) / TAU) for q in range(5) if q != p)
            assert losses[n, p].item() == pytest.approx(-math.log(right / (right + wrong)), abs=1e-9)


def test_negatives_may_come_from_the_whole_batch() -> None:
    query, key = make(seed=1), make(seed=2)
    together = PatchNCE(TAU, whole_batch=True).per_patch(query, key)
    assert together.shape == (2, 5)
    expected = PatchNCE(TAU).per_patch(query.view(1, 10, -1), key.view(1, 10, -1)).view(2, 5)
    torch.testing.assert_close(together, expected)
    assert (together > PatchNCE(TAU).per_patch(query, key)).all()


@pytest.mark.parametrize("loss", [PatchNCE(), PatchNCE(negatives=Transport()), HardDecoupled(), SemanticRelation()])
def test_the_input_gets_no_gradient(loss: PatchNCE) -> None:
    query, key = make(seed=1).requires_grad_(), make(seed=2).requires_grad_()
    loss(query, key).backward()
    assert key.grad is None
    assert query.grad.abs().max() > 0


@pytest.mark.parametrize("hard", [True, False])
def test_transported_weights_have_the_marginals_of_the_plan(hard: bool) -> None:
    """Rows and columns of the plan sum to the number of negatives; a patch is no negative of its own."""
    query, key = make(patches=6, seed=3), make(patches=6, seed=4)
    weights = Transport(hard, iterations=200).weigh(query, key).exp()
    for axis in (1, 2):
        torch.testing.assert_close(
            weights.sum(axis), torch.full((2, 6), 5.0, dtype=torch.float64), rtol=1e-6, atol=1e-6
        )
    assert weights.diagonal(dim1=1, dim2=2).max() < 1e-2
    similarity = query @ key.transpose(1, 2)
    plain = (similarity if hard else 1 - similarity).exp()
    for n in range(2):  # a plan keeps the odds ratios of the affinities
        ratio = weights[n, 0, 1] * weights[n, 2, 3] / (weights[n, 0, 3] * weights[n, 2, 1])
        expected = plain[n, 0, 1] * plain[n, 2, 3] / (plain[n, 0, 3] * plain[n, 2, 1])
        assert ratio.item() == pytest.approx(expected.item(), rel=1e-6)


def test_weighted_negatives_enter_the_sum() -> None:
    query, key = make(seed=1), make(seed=2)
    negatives = Transport()
    weights = negatives.weigh(query, key).exp()
    losses = PatchNCE(TAU, negatives).per_patch(query, key)
    right = math.exp(dot(query[0, 2], key[0, 2]) / TAU)
    wrong = sum(weights[0, 2, q].item() * math.exp(dot(query[0, 2], key[0, q]) / TAU) for q in range(5) if q != 2)
    assert losses[0, 2].item() == pytest.approx(-math.log(right / (right + wrong)), abs=1e-9)
    assert Equal().weigh(query, key) is None


def test_hard_decoupled_leaves_the_positive_out_of_the_denominator() -> None:
    query, key, hardness = make(seed=1), make(seed=2), 0.5
    total = 0.0
    for n in range(2):
        for p in range(5):
            others = [q for q in range(5) if q != p]
            relation = {q: math.exp(dot(key[n, p], key[n, q]) / hardness) for q in others}
            weight = {q: value / max(relation.values()) for q, value in relation.items()}
            positive = dot(query[n, p], key[n, p])
            terms = [math.exp((weight[q] * dot(query[n, p], key[n, q]) - positive) / TAU) for q in others]
            total += math.log(sum(terms)) / 10
    assert HardDecoupled(TAU, hardness)(query, key).item() == pytest.approx(total, abs=1e-9)


def test_semantic_relation_is_a_jensen_shannon_divergence() -> None:
    query, key = make(seed=1), make(seed=2)
    expected = 0.0
    for n in range(2):
        for p in range(5):
            rows = []
            for x in (query, key):
                exponentials = [math.exp(dot(x[n, p], x[n, q])) for q in range(5)]
                rows.append([e / sum(exponentials) for e in exponentials])
            for row in rows:
                expected += 0.25 * sum(r * math.log(2 * r / (a + b)) for r, a, b in zip(row, *rows, strict=True))
    assert SemanticRelation()(query, key).item() == pytest.approx(expected, abs=1e-9)
    assert SemanticRelation()(query, query).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "make_loss", [lambda: PatchNCE(0), lambda: HardDecoupled(hardness=-1), lambda: Transport(temperature=0)]
)
def test_senseless_temperatures_are_refused(make_loss: object) -> None:
    with pytest.raises(UserError, match="above 0"):
        make_loss()


def test_the_same_places_are_looked_at_in_both_images() -> None:
    torch.manual_seed(0)
    projector = PatchProjector([3, 6], width=4, patches=7)
    features = [torch.randn(2, 3, 8, 8), torch.randn(2, 6, 2, 2)]
    choices = projector.choose(features)
    assert [len(choice.positions) for choice in choices] == [7, 4]  # a small layer has fewer places
    vectors = projector(features, choices)
    assert [tuple(v.shape) for v in vectors] == [(2, 7, 4), (2, 4, 4)]
    torch.testing.assert_close(vectors[0].norm(dim=2), torch.ones(2, 7))
    moved = features[0].clone()
    moved.flatten(2)[:, :, choices[0].positions[3]] += 1.0
    changed = (projector([moved, features[1]], choices)[0] != vectors[0]).any(dim=2)
    assert changed.tolist() == [[index == 3 for index in range(7)]] * 2
    assert sorted(name for name, _ in projector.named_children()) == ["mlp_0", "mlp_1"]


def test_queries_are_those_of_least_entropy() -> None:
    """Hu et al. 2022, equations 4 and 5."""
    places = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    attention = select_by_attention(places, 2)
    full = torch.softmax(places[0] @ places[0].T, dim=1)
    entropies = [-sum(value.item() * math.log(value.item()) for value in row) for row in full]
    expected = sorted(range(6), key=entropies.__getitem__)[:2]
    torch.testing.assert_close(attention[0], full[expected])
    projector = PatchProjector([3] * 4, patches=2, selection="attention")
    choices = projector.choose([places.float().transpose(1, 2).view(1, 3, 2, 3)] * 4)
    assert [choice.attention is not None for choice in choices] == [False, False, False, True]
