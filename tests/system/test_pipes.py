"""Pipes that stall can be left."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from edvr_cli.errors import EdvrError, InputError, StoppedError
from edvr_cli.system.pipes import PipeReader, write_all
from edvr_cli.system.threads import Drain, left_behind, prefetch
from edvr_cli.video.reading.options import InputOptions
from edvr_cli.video.reading.sources import as_source

pytestmark = pytest.mark.skipif(os.name != "posix", reason="select takes pipes there alone")

Y4M = b"YUV4MPEG2 W16 H16 F25:1 Ip C420jpeg\n" + (b"FRAME\n" + bytes(384)) * 3


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_all_that_is_written_is_read(pipe: Path):
    """However it comes, also where nobody writes yet when it is opened."""
    reader = PipeReader(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            for byte in (b"abc", b"def"):
                file.write(byte)
                time.sleep(0.05)

    thread = threading.Thread(target=write)
    thread.start()
    parts = []
    while part := reader.read(2):
        parts.append(part)
    thread.join()
    reader.close()
    assert b"".join(parts) == b"abcdef"


def test_a_thread_that_waits_for_a_pipe_ends_when_nobody_wants_it(pipe: Path):
    """With the reader that it was reading."""
    reader = PipeReader(pipe)
    items = prefetch(iter(lambda: reader.read(10), b""), 1)
    with pipe.open("r+b", buffering=0) as file:  # open for both, so that it never ends
        file.write(b"x")
        assert next(items) == b"x"
        began = time.monotonic()
        items.close()
    assert time.monotonic() - began < 8 and not left_behind()


@pytest.mark.parametrize("content", [b"", Y4M], ids=["nothing came", "some frames came"])
def test_a_signal_ends_the_waiting(pipe: Path, content: bytes):
    """Although libav is what asked for more."""
    with pipe.open("r+b", buffering=0) as file:
        file.write(content)
        source = as_source(pipe, InputOptions())
        threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
        with pytest.raises((StoppedError, KeyboardInterrupt)):
            source.describe()
            for _ in source.frames(instant=None, threads=1, on_warning=print):
                pass


def test_what_comes_through_a_pipe_is_the_video(pipe: Path):
    """Frame by frame."""
    thread = threading.Thread(target=lambda: pipe.write_bytes(Y4M))
    thread.start()
    source = as_source(pipe, InputOptions())
    assert source.describe().width == 16
    assert len(list(source.frames(instant=None, threads=1, on_warning=print))) == 3
    thread.join()


def test_a_pipe_that_cannot_be_opened_is_an_error(pipe: Path, monkeypatch: pytest.MonkeyPatch):
    """With the system's reason."""

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied", str(pipe))

    monkeypatch.setattr("edvr_cli.system.pipes.os.open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        as_source(pipe, InputOptions()).describe()


def test_a_writer_ends_when_the_other_end_stalls():
    """More than a pipe holds, and nobody who reads."""
    begin, end = os.pipe()
    began = time.monotonic()
    with pytest.raises(EdvrError, match="enough"), Drain(lambda part: write_all(end, part), 1) as drain:
        drain.put(bytes(1 << 20))
        time.sleep(0.2)
        raise EdvrError("enough")
    assert time.monotonic() - began < 8 and not left_behind()
    os.close(begin)
    with pytest.raises(BrokenPipeError):
        write_all(end, b"x")
    os.close(end)
