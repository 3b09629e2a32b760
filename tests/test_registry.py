"""A network's arguments: plain data, lists of it and nothing, with bounds and choices at any depth."""

from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
import torch
from torch import Tensor, nn

from diptych.arguments import Range
from diptych.errors import UserError
from diptych.networks import Network, build, build_for
from diptych.networks.registry import Channels, Norm, Width
from diptych.translators import NetworkTranslator, load_translator


class ListNetwork(Network):
    """Takes one argument of every kind."""

    translates = True

    def __init__(
        self,
        in_channels: Channels = 3,
        out_channels: Channels = 3,
        widths: list[Width] | None = None,
        depth: int | None = None,
        maybe: Optional[Annotated[int, Range(1, 9)]] = None,  # noqa: UP045
        size: int | str = "auto",
        norms: list[Norm] | None = None,
        grid: list[list[float]] | None = None,
        mixed: list[int | Literal["same"] | None] | None = None,
        anything: list | None = None,  # type: ignore[type-arg]
        several: int | list[int] = 1,
        flag: bool = False,
        share: Annotated[float | None, Range(0, 1)] = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.widths = widths

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TupleNetwork(Network):
    """Takes what is no plain data."""

    def __init__(self, sides: tuple[int, ...] = ()) -> None:
        super().__init__()


PLAIN: dict[str, Any] = {
    "widths": [4, 8],
    "depth": 3,
    "maybe": 9,
    "size": 3,
    "norms": ["batch", "none"],
    "grid": [[1.5, 2], []],
    "mixed": [1, "same", None],
    "anything": [1, "a", None, [True, [2.5]]],
    "several": [1, 2],
    "flag": True,
    "share": 1,
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_data_is_taken_as_it_is(name: str) -> None:
    assert build("ListNetwork", **{name: PLAIN[name]}).arguments[name] == PLAIN[name]


@pytest.mark.parametrize("name", ["widths", "depth", "maybe", "norms", "grid", "mixed", "anything", "share"])
def test_nothing_is_plain_data_where_it_is_asked_for(name: str) -> None:
    assert build("ListNetwork", **{name: None}).arguments[name] is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("widths", [4, 8, "x"], "ListNetwork.widths[2] = 'x': must be a whole number"),
        ("widths", [4, 0], "ListNetwork.widths[1] = 0: must lie between 1 and 1024"),
        ("widths", 4, "ListNetwork.widths = 4: must be a list or null"),
        ("depth", "x", "ListNetwork.depth = 'x': must be a whole number or null"),
        ("depth", True, "ListNetwork.depth = true: must be a whole number or null"),
        ("maybe", 10, "ListNetwork.maybe = 10: must lie between 1 and 9"),
        ("size", 1.5, "ListNetwork.size = 1.5: must be a whole number or a word"),
        ("size", None, "ListNetwork.size = null: must be a whole number or a word"),
        ("norms", ["batch", "layer"], "ListNetwork.norms[1] = 'layer': must be one of instance, batch, none"),
        ("grid", [[1.0], [2, "x"]], "ListNetwork.grid[1][1] = 'x': must be a number"),
        ("grid", [[1.0], 2.0], "ListNetwork.grid[1] = 2.0: must be a list"),
        ("mixed", ["other"], "ListNetwork.mixed[0] = 'other': must be a whole number or same or null"),
        ("anything", [[{"a": 1}]], "ListNetwork.anything[0][0] = {'a': 1}: must be a number, a word,"),
        ("several", [1, None], "ListNetwork.several[1] = null: must be a whole number"),
        ("several", None, "ListNetwork.several = null: must be a whole number or a list"),
        ("flag", 1, "ListNetwork.flag = 1: must be true or false"),
        ("share", 1.5, "ListNetwork.share = 1.5: must lie between 0 and 1"),
        ("share", "x", "ListNetwork.share = 'x': must be a number or null"),
        ("in_channels", 10**400, "must lie between 1 and 64"),
        ("width", 4, "ListNetwork takes no argument 'width' (did you mean 'widths'?)"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(name: str, value: object, said: str) -> None:
    with pytest.raises(UserError) as caught:
        build("ListNetwork", **{name: value})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_annotation_that_is_no_plain_data_is_said_to_be() -> None:
    with pytest.raises(UserError, match=r"TupleNetwork.sides is annotated tuple\[int, ...\]: a network is built from"):
        build("TupleNetwork", sides=[1])


def test_a_bundle_keeps_lists_and_nothing(tmp_path: Path) -> None:
    network = build("ListNetwork", **PLAIN)
    NetworkTranslator(network).save(tmp_path / "ab.safetensors")
    loaded = load_translator(tmp_path / "ab.safetensors")
    assert loaded.network.describe() == network.describe()
    assert loaded.network.arguments["mixed"] == [1, "same", None]
    content = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(loaded(content), network(content).clamp(-1, 1))


def test_arguments_stay_what_they_were_when_a_list_is_changed() -> None:
    widths = [[4.0], [8.0]]
    network = build("ListNetwork", grid=widths)
    widths[0].append(1.0)
    assert network.arguments["grid"] == [[4.0], [8.0]]


def test_where_weights_come_from_is_no_argument() -> None:
    network = build_for({"network": "ListNetwork", "pretrained": None, "pretrained_strict": True}, in_channels=2)
    assert network.arguments["in_channels"] == 2
    assert not network.arguments.keys() & {"pretrained", "pretrained_strict"}
