"""Restore a video file with the Python API, and follow it.

python examples/restore_video.py in.mp4 out.mp4
"""

import sys

import edvr_cli
from edvr_cli import InputOptions
from edvr_cli.events import Event, FrameRestored, Notice, Started


def show(event: Event) -> None:
    """Events are plain values; match those you care for."""
    match event:
        case Started(model=model, device=device, output_size=(width, height)):
            print(f"{model} on {device}, output {width}x{height}")
        case FrameRestored(done=done, total=total):
            print(f"{done} of {total}", end="\r")
        case Notice(message=message):
            print(message)


source, target = sys.argv[1:3]
try:
    first_frames = InputOptions(max_frames=8)
    finished = edvr_cli.restore_video(source, target, model="edvr-s-x4", input=first_frames, on_event=show)
except edvr_cli.EdvrError as error:
    sys.exit(f"failed: {error}")
print(f"{finished.frames} frames in {finished.seconds:.1f} s: {finished.target}")
