"""One file from the first URL that gives it: pooch transfers and checks it; here is how often, and what is said."""

import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from time import sleep

import pooch
import requests

from diptych.errors import DataError
from diptych.terminal import complain

_ATTEMPTS = 4
_TIMEOUT = 30.0  # seconds without a byte
_BUSY = {408, 425, 429, 500, 502, 503, 504}  # statuses after which another request may succeed
_HOPELESS = (socket.gaierror, ssl.SSLCertVerificationError)  # connections that another attempt would not bring about

pooch.get_logger().setLevel("WARNING")  # what it would say is said here, with the owner and the size


def download(urls: Sequence[str], target: Path, sha256: str | None = None) -> str:
    """Fetch `target` from the first URL that gives a file of this hash; return that URL, or say why none did."""
    reasons = []
    for url in urls:
        reason = _try_repeatedly(url, target, sha256)
        if reason is None:
            return url
        reasons.append(f"{url}: {reason}")
        complain(reasons[-1])
    raise DataError(f"{target.name} could not be downloaded ({'; '.join(reasons)})")


def _try_repeatedly(url: str, target: Path, sha256: str | None) -> str | None:
    """Return why there is no such file at the URL, or None if it has been fetched."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            pooch.retrieve(url, sha256, target.name, target.parent, downloader=_transfer)
            return None
        except (requests.RequestException, ValueError) as error:  # ValueError: the hash is another
            reason, retryable = _explain(error), _is_retryable(error)
        if not retryable or attempt == _ATTEMPTS:
            break
        complain(f"{url}: {reason}; trying again")
        sleep(2.0 ** (attempt - 1))
    return reason


def _transfer(url: str, file: str, _: object) -> None:
    fetch = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=2**18,
        timeout=_TIMEOUT,
        headers={"User-Agent": "diptych", "Accept-Encoding": "identity"},  # the hash is that of the file as it is
    )
    fetch(url, file, None)
    with Path(file).open("rb") as received:
        head = received.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in (b"", b"<"):  # a portal or an error page is often served with status 200
        raise ValueError("it serves a web page, not the file" if head else "it serves an empty file")


def _is_retryable(error: Exception) -> bool:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in _BUSY
    lost = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, lost) and not isinstance(_find_cause(error), _HOPELESS)


def _explain(error: Exception) -> str:
    """Return the reason in one line; what requests itself says of a lost connection is mostly names of objects."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    cause = _find_cause(error)
    if isinstance(cause, socket.gaierror):
        return "the host is not found; is there a network?"
    told = str(getattr(cause, "strerror", None) or cause)
    return " ".join(told.split(". ")[0].split())


def _find_cause(error: BaseException) -> BaseException:
    while error.__context__ is not None:
        error = error.__context__
    return error
