"""A picture of what restoring changed: bicubic enlargement on the left, the restored video on the right.

    python examples/before_after.py in.mp4 restored.mp4 picture.png

Above the whole frame at half its size, below the part where the two differ most, pixel for pixel.
"""

import sys

import av
import numpy as np
import torch
import torch.nn.functional as F

from edvr_cli.image.lettering import dot_for, label_above
from edvr_cli.image.resize import resize

source, restored, picture = sys.argv[1:4]


def frame_at(path: str, number: int) -> torch.Tensor:
    """One frame as RGB (3, H, W) in [0, 1]."""
    with av.open(path) as video:
        for index, frame in enumerate(video.decode(video=0)):
            if index == number:
                return torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1) / 255
    sys.exit(f"{path} has no frame {number}")


def frame_count(path: str) -> int:
    """Frames of a video, by counting its packets."""
    with av.open(path) as video:
        return sum(1 for packet in video.demux(video=0) if packet.size)


middle = frame_count(restored) // 2
after = frame_at(restored, middle)
height, width = after.shape[1:]
before = resize(frame_at(source, middle), (height, width), "bicubic").clamp(0, 1)

# The half-by-half part of the frame with the largest difference, found on a coarse grid.
difference = (after - before).abs().mean(dim=0)[None, None]
part = height // 2 // 8 * 8, width // 2 // 8 * 8
score = F.avg_pool2d(difference, part, stride=8)[0, 0]
row, column = (int(n) * 8 for n in np.unravel_index(int(score.argmax()), score.shape))


def column_of(frame: torch.Tensor) -> torch.Tensor:
    """The frame, small, above its part."""
    crop = frame[:, row : row + part[0], column : column + part[1]]
    return torch.cat((resize(frame, part, "bicubic").clamp(0, 1), crop), dim=1)


halves = {"bicubic": column_of(before), "EDVR": column_of(after)}
dot = dot_for(height, part[1], *halves)
labelled = [label_above((half * 255).round().to(torch.uint8), name, dot) for name, half in halves.items()]
gap = torch.full((3, labelled[0].shape[1], 8), 255, dtype=torch.uint8)
pixels = torch.cat((labelled[0], gap, labelled[1]), dim=2).permute(1, 2, 0).contiguous().numpy()
av.VideoFrame.from_ndarray(pixels, format="rgb24").save(picture)
print(f"frame {middle}: bicubic on the left, restored on the right: {picture}")
