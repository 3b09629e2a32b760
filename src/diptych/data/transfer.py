"""One request over http or https, and what can go wrong with it: for the moment, or for good."""

import codecs
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

_HEAD = 512  # bytes that tell an archive from a web page
_CHUNK = 2**18
_PASSING = {408, 416, 425, 429, 500, 502, 503, 504}  # statuses after which another request may succeed
_MARKUP = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<?xml", b"<!--")
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\f\r")


class PassingError(Exception):
    """This attempt failed; the next may not."""


class OutOfRangeError(PassingError):
    """What is here is no beginning of what is there."""


class LastingError(Exception):
    """This address will not do, however often it is asked."""


def request(address: str, start: int, version: str | None, timeout: float) -> HTTPResponse:
    """Ask for the bytes from `start` on, if the server still has that version of the file, or else for all."""
    headers = {"User-Agent": "diptych", "Accept-Encoding": "identity"}
    if start and version:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    opener = OpenerDirector()  # put together here, because urllib's own would read files and ftp as well
    for handler in (ProxyHandler, HTTPHandler, HTTPSHandler, _Redirects, HTTPDefaultErrorHandler, HTTPErrorProcessor):
        opener.add_handler(handler())
    try:
        _check_scheme(address)
        return opener.open(Request(address, headers=headers), timeout=timeout)
    except HTTPError as error:
        error.close()
        raise _explain_status(error) from error
    except (InvalidURL, ValueError) as error:
        raise LastingError(f"it is not an address ({error})") from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        lasting = isinstance(reason, str | socket.gaierror | ssl.SSLCertVerificationError)
        raise (LastingError if lasting else PassingError)(describe(reason)) from error


def _explain_status(error: HTTPError) -> Exception:
    if 300 <= error.code < 400:
        return LastingError(f"it redirects to {error.headers.get('Location')}, which is not followed")
    told = f"the server answers {error.code} {error.reason}"
    if error.code == 416:
        return OutOfRangeError(told)
    return PassingError(told) if error.code in _PASSING else LastingError(told)


class _Redirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Follow to http and https alone; urllib itself lets ftp through."""
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(address: str) -> None:
    if urlsplit(address).scheme.lower() not in ("http", "https"):
        raise LastingError(f"{address} is neither http nor https")


def read_body(response: HTTPResponse, promised: int | None) -> Iterator[bytes]:
    """Yield the body, which must be exactly as long as promised; the first piece is a head that tells its kind."""
    received = 0
    if promised is not None:
        response.length = promised + 1  # or a body that is longer than promised would look right
    while True:
        try:
            chunk = response.read1(_CHUNK) if received else response.read(min(_HEAD, promised or _HEAD))
        except (OSError, HTTPException) as error:
            if received == promised:  # everything is here, only the end of the connection is not
                return
            raise PassingError(describe(error)) from error
        if not chunk:
            break
        received += len(chunk)
        if promised is not None and received > promised:
            raise LastingError(f"it sends more than the {promised} bytes that it promised")
        yield chunk
    if promised is not None and received < promised:
        raise PassingError(f"the connection ended after {received} of {promised} bytes")


def check_head(head: bytes) -> None:
    """Refuse text: a portal or an error page is often served with status 200."""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        raise LastingError("the address serves a web page, not the file")
    with suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(head)
        if not _CONTROL & set(head):
            raise LastingError("the address serves text, not the file")


def name_version(response: HTTPResponse) -> str | None:
    """Return what the server calls this version of the file, fit for If-Range."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
        return str(tag)
    return response.headers.get("Last-Modified")


def continues(response: HTTPResponse, start: int, version: str | None) -> bool:
    """Return whether the body is the rest of that version: not every server heeds If-Range."""
    extent = str(response.headers.get("Content-Range", ""))
    return extent.startswith(f"bytes {start}-") and name_version(response) in (version, None)


def describe(error: object) -> str:
    """Return the reason in one line."""
    if isinstance(error, socket.gaierror):
        return "the host is not found; is there a network?"
    if isinstance(error, TimeoutError):
        return "the server does not answer in time"
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(told).split())
