"""A file server on the loopback address that misbehaves on request."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """``files`` by path. What it was asked is in ``requests``: (path, the Range header)."""

    files: dict[str, bytes]
    address: str = ""
    cut: list[int] = field(default_factory=list)
    """Each request takes one from the front: hang up after so many bytes."""
    status: int = 200
    ranges: bool = True
    pause: float = 0.0
    """Seconds of silence in the middle of each file."""
    page: bytes = b""
    """Sent to who does not bring ``confirm=t``."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    """A server on a free port, for the time of a with block."""
    state = Server(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, state)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, state: Server) -> None:
    wanted = request.headers.get("Range")
    state.requests.append((request.path, wanted))
    content = state.files.get(request.path.split("?")[0].lstrip("/"))
    if state.status != 200 or content is None:
        request.send_error(state.status if state.status != 200 else 404)
        return
    if state.page and "confirm=t" not in request.path:
        _send(request, 200, state.page, {"Content-Type": "text/html; charset=utf-8"})
        return
    start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
    if start >= len(content) and start:
        request.send_error(416)
        return
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(content) - start)}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    body = content[start:]
    if state.cut:
        body = body[: state.cut.pop(0)]
    _send(request, 206 if start else 200, body, headers, state.pause)


def _send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str], pause: float = 0.0
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    half = len(body) // 2 if pause else len(body)
    request.wfile.write(body[:half])
    request.wfile.flush()
    if pause:
        time.sleep(pause)
        try:
            request.wfile.write(body[half:])
        except OSError:
            return  # nobody waited for it
