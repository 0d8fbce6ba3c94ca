"""Download of one file over HTTP: resumed after interruptions, and checked before it gets its name.

The standard library's client does it, proxies of the environment included. Of the libraries, pooch and torch.hub
check but do not resume, huggingface_hub knows one host, and gdown, which knows Google Drive's pages, does not check.
"""

import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, BinaryIO

from edvr_cli.errors import DownloadError
from edvr_cli.system.files import create, open_regular, sha256_of, take_name

__all__ = ["OnBytes", "download"]

OnBytes = Callable[[int, int | None], None]
"""Told (bytes so far, bytes in all or None)."""

_CHUNK = 1 << 18
_TRIES = 4  # connections that bring nothing new
_PATIENCE = 30.0  # seconds without a byte
_RANGE_REFUSED = 416


def download(
    address: str, target: Path, *, sha256: str = "", on_bytes: OnBytes | None = None, patience: float = _PATIENCE
) -> None:
    """Fetch ``address`` into ``target`` by way of ``target.part``, continuing an interrupted download.

    ``sha256`` is the whole digest or its beginning; a file that has another is deleted. A connection that breaks, or
    is silent for ``patience`` seconds, is opened again as long as that brings something. Google Drive's page before
    large files is answered. Raises DownloadError; then ``target`` is as it was, and what came is kept for next time.
    """
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise DownloadError(f"{address} is not an http or https address")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    # Pages before a file recognize by a cookie who has seen them.
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    tries = 0
    while True:
        before = _size(partial)
        try:
            _fetch(opener, address, partial, on_bytes, patience)
            break
        except urllib.error.HTTPError as error:
            if error.code == _RANGE_REFUSED and before:  # what is here is not a part of it
                partial.unlink()
                continue
            raise DownloadError(f"{address}: the server answers {error.code} {error.reason}") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            tries = tries + 1 if _size(partial) <= before else 0
            if tries >= _TRIES or (isinstance(error, urllib.error.URLError) and not before):
                why = getattr(error, "reason", None) or error or type(error).__name__
                kept = f"; {_size(partial)} bytes are kept; try again to continue" if _size(partial) else ""
                raise DownloadError(f"{address} cannot be fetched: {why}{kept}") from error
    digest = sha256_of(partial)
    if not digest.startswith(sha256):
        partial.unlink()
        raise DownloadError(f"{address} sent a file whose sha256 is {digest}, not {sha256}: it was not kept")
    take_name(partial, target)


def _fetch(
    opener: urllib.request.OpenerDirector, address: str, partial: Path, on_bytes: OnBytes | None, patience: float
) -> None:
    """One connection's worth, appended to ``partial``; OSError where it ends too early."""
    response = _open(opener, address, _size(partial), patience)
    if response.headers.get_content_type() == "text/html":
        with response:
            page = response.read(1 << 20).decode("utf-8", "replace")
        response = _open(opener, _confirmed(page, response.url), _size(partial), patience)
        if response.headers.get_content_type() == "text/html":
            raise DownloadError(f"{address} sends a page instead of the file: {_title(page)}")
    with response:
        match = re.match(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        resumed = response.status == http.client.PARTIAL_CONTENT and match and int(match[1]) == _size(partial)
        done = _size(partial) if resumed else 0
        length = response.headers.get("Content-Length")
        total = int(match[2]) if resumed and match else int(length) if length else None
        with _open_partial(partial) as file:
            if not resumed:
                file.truncate(0)
            while chunk := response.read1(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if on_bytes is not None:
                    on_bytes(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")


def _open(opener: urllib.request.OpenerDirector, address: str, offset: int, patience: float) -> Any:
    """An open response that begins at byte ``offset`` if the server can do that."""
    request = urllib.request.Request(address, headers={"User-Agent": "edvr-cli"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    return opener.open(request, timeout=patience)


def _confirmed(page: str, address: str) -> str:
    """The address that a page's "download anyway" form leads to. Raises DownloadError where it has none."""
    form = _Form()
    form.feed(page)
    if form.action is None:
        raise DownloadError(f"{address} sends a page instead of the file: {_title(page)}")
    action = urllib.parse.urljoin(address, form.action)
    return f"{action}{'&' if '?' in action else '?'}{urllib.parse.urlencode(form.fields)}"


class _Form(HTMLParser):
    """The first form of a page: where it leads, and its hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a form or a field."""
        found = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = found.get("action")
        elif tag == "input" and found.get("type") == "hidden" and found.get("name"):
            self.fields[str(found["name"])] = found.get("value") or ""


def _title(page: str) -> str:
    match = re.search(r"<title>(.*?)</title>", page, re.DOTALL | re.IGNORECASE)
    return " ".join(match[1].split())[:100] if match else "it has no title"


def _open_partial(path: Path) -> BinaryIO:
    """What an earlier try left, or a new file."""
    try:
        return open_regular(path, write=True)
    except FileNotFoundError:
        return create(path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0
