"""The catalogue of public data sets: what it says, and that it says nothing senseless."""

import io
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from diptych.data.catalogue import CATALOGUE, FOLDERS, PublicSet, to_table
from diptych.data.installer import install_dataset
from diptych.errors import DataError


def test_unknown_names_are_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'hors2zebra' is no data set .* did you mean horse2zebra\? see `diptych data"):
        install_dataset("hors2zebra", tmp_path / "x")
    with pytest.raises(DataError, match=r"'qqqq' is no data set that is known here; see `diptych data list`"):
        install_dataset("qqqq", tmp_path / "x")


def test_the_table_is_complete(tmp_path: Path) -> None:
    (tmp_path / "maps" / "trainA").mkdir(parents=True)
    (tmp_path / "facades").mkdir()
    console = Console(width=250, file=io.StringIO())
    console.print(to_table(tmp_path))
    rows = {line.split("│")[1].strip(): line for line in console.file.getvalue().splitlines() if "│" in line}
    assert rows.keys() >= CATALOGUE.keys()
    assert "1067 + 1334, 120 + 140" in rows["horse2zebra"]
    assert "116.9 MB" in rows["horse2zebra"]
    assert "by hand" in rows["cityscapes"]
    assert "0 + 0, ? + ?" in rows["ae_photos"]
    assert [name for name, line in rows.items() if "present" in line] == ["maps"]


@pytest.mark.parametrize("public", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_entries_are_sound(public: PublicSet) -> None:
    assert CATALOGUE[public.name] is public
    assert all(urlsplit(address).path.endswith(f"/{public.archive}") for address in public.addresses)
    assert bool(public.addresses) != bool(public.page and public.advice)
    assert set(public.counts) <= set(public.folders) <= set(FOLDERS)
    if public.sha256:
        assert len(bytes.fromhex(public.sha256)) == 32
    else:  # what nobody vouches for is not fetched by plain http where there is a better way
        assert len({urlsplit(address).scheme for address in public.addresses}) <= 1


def test_no_two_archives_share_a_hash() -> None:
    known = {(public.archive, public.sha256) for public in CATALOGUE.values() if public.sha256}
    assert len({archive for archive, _ in known}) == len({sha256 for _, sha256 in known}) == len(known)
