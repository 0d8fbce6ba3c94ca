"""What the loop asks of a GPU, without one: on torch's meta device, where whatever waits for a result raises."""

import threading
from contextlib import contextmanager
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edvr_cli.bench import network as bench_network
from edvr_cli.bench.sizes import SIZES
from edvr_cli.errors import DeviceError
from edvr_cli.inference import memory_plan as memory
from edvr_cli.inference.engine import StreamingEDVR
from edvr_cli.inference.options import InferenceOptions
from edvr_cli.inference.precision import dtype_for
from edvr_cli.jobs import pipeline
from edvr_cli.jobs.pipeline import LabelledFrame, restore_segments, to_rgb
from edvr_cli.jobs.segments import SegmentLimits
from edvr_cli.network import edvr
from edvr_cli.network.model import Model
from edvr_cli.network.windows import windows
from edvr_cli.ops import conv
from edvr_cli.system.gpu_copy import Download, upload
from edvr_cli.video.pixels.color import resolve
from edvr_cli.video.pixels.layout import nearest_layout
from edvr_cli.video.reading.info import VideoInfo
from edvr_cli.video.reading.reader import SourceFrame
from edvr_cli.video.reading.sources import FileSource
from edvr_cli.video.writing.encoders import plan_encoder
from edvr_cli.video.writing.options import Encoding
from tests.support.networks import random_network

META = torch.device("meta")


class Launches(TorchDispatchMode):
    """Counts the operations that are launched on a device (all but views), and the memory that is allocated."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        is_view = any(a.alias_info and not a.alias_info.is_write for a in function._schema.arguments)
        self.count += not is_view and "empty" not in function.name()
        return function(*args, **(kwargs or {}))


class Sink:
    """Takes frames."""

    def __init__(self, encoder):
        self.encoder = encoder
        self.taken = []
        self.ends = []  # numbers of frames taken before each end of a segment

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, number, planes, pts, duration):
        """Note the frame's number and its planes' shapes, and in which thread it came."""
        self.taken.append((number, [tuple(plane.shape) for plane in planes], threading.current_thread().name))

    def end(self, position):
        """Note after how many frames."""
        assert position.frame == len(self.taken)
        self.ends.append(position.frame)


def video_info(pix_fmt, width, height, path):
    """A video of that kind, which is never opened."""
    layout = nearest_layout(pix_fmt)
    return VideoInfo(
        source=FileSource(path),
        container="matroska",
        stream_index=0,
        codec="",
        width=width,
        height=height,
        pix_fmt=layout.name,
        layout=layout,
        color=resolve(layout, width, height),
        time_base=Fraction(1, 25),
        average_rate=Fraction(25),
        start_time=Fraction(0),
        duration=None,
        frame_count=None,
    )


def restore_on_meta(model, info, encoder, monkeypatch, *, is_finite=True, longest=99):
    """Restore seven frames on the meta device, whence nothing can be copied: downloads are zeros."""

    class Zeros:
        def __init__(self, tensors):
            *planes, finite = tensors
            assert {t.device for t in (*planes, finite)} == {META}
            self._zeros = (*(torch.zeros(t.shape, dtype=t.dtype) for t in planes), torch.tensor(is_finite))

        def wait(self):
            return self._zeros

    monkeypatch.setattr(pipeline, "Download", Zeros)
    stream = StreamingEDVR(model.to(META), InferenceOptions(precision="fp16"))
    shapes = info.layout.plane_shapes(info.height, info.width)
    planes = tuple(torch.zeros(shape, dtype=info.layout.sample_dtype) for shape in shapes)
    sink = Sink(encoder)

    def decoded():
        for n in range(7):
            frame = SourceFrame(planes, info.layout, n, n, info.time_base, 1, info.color)
            yield LabelledFrame(n, frame, n == 0, ()), to_rgb(frame, META)

    restore_segments(
        decoded(),
        stream,
        sink,
        begin=0,
        end=None,
        limits=SegmentLimits(longest, longest),
        on_frame=lambda: None,
        stop=lambda: False,
    )
    return sink


@pytest.mark.parametrize("scale", [4, 2])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "p010le", "nv12", "gbrp", "rgb24", "rgb48le", "gray10le"])
def test_nothing_between_decoder_and_encoder_waits_for_the_device(pix_fmt, scale, tmp_path, monkeypatch):
    """Colors, network, resizing, colors again: all of it is only queued, and the encoder's thread gets the frames."""
    info = video_info(pix_fmt, 36, 26, tmp_path / "never.mkv")
    encoder = plan_encoder(Encoding(), info, width=36 * scale, height=26 * scale)
    sink = restore_on_meta(random_network(), info, encoder, monkeypatch)
    assert [number for number, _, _ in sink.taken] == list(range(7))
    for _, shapes, thread in sink.taken:
        assert shapes == list(encoder.layout.plane_shapes(26 * scale, 36 * scale))
        assert thread == "edvr-drain"


def test_windows_in_one_go_end_with_their_segment(tmp_path, monkeypatch):
    """Frames keep their order, and none is in a segment before or after its own."""
    info = video_info("yuv420p", 36, 26, tmp_path / "never.mkv")
    encoder = plan_encoder(Encoding(), info, width=144, height=104)
    groups = []
    restore = StreamingEDVR.restore_windows
    monkeypatch.setattr(
        StreamingEDVR, "restore_windows", lambda self, group: groups.append(len(group)) or restore(self, group)
    )
    sink = restore_on_meta(random_network(), info, encoder, monkeypatch, longest=3)
    assert [number for number, _, _ in sink.taken] == list(range(7))
    assert sink.ends == [3, 6, 7]
    assert groups == [3, 3, 1]


def test_a_frame_that_is_not_finite_is_an_error(tmp_path, monkeypatch):
    """Numbers of fp16 end at 65,504; a frame of NaN would be encoded as black."""
    info = video_info("yuv420p", 36, 26, tmp_path / "never.mkv")
    encoder = plan_encoder(Encoding(), info, width=144, height=104)
    # The meta device has no numbers to look at: the same network on the host has.
    on_host, why = SimpleNamespace(model=Model.of(random_network()), dtype=torch.float16), pipeline._why_not_finite
    monkeypatch.setattr(pipeline, "_why_not_finite", lambda engine: why(on_host))
    with pytest.raises(DeviceError, match=r"frame 0 is not finite in fp16.*use bf16 or fp32"):
        restore_on_meta(random_network(), info, encoder, monkeypatch, is_finite=False)


def test_small_frames_take_few_launches(monkeypatch):
    """Neighbors are aligned at once: a fifth of the launches of each."""
    model = bench_network.random_network(SIZES["m"]).to(META)
    frames = [(torch.zeros(3, 180, 320, device=META), False) for _ in range(6)]
    first, second = list(windows(frames, 5, "replicate"))[2:4]
    monkeypatch.setattr(edvr, "deform_conv2d_packed", lambda x, packed, weight, bias, slope: x.clone())
    counts = []
    for limit in (256 * 1024, 0):
        monkeypatch.setattr(memory, "_AT_ONCE", limit)
        stream = StreamingEDVR(model, InferenceOptions(precision="fp16", tile=0))
        stream.restore(first)
        with Launches() as launches:
            stream.restore(second)
        counts.append(launches.count)
    at_once, one_by_one = counts
    assert at_once < 0.6 * one_by_one  # 189 and 351


def test_pixels_are_shuffled_with_their_channels_side_by_side():
    """As torch does, but for the layout."""
    x = torch.rand(2, 12, 5, 7).contiguous(memory_format=torch.channels_last)
    y = conv._shuffled(x)
    assert torch.equal(y, torch.nn.functional.pixel_shuffle(x, 2))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_a_copy_to_where_a_tensor_is_already_is_none():
    """Nor is one made on a processor."""
    x = torch.zeros(3)
    assert upload(x, "cpu") is x
    assert Download([x]).wait()[0] is x


@pytest.fixture
def gpu(monkeypatch):
    """CUDA's calls that copies make, noted."""
    log = []

    class Event:
        def __init__(self, *, blocking):
            assert blocking

        def record(self, stream):
            log.append(("recorded", stream))

        def synchronize(self):
            log.append("waited")

    @contextmanager
    def device(which):
        log.append(("on", str(which)))
        yield

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    return log


class OnGpu:
    """A tensor on the second GPU; page-locked memory may be short."""

    is_cuda, device = True, torch.device("cuda:1")

    def __init__(self, log, short=False):
        self._log, self._short = log, short

    def to(self, device, *, non_blocking=False):
        """A copy."""
        assert device == "cpu"
        if self._short and non_blocking:
            raise RuntimeError("CUDA error: out of memory")
        self._log.append(("copied", non_blocking))
        return "on the host"


def test_whoever_waits_for_a_download_waits_for_what_was_queued_before(gpu):
    """An event behind the copies, on the stream of the tensors' device, which no other device hears of."""
    download = Download([OnGpu(gpu), OnGpu(gpu)])
    copied = ("copied", True)
    assert gpu == [copied, copied, ("on", "cuda:1"), ("recorded", "stream of cuda:1")]
    assert download.wait() == ("on the host", "on the host")
    assert gpu[4:] == [("on", "cuda:1"), "waited"]


def test_without_page_locked_memory_copies_are_plain(gpu, monkeypatch):
    """As in WSL and small containers, in both directions."""
    assert Download([OnGpu(gpu, short=True)]).wait() == ("on the host",)
    assert gpu[0] == ("copied", False)
    frame = torch.zeros(3)

    def short(_):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.Tensor, "pin_memory", short)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *given, **options: (self, given, options))
    assert upload(frame, "cuda:1") == (frame, ("cuda:1",), {})


@pytest.mark.parametrize(
    ("capability", "dtype"), [((6, 1), torch.float32), ((7, 0), torch.float16), ((9, 0), torch.float16)]
)
def test_old_gpus_compute_in_fp32(capability, dtype, monkeypatch):
    """Before compute capability 7.0 half precision is a fraction as fast, or cannot be had."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert dtype_for("auto", torch.device("cuda:0")) == dtype
    assert dtype_for("fp16", torch.device("cuda:0")) == torch.float16
