"""`diptych data list | get NAME | check DIR`: public data sets, and whether the files of one can be trusted."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.cli.parser import count_files, path, pixels, real, whole, word
from diptych.errors import DataError
from diptych.terminal import say, show

if TYPE_CHECKING:
    from diptych.data.report import Report

_DATASETS = Path("datasets")
_SHOWN = 20  # bad files that are listed on screen; the index has them all


def add_data_commands(commands: Any) -> None:
    """Add `data` and what can be done with data to the parser's commands."""
    data = commands.add_parser("data", help="get and check data sets")
    actions = data.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="the public sets known by name")
    listing.add_argument(
        "--root", type=path, default=_DATASETS, metavar="DIR", help="where sets lie (default datasets)"
    )
    listing.set_defaults(run=_list)

    get = actions.add_parser("get", help="download and unpack a set")
    get.add_argument("name", type=word, help="of the list, hf:OWNER/NAME on Hugging Face, or parquet:FILE_OR_FOLDER")
    get.add_argument("--out", type=path, metavar="DIR", help="the set's folder (default datasets/NAME)")
    get.add_argument(
        "--columns", nargs=2, metavar=("A", "B"), help="of a Hugging Face set: two of images, or one and a label"
    )
    get.add_argument("--paired", action="store_true", help="of a Hugging Face set: a row's two images belong together")
    get.set_defaults(run=_get)

    check = actions.add_parser("check", help="decode every image and say what is wrong")
    check.add_argument("folder", type=path, help="a folder of images, or one with trainA trainB testA testB")
    check.add_argument("--channels", type=whole(1, 64), default=3, metavar="N", help="of each image (default 3)")
    check.add_argument(
        "--range", type=real(), nargs=2, metavar=("LOW", "HIGH"), help="files hold numbers of this range"
    )
    check.add_argument("--max-pixels", type=pixels, metavar="N", help="refuse larger images (default 150,000,000)")
    check.add_argument("--again", action="store_true", help="decode also what the index knows")
    check.set_defaults(run=_check)


def _list(options: argparse.Namespace) -> int:
    from diptych.data.catalogue import to_table

    show(to_table(options.root))
    return 0


def _get(options: argparse.Namespace) -> int:
    from diptych.data.catalogue import find_dataset
    from diptych.data.hugging_face import PREFIXES
    from diptych.data.installer import install_dataset

    if options.name.startswith(PREFIXES):
        name = options.name.partition(":")[2].rstrip("/").rpartition("/")[2].removesuffix(".parquet")
        if not name.strip("."):
            raise DataError(f"{options.name} names no data set; say hf:OWNER/NAME or parquet:PATH")
    else:
        name = find_dataset(options.name).name
    root = options.out or _DATASETS / name
    fetched = install_dataset(options.name, root, options.columns, options.paired)
    said = "ready" if fetched else "there already, nothing was fetched (remove it to fetch it anew)"
    say(f"{root}: {said}; train with data.root={root}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from diptych.data.report import examine_folder
    from diptych.images import Form

    words = {"channels": options.channels, "range": options.range}
    limit = {"max_pixels": options.max_pixels} if options.max_pixels else {}
    report = examine_folder(options.folder, Form.from_config(words | limit), options.again)
    show(report.to_table())
    _print_findings(report)
    say(f"index: {report.indexes[0].path.parent}")
    return DataError.exit_code if report.problems else 0


def _print_findings(report: "Report") -> None:
    for remark, files in report.remarks.items():
        say(f"notice: {count_files(files)}: {remark}")
    for words, files in report.twins.items():
        say(f"notice: {count_files(files)}: {words}")
    for problem in list(report.problems.values())[:_SHOWN]:
        say(f"error: {problem}")
    if len(report.problems) > _SHOWN:
        say(f"error: and {len(report.problems) - _SHOWN} more")
