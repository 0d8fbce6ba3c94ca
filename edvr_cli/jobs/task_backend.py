"""The backend whose segments are tasks for a pool of workers: processes of this machine, or of a cluster."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Protocol

from edvr_cli.errors import DeviceError
from edvr_cli.events import Notice, OnEvent
from edvr_cli.jobs.backends import RestoreContext
from edvr_cli.jobs.manifest import MissingRange
from edvr_cli.jobs.segment_files import store_segment
from edvr_cli.jobs.tasks import SegmentTask, embed_frames, split_into_tasks
from edvr_cli.jobs.worker_engine import EngineFacts, TaskResult
from edvr_cli.system.device_names import device_label
from edvr_cli.system.threads import prefetch
from edvr_cli.video.writing.encoders import EncoderPlan

__all__ = ["MAX_RETRIES", "TaskBackend", "TaskPool"]

MAX_RETRIES = 5  # of a task whose worker or machine is lost
_POLL_SECONDS = 0.5  # between checks whether to stop


class TaskPool(Protocol):
    """Workers that run tasks, in any order. ``here``: they are processes of this machine."""

    here: bool

    @property
    def workers(self) -> int:
        """How many tasks run at once, now."""

    @property
    def capacity(self) -> int:
        """How many tasks it takes, those included that run."""

    def describe(self) -> Sequence[EngineFacts]:
        """What the engines chose: of each worker, or of one where all are alike."""

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""

    def send(self, task: SegmentTask, encoder: EncoderPlan) -> None:
        """Give a task to a worker."""

    def wait(self, seconds: float) -> Iterable[tuple[SegmentTask, int | TaskResult]]:
        """News of tasks, waited for at most ``seconds``: how many frames are restored, or the result.

        What a lost worker was at is done again. Raises what a worker raised.
        """

    def cancel(self) -> None:
        """Drop every task that runs."""


class TaskBackend:
    """Restores missing ranges of a video by tasks, segments in any order."""

    def __init__(self, pool: TaskPool, emit: OnEvent) -> None:
        self._pool = pool
        self._emit = emit
        self._reported: set[str] = set()
        self._shown: dict[int, int] = {}  # frames that were reported of a task, by its first one
        facts = pool.describe()
        first = facts[0]
        for other in facts:
            if other.precision != first.precision:
                raise DeviceError(
                    f"{first.device} would compute in {first.precision} and {other.device} in {other.precision}, and "
                    "the frames of one video would differ",
                    hint="precision",
                )
        self.here = pool.here
        self.precision = first.precision
        self.notes = tuple(dict.fromkeys(note for each in facts for note in each.notes))
        names = [each.device for each in facts]
        self.device = device_label(names if len(names) == pool.workers else names * pool.workers)
        self._reach = first.reach
        # Tiles that suit every device, so that its frames do not depend on which one restores them.
        self.use_tile(min((each.tile for each in facts), key=lambda tile: tile or float("inf")))

    @property
    def workers(self) -> int:
        """How many segments are restored at once, now."""
        return self._pool.workers

    def use_tile(self, tile: int) -> None:
        """Restore in tiles of this size from now on."""
        self.tile = tile
        self._pool.use_tile(tile)

    def restore_range(self, missing: MissingRange, context: RestoreContext) -> bool:
        """Restore the frames of ``missing`` into segments. Returns False where it was stopped before the end."""
        pool = self._pool
        tasks = split_into_tasks(
            context.source,
            missing,
            split_at_cuts=context.split_at_cuts,
            limits=context.limits,
            reach=self._reach,
        )
        running = 0
        stopped = exhausted = False
        self._shown.clear()
        with closing(prefetch(tasks, 1)) as ahead:
            try:
                while True:
                    stopped = stopped or context.stop()
                    while not (stopped or exhausted) and running < max(1, pool.capacity):
                        task = next(ahead, None)
                        exhausted = task is None
                        if task is not None:
                            self._send(task, context)
                            running += 1
                    if not running:
                        return not stopped
                    for task, news in pool.wait(_POLL_SECONDS):
                        if isinstance(news, int):
                            self._show(task, news, context)
                            continue
                        self._report(news.notices)
                        if news.segment is None:
                            pool.send(embed_frames(task, context.source), context.encoder)
                            continue
                        running -= 1
                        store_segment(news.segment, news.data, context.directory)
                        context.on_segment(news.segment)
                        self._show(task, news.segment.frame_count, context)
            finally:
                pool.cancel()

    def _send(self, task: SegmentTask, context: RestoreContext) -> None:
        if task.fragment is None and not task.planes:
            task = embed_frames(task, context.source)
        self._pool.send(task, context.encoder)

    def _show(self, task: SegmentTask, count: int, context: RestoreContext) -> None:
        """Report that ``count`` frames of a task are restored; those of a task that is done again only once."""
        for _ in range(self._shown.get(task.begin, 0), count):
            context.on_frame()
        self._shown[task.begin] = max(count, self._shown.get(task.begin, 0))

    def _report(self, notices: tuple[str, ...]) -> None:
        """Emit what workers report, once where several report the same."""
        for notice in notices:
            if notice not in self._reported:
                self._reported.add(notice)
                self._emit(Notice(notice))
