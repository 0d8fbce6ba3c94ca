"""The errors this package raises on purpose: each message says what, which file, and what to do."""


class EdvrError(Exception):
    """Something the user can act on; the command line prints it as one sentence and exits with 1."""


class InputError(EdvrError):
    """A source that cannot be read: missing, not a video, encrypted, or broken beyond use."""


class OutputError(EdvrError):
    """A target that cannot be written: exists, equals the input, or refused by codec or container."""


class ModelError(EdvrError):
    """A model that is unknown, damaged, incomplete, or wrong for the task."""


class DeviceError(EdvrError):
    """A device that is missing, out of memory even at the smallest tile, or computing wrongly."""


class DownloadError(EdvrError):
    """A file that cannot be fetched: no network, refused, cut off, or damaged on the way."""


class StoppedError(EdvrError):
    """The work was asked to stop, and did at a place from which it can go on."""
