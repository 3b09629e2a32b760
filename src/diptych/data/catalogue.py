"""Public data sets: where their owners keep them, and what is known of the files.

Addresses, sizes and hashes are facts, each with its source; what no source states is left out.
- The sets of Zhu et al. 2017: the address is that of `datasets/download_dataset.sh` in junyanz/CycleGAN; bytes and
  SHA-256 were recorded by tensorflow/datasets (`url_checksums/cycle_gan.txt`), the numbers of images too
  (`docs/catalog/cycle_gan.md`). The numbers in CycleGAN's own documentation differ from those of its archives.
- ae_photos: tensorflow/datasets says that it has no training folders; its size is rounded.
- AFHQ: address, licence and the 500 test images of each kind are in clovaai/stargan-v2 (`download.sh`, `README.md`);
  LS4GAN/uvcgan2 recorded the SHA-256 (`scripts/download_dataset.sh`).
- cat2dog: address and the numbers of images (871 cats, 1364 dogs) are in HsinYingLee/DRIT; of each, an early commit
  of that repository had 100 in a test folder.
- selfie2anime: taki0112/UGATIT names the page; huggan/selfie2anime has 3400 pairs for training of 7000 images.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rich.filesize import decimal
from rich.table import Column, Table

from diptych.errors import DataError

FOLDERS = ("trainA", "trainB", "testA", "testB")


@dataclass(frozen=True)
class PublicSet:
    """A data set that others published; `folders` says where in the archive each of ours lies."""

    name: str
    title: str
    owner: str
    archive: str
    addresses: tuple[str, ...] = ()
    size: int | None = None  # bytes
    sha256: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=lambda: {folder: folder for folder in FOLDERS})
    page: str = ""
    advice: str = ""  # for a set that nobody may hand on: how to get it

    def place(self, path: PurePosixPath) -> PurePosixPath | None:
        """Return where in our layout a file of the archive goes; the archive's folders may lie at any depth."""
        for folder, inside in self.folders.items():
            _, found, rest = f"/{path}".partition(f"/{inside}/")
            if found:
                return PurePosixPath(folder, rest)
        return None


def _count(*images: int) -> dict[str, int]:
    return dict(zip(FOLDERS, images, strict=True))


_RECORDED = {
    "apple2orange": "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    "summer2winter_yosemite": "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    "horse2zebra": "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    "monet2photo": "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
    "cezanne2photo": "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
    "ukiyoe2photo": "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
    "vangogh2photo": "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
    "maps": "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
    "facades": "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
    "iphone2dslr_flower": "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
}


def _name_zhu(name: str, title: str, source: str, size: int, images: tuple[int, ...] = ()) -> PublicSet:
    place = f"efrosgans.eecs.berkeley.edu/cyclegan/datasets/{name}.zip"
    sha256 = _RECORDED.get(name)
    # without a hash, what plain http brings could be anybody's
    addresses = (f"https://{place}", f"http://{place}") if sha256 else (f"https://{place}",)
    counts = _count(*images) if images else {}
    folders = {folder: folder for folder in counts or FOLDERS[2:]}
    return PublicSet(name, title, f"{source}; Zhu et al. 2017", f"{name}.zip", addresses, size, sha256, counts, folders)


def _name_afhq(a: str, b: str) -> PublicSet:
    return PublicSet(
        f"afhq_{a}2{b}",
        f"faces of animals: {a}, {b}",
        "NAVER, CC BY-NC 4.0; Choi et al. 2020",
        "afhq.zip",
        ("https://www.dropbox.com/s/t9l9o3vsx2jai3z/afhq.zip?dl=1",),
        729_000_000,
        "7f63dcc14ef58c0e849b59091287e1844da97016073aac20403ae6c6132b950f",
        {"testA": 500, "testB": 500},
        {"trainA": f"train/{a}", "trainB": f"train/{b}", "testA": f"val/{a}", "testB": f"val/{b}"},
    )


_SETS = (
    _name_zhu("apple2orange", "apples, oranges", "ImageNet", 78_456_409, (995, 1019, 266, 248)),
    _name_zhu("summer2winter_yosemite", "Yosemite in summer, in winter", "Flickr", 132_640_856, (1231, 962, 309, 238)),
    _name_zhu("horse2zebra", "horses, zebras", "ImageNet", 116_867_962, (1067, 1334, 120, 140)),
    _name_zhu("monet2photo", "Monet's paintings, photographs", "WikiArt, Flickr", 305_231_073, (1072, 6287, 121, 751)),
    _name_zhu(
        "cezanne2photo", "Cézanne's paintings, photographs", "WikiArt, Flickr", 279_885_071, (525, 6287, 58, 751)
    ),
    _name_zhu("ukiyoe2photo", "Japanese woodcuts, photographs", "WikiArt, Flickr", 292_946_532, (562, 6287, 263, 751)),
    _name_zhu(
        "vangogh2photo", "Van Gogh's paintings, photographs", "WikiArt, Flickr", 306_590_349, (400, 6287, 400, 751)
    ),
    _name_zhu("maps", "aerial photographs, maps", "Google Maps", 1_476_754_427, (1096, 1096, 1098, 1098)),
    _name_zhu("facades", "facades, their parts in colours", "CMP Facades", 35_135_868, (400, 400, 106, 106)),
    _name_zhu("iphone2dslr_flower", "flowers by telephone, by camera", "Flickr", 339_964_458, (1812, 3325, 569, 480)),
    _name_zhu("ae_photos", "photographs to test with", "Alexei Efros", 10_000_000),
    _name_afhq("cat", "dog"),
    _name_afhq("cat", "wild"),
    _name_afhq("dog", "wild"),
    PublicSet(
        "cat2dog",
        "faces of cats, of dogs",
        "Google Images; Lee et al. 2018",
        "cat2dog.zip",
        ("http://vllab.ucmerced.edu/hylee/DRIT/datasets/cat2dog.zip",),
        counts=_count(771, 1264, 100, 100),
    ),
    PublicSet(
        "selfie2anime",
        "women's selfies, faces in anime",
        "Kim et al. 2020",
        "selfie2anime.zip",
        counts=_count(3400, 3400, 100, 100),
        page="https://drive.google.com/file/d/1xOWj1UVgp6NKMT3HbPhBbtq2A4EDkghF",
        advice="its owners keep it at Google Drive: fetch it with a browser",
    ),
    PublicSet(
        "cityscapes",
        "streets, their parts in colours",
        "Cordts et al. 2016; on registration",
        "cityscapes.zip",
        counts=_count(2975, 2975, 500, 500),
        page="https://www.cityscapes-dataset.com",
        advice="its owners hand it out themselves: register there, and put photographs into trainA and testA, "
        "the same images' colour-coded labels into trainB and testB",
    ),
)

CATALOGUE = {public.name: public for public in _SETS}


def find_dataset(name: str) -> PublicSet:
    """Return the catalogue's entry, or name the nearest one."""
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
        guess = f"; did you mean {near[0]}?" if near else ";"
        raise DataError(f"{name!r} is no data set that is known here{guess} see `diptych data list`")
    return CATALOGUE[name]


def is_present(root: Path) -> bool:
    """Return whether there is something in the folder."""
    return root.is_dir() and any(root.iterdir())


def to_table(folder: Path = Path("datasets")) -> Table:
    """Return the catalogue as a table that says which sets are present below a folder."""
    headings = ("A, B", "images to train, to test", "download", "owner", str(folder))
    table = Table(Column("name", no_wrap=True), *(Column(heading, overflow="fold") for heading in headings))
    for public in CATALOGUE.values():
        numbers = [str(public.counts.get(key, "?")) if key in public.folders else "0" for key in FOLDERS]
        images = f"{numbers[0]} + {numbers[1]}, {numbers[2]} + {numbers[3]}"
        size = decimal(public.size) if public.size else "?" if public.addresses else "by hand"
        present = "present" if is_present(folder / public.name) else ""
        table.add_row(public.name, public.title, images, size, public.owner, present)
    return table
