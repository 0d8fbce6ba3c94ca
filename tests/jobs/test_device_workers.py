"""Several devices of one machine: two workers on the CPU make what one process makes, whatever happens to them."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from edvr_cli.errors import DeviceError, StoppedError
from edvr_cli.events import Event, FrameRestored, Notice, Started
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.jobs import device_workers
from edvr_cli.jobs.device_workers import DeviceWorkers, engine_setups
from edvr_cli.jobs.options import JobOptions
from edvr_cli.jobs.plan import plan_restore
from edvr_cli.jobs.segments import SegmentLimits
from edvr_cli.system.limits import available_memory
from tests.jobs.test_restore_video import TINY, after, digests, names, restore
from tests.support.clips import make_clip, packets
from tests.support.networks import random_network

FRAMES = 22


@pytest.fixture(scope="module")
def workers() -> Iterator[DeviceWorkers]:
    """Two of them, which stay for the next test unless it ends them."""
    with DeviceWorkers(["cpu", "cpu"]) as workers:
        yield workers
    assert not multiprocessing.active_children()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with a cut, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("devices")
    make_clip(folder / "in.mp4", width=32, height=24, frames=FRAMES, cut=(9, 1), audio=("aac",))
    restore(folder / "in.mp4", folder / "one.mp4")
    return folder


def kill_a_worker() -> None:
    """As the system does where memory is short."""
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)


def test_two_workers_make_what_one_process_makes(folder: Path, tmp_path: Path, workers: DeviceWorkers):
    """The same encoded packets; each frame is reported once, in turn, and the devices by name."""
    events: list[Event] = []
    finished = restore(folder / "in.mp4", tmp_path / "two.mp4", backend=workers, on_event=events.append)
    assert (finished.frames, finished.restored) == (FRAMES, FRAMES)
    assert packets(tmp_path / "two.mp4", "video") == packets(folder / "one.mp4", "video")
    started = next(event for event in events if isinstance(event, Started))
    assert (started.device, started.workers, started.precision, started.tile) == ("2 × cpu", 2, "fp32", 0)
    counted = [event.done for event in events if isinstance(event, FrameRestored)]
    assert counted == list(range(1, FRAMES + 1))
    assert names(tmp_path) == ["two.mp4"]


def test_a_killed_worker_is_replaced_and_its_segment_done_again(folder: Path, tmp_path: Path, workers: DeviceWorkers):
    """With a notice, and to the same frames, none of which is counted twice."""
    events: list[Event] = []

    def kill(event: Event) -> None:
        events.append(event)
        if isinstance(event, FrameRestored) and event.done == 1:
            kill_a_worker()

    restore(folder / "in.mp4", tmp_path / "two.mp4", backend=workers, on_event=kill)
    assert digests(tmp_path / "two.mp4") == digests(folder / "one.mp4")
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert "The worker on cpu ended before its time; its segment is begun again." in notices
    assert [event.done for event in events if isinstance(event, FrameRestored)] == list(range(1, FRAMES + 1))


def test_a_segment_whose_worker_is_always_lost_is_given_up(
    folder: Path, tmp_path: Path, workers: DeviceWorkers, monkeypatch: pytest.MonkeyPatch
):
    """In one sentence."""
    monkeypatch.setattr(device_workers, "MAX_RETRIES", 0)

    def kill(event: Event) -> None:
        if isinstance(event, Started):
            kill_a_worker()

    with pytest.raises(
        DeviceError, match=r"^The worker on cpu was ended 1 times over one segment, perhaps .* lack of memory"
    ):
        restore(folder / "in.mp4", tmp_path / "two.mp4", backend=workers, on_event=kill)
    assert not (tmp_path / "two.mp4").exists()


@pytest.mark.parametrize("again", ["one", "two"])
def test_a_job_goes_on_with_other_devices(folder: Path, tmp_path: Path, workers: DeviceWorkers, again: str):
    """Interrupted at once, it keeps what is finished; one device or two go on."""
    with pytest.raises(KeyboardInterrupt):
        restore(folder / "in.mp4", tmp_path / "two.mp4", backend=workers, on_event=after(14))
    assert names(tmp_path) == [".two.mp4.edvr"]
    finished = restore(folder / "in.mp4", tmp_path / "two.mp4", backend=workers if again == "two" else None)
    assert 0 < finished.restored < FRAMES
    assert digests(tmp_path / "two.mp4") == digests(folder / "one.mp4")


def test_the_segments_at_work_are_ended_before_a_stop(folder: Path, tmp_path: Path, workers: DeviceWorkers):
    """As after the first Ctrl-C."""
    counted: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, FrameRestored):
            counted.append(event.done)

    with pytest.raises(StoppedError):
        restore(
            folder / "in.mp4", tmp_path / "two.mp4", backend=workers, on_event=listen, stop=lambda: len(counted) >= 1
        )
    finished = restore(folder / "in.mp4", tmp_path / "two.mp4", backend=workers)
    assert 0 < finished.restored == FRAMES - counted[-1]


def test_an_error_in_a_worker_is_the_sentence_that_one_process_says(
    folder: Path, tmp_path: Path, workers: DeviceWorkers
):
    """And the next video is restored all the same."""
    broken = random_network(**TINY)
    next(iter(broken.parameters())).fill_(float("nan"))
    sentences = []
    for backend in (None, workers):
        with pytest.raises(DeviceError) as caught:
            restore(folder / "in.mp4", tmp_path / "out.mp4", model=broken, backend=backend, segment_seconds=1.0)
        sentences.append(re.sub(r"frame \d+", "a frame", str(caught.value)))  # whichever worker came first
    assert sentences[0] == sentences[1] and "parameters that are not finite" in sentences[1]
    assert restore(folder / "in.mp4", tmp_path / "out.mp4", backend=workers).frames == FRAMES


def test_what_both_workers_say_is_said_once(folder: Path, tmp_path: Path, workers: DeviceWorkers):
    """Here, that the CPU's own kernels leave nothing to compile."""
    events: list[Event] = []
    restore(
        folder / "in.mp4", tmp_path / "out.mp4", backend=workers, on_event=events.append,
        inference=InferenceOptions("fp32", torch_compile=True),
    )  # fmt: skip
    notes = [event.message for event in events if isinstance(event, Notice)]
    assert len(notes) == 1 and "ompil" in notes[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_restored_by_one_device(folder: Path, tmp_path: Path, workers: DeviceWorkers):
    """It cannot be read from the middle; a sentence says so."""
    os.mkfifo(pipe := tmp_path / "in.ts")
    content = make_clip(tmp_path / "clip.ts", width=32, height=24, frames=6).read_bytes()
    writer = threading.Thread(target=lambda: pipe.write_bytes(content))
    writer.start()
    events: list[Event] = []
    restored = restore(pipe, tmp_path / "out.mp4", backend=workers, on_event=events.append)
    writer.join()
    assert restored.frames == 6
    said = [event.message for event in events if isinstance(event, Notice)]
    assert f"{pipe} can be read only once, in order: one device is used, cpu." in said


def test_workers_on_the_cpu_share_threads_and_memory(folder: Path, tmp_path: Path):
    """Each GPU has its own memory."""
    plan = plan_restore(
        folder / "in.mp4", tmp_path / "out.mp4", model=random_network(**TINY), job=JobOptions(threads=7)
    )
    limited = replace(plan, inference=InferenceOptions(max_memory=900))
    assert [(s.threads, s.inference.max_memory) for s in engine_setups(limited, ["cpu"] * 3)] == [(2, 300)] * 3
    assert [s.inference.max_memory for s in engine_setups(limited, ["cuda:0", "cuda:1"])] == [900, 900]
    assert engine_setups(plan, ["cuda:0", "cuda:1"])[0].inference.max_memory is None
    half = engine_setups(plan, ["cpu", "cpu"])[0].inference.max_memory
    assert half is not None and abs(half - available_memory() // 2) < available_memory() / 4
    assert [s.threads for s in engine_setups(replace(plan, job=JobOptions()), ["cpu", "cpu"])] == [
        max(1, torch.get_num_threads() // 2)
    ] * 2


def test_a_program_without_a_guard_is_told_so(folder: Path, tmp_path: Path):
    """Its workers would begin its work again, each with workers of its own."""
    program = tmp_path / "program.py"
    program.write_text(
        "from edvr_cli.jobs.device_workers import DeviceWorkers\n"
        "from tests.jobs.test_restore_video import restore\n"
        f"restore({str(folder / 'in.mp4')!r}, 'out.mp4', backend=DeviceWorkers(['cpu', 'cpu']))\n"
    )
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert 'belongs below if __name__ == "__main__"' in run.stderr.splitlines()[-1]


def test_segments_are_short_enough_for_every_worker():
    """A clip of two seconds would be one segment; a film's are as long as ever."""
    limits = SegmentLimits(50, 100)
    assert limits.shared_by(1, 48) == limits
    assert limits.shared_by(2, 48) == SegmentLimits(6, 12)
    assert limits.shared_by(2, 20).longest == 12
    assert limits.shared_by(2, 10_000) == limits
    assert limits.shared_by(2, None) == limits


def started_command(folder: Path, tmp_path: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """(``edvr upscale --device cpu,cpu`` as a group of its own, its workers), when a segment is on disk."""
    arguments = ("upscale", folder / "in.mp4", "out.mp4", "--device", "cpu,cpu", "--segment", "0.04", "--threads", "2")
    run = subprocess.Popen(
        [sys.executable, "-m", "edvr_cli", *arguments],
        cwd=tmp_path, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: bool(list(tmp_path.glob(".out.mp4.edvr/*.mkv"))) or run.poll() is not None)
    children = psutil.Process(run.pid).children(recursive=True)
    return run, [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it is true; five minutes at most."""
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups that a test could interrupt")
def test_ctrl_c_keeps_segments_and_ends_the_workers(folder: Path, tmp_path: Path):
    """The terminal sends it to all processes; no worker says anything."""
    run, workers = started_command(folder, tmp_path)
    assert len(workers) == 2
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 130, said
    assert "Stopping when the current segment is done" in said and "are kept in" in said
    assert "Traceback" not in said
    wait_for(lambda: not any(worker.is_running() for worker in workers))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_workers_end_when_the_main_process_is_killed(folder: Path, tmp_path: Path):
    """Nobody is left who would wait for what they make."""
    run, workers = started_command(folder, tmp_path)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=300)
    wait_for(lambda: not any(worker.is_running() for worker in workers))
