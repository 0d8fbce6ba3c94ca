"""Restore frames that your own program holds: any iterable in, a generator out, one for one and in order.

    python examples/restore_frames.py in.mp4 frame.png

Here PyAV decodes them; arrays from OpenCV (in RGB order) or imageio do as well, and so do float tensors.
"""

import sys
from collections.abc import Iterator
from itertools import islice

import av
import numpy as np

import edvr_cli


def read(path: str) -> Iterator[np.ndarray]:
    """RGB frames, uint8 (H, W, 3)."""
    with av.open(path) as video:
        for frame in video.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


source, picture = sys.argv[1:3]
model = edvr_cli.load_model("edvr-s-x4")
restored = edvr_cli.restore_frames(islice(read(source), 5), model)
for number, frame in enumerate(restored):
    print(f"frame {number}: {frame.shape[1]}x{frame.shape[0]}")
av.VideoFrame.from_ndarray(frame, format="rgb24").save(picture)
