"""A file cannot make the program reach the network or other files."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import imageio_ffmpeg
import pytest

from edvr_cli.errors import InputError
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.reading.reader import VideoReader
from edvr_cli.video.reading.sources import as_source, probe
from tests.support.clips import make_clip

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


class Server:
    """A server on this machine that remembers who asked for what, and serves one file."""

    def __init__(self, content: bytes) -> None:
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/secret.ts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serves a small video."""
    path = make_clip(tmp_path / "served.ts", frames=5, codec="mpeg2video", options={})
    server = Server(path.read_bytes())
    yield server
    server.close()


def playlist(folder: Path, address: str) -> Path:
    """An HLS playlist with one segment."""
    path = folder / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n")
    return path


def concat(folder: Path, address: str) -> Path:
    """A list for FFmpeg's concat demuxer."""
    path = folder / "list.ffconcat"
    path.write_text(f"ffconcat version 1.0\nfile '{address}'\n")
    return path


def dash(folder: Path, address: str) -> Path:
    """A DASH manifest."""
    path = folder / "list.mpd"
    period = f'<Representation id="1" bandwidth="1"><BaseURL>{address}</BaseURL></Representation>'
    path.write_text(
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        f'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp2t">{period}'
        "</AdaptationSet></Period></MPD>"
    )
    return path


def sdp(folder: Path, address: str) -> Path:
    """A session description."""
    path = folder / "session.sdp"
    path.write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 33\n")
    return path


@pytest.mark.parametrize("make", [playlist, concat, dash, sdp])
@pytest.mark.parametrize("suffix", [None, ".mp4"])
def test_a_file_cannot_lead_to_the_network(tmp_path: Path, server: Server, make, suffix: str | None):
    """Whatever it is called: one sentence, and no request."""
    path = make(tmp_path, server.address)
    if suffix is not None:
        path = path.rename(path.with_suffix(suffix))
    with pytest.raises(InputError):
        probe(path)
    assert server.asked == []


@pytest.mark.parametrize("make", [playlist, concat])
def test_a_file_cannot_lead_to_other_files(tmp_path: Path, make):
    """Not even to files in its own folder."""
    other = make_clip(tmp_path / "other.ts", frames=3, codec="mpeg2video", options={})
    with pytest.raises(InputError):
        probe(make(tmp_path, other.name))


def test_a_movie_whose_samples_lie_elsewhere_is_not_followed(tmp_path: Path, server: Server):
    """QuickTime's data references: those samples are missing, nothing is fetched."""
    clip = make_clip(tmp_path / "in.mov", frames=3)
    data = clip.read_bytes()
    place = data.index(b"dref")
    start = place - 4
    size = int.from_bytes(data[start:place], "big")
    name = server.address.encode() + b"\0"
    entry = (12 + len(name)).to_bytes(4, "big") + b"url " + b"\0\0\0\0" + name
    box = (16 + len(entry)).to_bytes(4, "big") + b"dref" + b"\0\0\0\0" + (1).to_bytes(4, "big") + entry
    grown = len(box) - size
    changed = data[:start] + box + data[start + size :]
    # The boxes around it grow by as much; the samples' offsets need not hold.
    for parent in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        at = changed.rindex(parent, 0, start) - 4
        length = int.from_bytes(changed[at : at + 4], "big") + grown
        changed = changed[:at] + length.to_bytes(4, "big") + changed[at + 4 :]
    crafted = tmp_path / "crafted.mov"
    crafted.write_bytes(changed)
    with suppress(InputError), VideoReader(crafted) as reader:
        list(reader)
    assert server.asked == []


def test_a_name_with_a_protocol_is_a_file(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    """An address is no file, and a colon in a name is no protocol."""
    with pytest.raises(InputError, match="no such file"):
        probe(server.address)
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "clip.mkv", frames=2).rename(tmp_path / "concat:a.mkv")
    assert probe("concat:a.mkv").frame_count == 2
    assert server.asked == []


def test_with_permission_files_may_lead_elsewhere(tmp_path: Path, server: Server):
    """--allow-network takes addresses and playlists."""
    allowed = InputOptions(allow_network=True)
    assert as_source(server.address, allowed).describe().codec == "mpeg2video"
    assert as_source(playlist(tmp_path, server.address), allowed).describe().codec == "mpeg2video"
    assert server.asked


def test_reading_a_sequence_opens_its_pictures_only(tmp_path: Path):
    """A picture that is something else is refused, not opened as that."""
    subprocess.run(
        [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=0.04", str(tmp_path / "1.png")], check=True
    )
    (tmp_path / "2.png").write_text(f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/1.png\n")
    with pytest.raises(InputError, match=r"2\.png"):
        list(VideoReader(tmp_path / "%d.png"))
    assert "image2" in av.formats_available  # which is not used
