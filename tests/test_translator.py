"""The bundle: a round trip, every kind of file that can be loaded, every kind that is refused."""

import json
from pathlib import Path

import pytest
import torch
from conftest import make_cyclegan, make_trainer
from safetensors.torch import save_file

import diptych
from diptych.errors import FileError
from diptych.networks import build, initialise
from diptych.training.checkpoint import RunState
from diptych.translators import NetworkTranslator, load_translator
from diptych.translators.foreign.cyclegan import recognise

PARITY = Path(__file__).parent / "data" / "parity"


@pytest.fixture
def translator() -> NetworkTranslator:
    network = build("ResnetGenerator", width=4, blocks=2, upsampling="resize")
    initialise(network)
    return NetworkTranslator(network.eval(), {"direction": "ab", "from": "flat", "to": "fluent", "size": 16})


def write_bundle(path: Path, header: object, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(tensors or {"x": torch.zeros(1)}, path, metadata={"diptych": text})
    return path


def test_round_trip(translator: NetworkTranslator, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ab.safetensors"
    translator.save(path)
    loaded = diptych.load_translator(path)
    images = torch.rand(2, 3, 17, 23) * 2 - 1
    assert torch.equal(loaded(images), translator(images))
    assert loaded.notes == translator.notes
    assert loaded.title == "flat → fluent"
    assert loaded.network.describe() == translator.network.describe()
    assert [entry.name for entry in path.parent.iterdir()] == ["ab.safetensors"]


def test_call_checks_its_images(translator: NetworkTranslator) -> None:
    for shape in ((3, 8, 8), (1, 1, 8, 8)):
        with pytest.raises(ValueError, match="expected N×3×H×W"):
            translator(torch.zeros(shape))
    assert translator(torch.zeros(1, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_direction_of_a_bundle_is_fixed(translator: NetworkTranslator, tmp_path: Path) -> None:
    translator.save(tmp_path / "ab.safetensors")
    with pytest.raises(FileError, match="translates ab, not ba"):
        load_translator(tmp_path / "ab.safetensors", "ba")


def test_checkpoint_holds_both_directions(tmp_path: Path) -> None:
    method = make_cyclegan()
    checkpoint = {"state_dict": method.state_dict()}
    RunState().on_save_checkpoint(make_trainer(), method, checkpoint)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    images = torch.rand(1, 3, 16, 16)
    for direction, network in method.translators.items():
        loaded = load_translator(tmp_path / "last.ckpt", direction)
        assert loaded.notes["weights"] == "last"
        torch.testing.assert_close(loaded(images), network(images).detach())
    averaged = {"ab": {name: torch.zeros_like(value) for name, value in method.generator_ab.state_dict().items()}}
    torch.save({**checkpoint, "callbacks": {"EMA": {"averaged": averaged}}}, tmp_path / "ema.ckpt")
    loaded = load_translator(tmp_path / "ema.ckpt")
    assert loaded.notes["weights"] == "averaged"
    assert loaded(images).abs().max() == 0


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_and_old_statistics_of_the_original_code(prefix: str, tmp_path: Path) -> None:
    plain = torch.load(PARITY / "networks" / "resnet_9blocks_instance.pth", weights_only=True)
    old = {f"{prefix}{name}": tensor for name, tensor in plain.items()}
    for norm, width in (("model.2", 8), ("model.10.conv_block.2", 32)):
        old |= {f"{prefix}{norm}.running_mean": torch.zeros(width), f"{prefix}{norm}.running_var": torch.ones(width)}
        old[f"{prefix}{norm}.num_batches_tracked"] = torch.tensor(3)
    torch.save(old, tmp_path / "latest_net_G_A.pth")
    loaded = load_translator(tmp_path / "latest_net_G_A.pth")
    assert loaded.notes["recognised"] == (
        "ResnetGenerator of the original code: 9 blocks, width 8, instance norm, no dropout, not antialiased"
    )
    images = torch.rand(1, 3, 16, 16)
    expected = load_translator(PARITY / "networks" / "resnet_9blocks_instance.pth")(images)
    assert torch.equal(loaded(images), expected)


@pytest.mark.parametrize(
    "config",
    [
        {"network": "ResnetGenerator", "width": 2, "blocks": 3, "dropout": True},
        {"network": "ResnetGenerator", "width": 2, "blocks": 1, "norm": "batch", "dropout": True, "in_channels": 1},
        {"network": "ResnetGenerator", "width": 2, "blocks": 2, "norm": "none", "out_channels": 1},
        {"network": "ResnetGenerator", "width": 2, "blocks": 1, "upsampling": "antialias", "downsampling": "antialias"},
        {"network": "ResnetGenerator", "width": 2, "blocks": 1, "downsampling": "antialias"},
        {"network": "UnetGenerator", "width": 2, "depth": 8, "norm": "batch"},
        {"network": "UnetGenerator", "width": 2, "depth": 3, "out_channels": 1},
        {"network": "PatchDiscriminator", "width": 2, "layers": 5, "in_channels": 6},
        {"network": "PatchDiscriminator", "width": 2, "downsampling": "antialias", "norm": "batch"},
        {"network": "PixelDiscriminator", "width": 2, "norm": "none"},
    ],
    ids=str,
)
def test_architecture_is_inferred_from_tensors(config: dict) -> None:
    network = build(**config)
    name, arguments, tensors, _ = recognise(network.state_dict())
    again = build(name, **arguments)
    assert again.describe() == network.describe()
    again.load_state_dict(tensors, strict=True)


def spoil(path: Path, kind: str, translator: NetworkTranslator) -> None:
    """Write a file that is no translator."""
    header = {"format": 1, **translator.network.describe(), "notes": {}}
    tensors = translator.network.state_dict()
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "html":
            path.write_text("<html>not found</html>")
        case "truncated":
            translator.save(path)
            path.write_bytes(path.read_bytes()[:-100])
        case "no header":
            save_file({"x": torch.zeros(1)}, path)
        case "damaged header":
            write_bundle(path, '{"format": 1')
        case "newer":
            write_bundle(path, header | {"format": 3}, tensors)
        case "unknown network":
            write_bundle(path, header | {"network": "os.system"}, tensors)
        case "too wide":
            write_bundle(path, header | {"arguments": {"width": 10**9}}, tensors)
        case "missing tensor":
            write_bundle(path, header, {name: value for name, value in tensors.items() if name != "model.1.weight"})
        case "extra tensor":
            write_bundle(path, header, tensors | {"zzz": torch.zeros(1)})
        case "other shape":
            write_bundle(path, header, tensors | {"model.1.weight": torch.zeros(4, 3, 5, 5)})
        case "wrong dtype":
            write_bundle(path, header, tensors | {"model.1.bias": torch.zeros(4, dtype=torch.int32)})
        case "nan":
            write_bundle(path, header, tensors | {"model.1.bias": torch.full((4,), float("nan"))})
        case "huge header":
            path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
        case "overlapping":
            entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
            text = json.dumps({"a": entry, "b": entry}).encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
        case "target":
            write_bundle(path, header | {"_target_": "os.system", "network": {"_target_": "os.system"}}, tensors)
        case "discriminator":
            write_bundle(path, {"format": 1, **build("PixelDiscriminator").describe(), "notes": {}})
        case "list":
            torch.save([1, 2], path)
        case "other weights":
            torch.save({"fc.weight": torch.zeros(3)}, path)
        case "pickle":
            path.write_bytes(b"cos\nsystem\n(S'touch CANARY'\ntR.")


@pytest.mark.reliability
@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("x.safetensors", "empty", "the file is empty"),
        ("x.safetensors", "html", "not a whole safetensors file"),
        ("x.safetensors", "truncated", "not a whole safetensors file"),
        ("x.safetensors", "no header", "header says nothing of a network"),
        ("x.safetensors", "damaged header", "header is damaged"),
        ("x.safetensors", "newer", "bundle format 3, this version reads up to 2: upgrade"),
        ("x.safetensors", "unknown network", "unknown network 'os.system'"),
        ("x.safetensors", "too wide", "between 1 and 1024"),
        ("x.safetensors", "missing tensor", "lacks tensor 'model.1.weight'"),
        ("x.safetensors", "extra tensor", "has an extra tensor 'zzz'"),
        ("x.safetensors", "other shape", r"'model.1.weight' has shape \(4, 3, 5, 5\) instead of \(4, 3, 7, 7\)"),
        ("x.safetensors", "wrong dtype", "'model.1.bias' holds torch.int32 instead of torch.float32"),
        ("x.safetensors", "nan", "'model.1.bias' holds NaN or infinity"),
        ("x.safetensors", "huge header", "not a whole safetensors file"),
        ("x.safetensors", "overlapping", "not a whole safetensors file"),
        ("x.safetensors", "target", "network = {'_target_': 'os.system'}: must be a valid string"),
        ("x.safetensors", "discriminator", "judges images, it makes none"),
        ("x.pth", "html", "neither a bundle, nor a checkpoint, nor plain tensors"),
        ("x.pth", "list", "holds a list"),
        ("x.pth", "other weights", r"its tensors \(fc.weight, …\) are of no known network"),
        ("x.pth", "pickle", "neither a bundle"),
        ("x.ckpt", "pickle", "neither a bundle"),
    ],
)
def test_what_is_no_translator_is_refused(
    name: str, kind: str, message: str, translator: NetworkTranslator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    spoil(path, kind, translator)
    with pytest.raises(FileError, match=message) as refusal:
        load_translator(path)
    assert str(path) in str(refusal.value)
    assert not (tmp_path / "CANARY").exists()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        load_translator(tmp_path / "nothing.safetensors")
