"""Conversion of text subtitles between codecs."""

from fractions import Fraction

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext

from edvr_cli.errors import InputError, OutputError
from edvr_cli.video.containers import reason


class SubtitleConverter:
    """Decodes text subtitles and writes them as another codec, line breaks and simple styles kept."""

    def __init__(self, source: Stream, output: OutputContainer, codec: str) -> None:
        decoder = source.codec_context
        if not isinstance(decoder, SubtitleCodecContext):
            raise InputError(f"Stream {source.index} of the source was text when the job began and no longer is.")
        decoder.open(strict=False)
        self.stream = output.add_stream(codec)
        encoder = self.stream.codec_context
        assert isinstance(encoder, SubtitleCodecContext)
        encoder.subtitle_header = decoder.subtitle_header
        encoder.time_base = Fraction(1, 1000)
        self._decoder, self._encoder = decoder, encoder

    def convert(self, packet: Packet) -> Packet | None:
        """The packet in the other codec, with the same times, or None where it holds no text."""
        try:
            decoded = self._decoder.decode2(packet)
            if decoded is None or not len(decoded):
                return None
            converted = self._encoder.encode_subtitle(decoded)
        except av.FFmpegError as error:
            raise OutputError(f"A subtitle at {packet.pts} cannot be converted: {reason(error)}.") from error
        converted.pts, converted.dts, converted.duration = packet.pts, packet.pts, packet.duration
        converted.time_base = packet.time_base
        return converted
