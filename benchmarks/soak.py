"""Kill, fill and damage: does a job end with the same frames, whatever happens to it on the way?

    python benchmarks/soak.py kills --count 50      kill -9 at random moments, again and again
    python benchmarks/soak.py disk                  a file system that is too small (needs the right to mount a tmpfs)
    python benchmarks/soak.py damage --count 20     segments and manifests cut short or changed between runs
    python benchmarks/soak.py folder DIR            many files in one command

A tiny random network, so that the work around it is what is tried. Exit code 1 where anything is not as it should be.
Runs that are killed are forks of this process, which has everything imported: what is tried begins at once.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import deque
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch

# Before the first import of the package: compiling would be most of a killed run's life.
sys.modules["numba"] = None  # type: ignore[assignment]
# ruff: noqa: E402
from edvr_cli import cli
from edvr_cli.models.checkpoint import save_model
from edvr_cli.network.edvr import EDVR, EDVRConfig

SEED = 6
CONFIG = EDVRConfig(
    features=8, groups=2, extraction_blocks=0, reconstruction_blocks=0, tail=4, tsa=False, cascade=False, levels=1
)
SOURCE, TARGET = "in.mp4", "out.mp4"
OPTIONS = ["--model", "model.safetensors", "--preset", "ultrafast", "--segment", "0.4", "--device", "cpu"]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "disk", "damage", "folder"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--frames", type=int, default=150)
    arguments = parser.parse_args()
    generator = random.Random(SEED)
    with tempfile.TemporaryDirectory(prefix="edvr-soak-") as name:
        folder = Path(name)
        if arguments.what == "folder":
            prepare_model(folder)
            sys.exit(many_files(folder, arguments.folder))
        prepare_model(folder)
        make_video(folder / SOURCE, arguments.frames)
        began = time.monotonic()
        torch.set_num_threads(1)
        assert fork(folder) == 0
        (folder / TARGET).rename(folder / "whole.mp4")
        print(f"uninterrupted: {arguments.frames} frames in {time.monotonic() - began:.1f} s")
        if arguments.what == "kills":
            kills(folder, arguments.count, generator)
        elif arguments.what == "damage":
            damages(folder, arguments.count, generator)
        else:
            full_disk(folder)


def kills(folder: Path, count: int, generator: random.Random) -> None:
    """Kill runs at random moments until ``count`` are killed; let the last job end."""
    killed = finished = kept = 0
    while killed < count:
        code = fork(folder, kill_after=generator.randint(0, 45), wait=generator.uniform(0, 0.2))
        if code == -signal.SIGKILL:
            killed += 1
            kept += bool(list(folder.glob(".*.edvr/*.mkv")))
        else:
            assert code == 0, code
            check(folder)
            finished += 1
    assert fork(folder) == 0
    check(folder)
    finished += 1
    print(f"killed {killed} times ({kept} with segments on disk), {finished} jobs finished: frames identical, clean")


def damages(folder: Path, count: int, generator: random.Random) -> None:
    """Interrupt a job, damage what it keeps, and let it go on."""
    refused = damaged = 0
    while damaged < count:
        if fork(folder, kill_after=generator.randint(25, 120)) == 0:
            check(folder)
            continue
        if (folder / TARGET).exists():  # killed at its very end: at most, something is left to tidy up
            assert not list(folder.glob(".*.edvr")) or fork(folder) == 0
            check(folder)
            continue
        kept = [path for path in folder.glob(".*.edvr/*") if path.suffix in (".mkv", ".jsonl") and path.stat().st_size]
        for path in generator.sample(kept, min(2, len(kept))):
            if generator.random() < 0.5:
                os.truncate(path, generator.randrange(path.stat().st_size))
            else:
                data = bytearray(path.read_bytes())
                data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
                path.write_bytes(data)
        damaged += 1
        code = fork(folder)
        if code == 1:  # The manifest's first line was hit.
            refused += 1
            code = fork(folder, "--fresh")
        assert code == 0, code
        check(folder)
    print(f"damaged {count} jobs ({refused} refused until --fresh): frames identical, clean")


def fork(folder: Path, *options: str, kill_after: int | None = None, wait: float = 0) -> int:
    """Run the command as a fork, killed ``wait`` seconds after so many lines of events; its exit code."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        os.chdir(folder)
        os.dup2(writer, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            cli.main(command(TARGET, "--json", *options)[3:])
        except SystemExit as error:
            os._exit(int(error.code or 0))
        except BaseException:
            traceback.print_exc(file=sys.__stdout__)
            os._exit(70)
    os.close(writer)
    with os.fdopen(reader) as events:
        deque(islice(events, kill_after), maxlen=0)
        if kill_after is not None:
            time.sleep(wait)
            os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def full_disk(folder: Path) -> None:
    """Work on a file system without room, then with room."""
    disk = folder / "disk"
    disk.mkdir()
    size = (folder / "whole.mp4").stat().st_size
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size // 2 // 4096 * 4096}", "tmpfs", str(disk)], check=True)
    try:
        target = f"disk/{TARGET}"
        for part, room in (("segments", 0.5), ("join", 1.5), ("enough", 3)):
            subprocess.run(["mount", "-o", f"remount,size={int(size * room) // 4096 * 4096}", str(disk)], check=True)
            run = edvr(folder, target)
            print(f"{part}: exit {run.returncode}: {' / '.join(run.stderr.strip().splitlines()[-2:])}")
            assert run.returncode == (0 if part == "enough" else 1), run.stderr
            assert not (folder / target).exists() or part == "enough"
            assert not list(disk.rglob("*.part"))
        assert sorted(path.name for path in disk.iterdir()) == [TARGET]
        assert digest(folder / target) == digest(folder / "whole.mp4")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    print("full disk: frames identical, clean")


def many_files(folder: Path, inputs: Path) -> int:
    """All of a folder's files in one command; returns its exit code."""
    began = time.monotonic()
    run = subprocess.run(
        [*command(str(folder / "out"), "--frames", "1", "--scale", "1", source=str(inputs)), "-r", "--include", "*"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "160"},
    )
    lines = run.stderr.splitlines()
    print("\n".join(lines[next(n for n, line in enumerate(lines) if line.startswith("file ")) :]))
    print(f"exit {run.returncode} after {time.monotonic() - began:.0f} s; {len(run.stdout.splitlines())} results")
    left = list(folder.rglob(".*.edvr"))
    return int(bool(left))


def check(folder: Path) -> None:
    """The output is what the uninterrupted run made, and nothing else is there; it is removed for the next round."""
    assert digest(folder / TARGET) == digest(folder / "whole.mp4"), "other frames"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [SOURCE, "model.safetensors", TARGET, "whole.mp4"], names
    (folder / TARGET).unlink()


def digest(path: Path) -> str:
    """Of all decoded frames and their times."""
    value = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            value.update(f"{frame.pts * frame.time_base}".encode())
            value.update(frame.to_ndarray().tobytes())
    return value.hexdigest()


def command(target: str, *options: str, source: str = SOURCE) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "edvr_cli", "upscale", source, target, *OPTIONS, *options]


def edvr(folder: Path, target: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(command(target, *options), cwd=folder, capture_output=True, text=True, check=False)


def prepare_model(folder: Path) -> None:
    """A network that nobody trained."""
    torch.manual_seed(SEED)
    save_model(EDVR(CONFIG).eval(), folder / "model.safetensors")


def make_video(path: Path, frames: int) -> None:
    """Noise that moves, with a cut every 37 frames."""
    generator = np.random.default_rng(SEED)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"preset": "ultrafast", "g": "24", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(frames):
            if number % 37 == 0:
                scene = generator.integers(0, 256, (32, 48, 3), dtype=np.uint8) // 2 + (number % 2) * 100
            frame = av.VideoFrame.from_ndarray(np.roll(scene, number, axis=1).astype(np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
