"""Segments on a Ray cluster of several nodes on this machine, one of which is lost on the way."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edvr_cli.events import Event, FrameRestored, Started
from tests.jobs.test_restore_video import digests, names
from tests.jobs.test_tasks import restore
from tests.support.clips import make_clip

pytest.importorskip("ray", reason="the extra edvr-cli[cluster] is not installed")

import ray
from ray import cluster_utils

from edvr_cli.errors import DeviceError
from edvr_cli.jobs.ray_backend import RayCluster


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster_utils.Cluster]:
    """A head without processors and two nodes with one each, whose workers find this package and its tests."""
    root = Path(__file__).parents[2]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{root}{os.pathsep}{before}" if before else str(root)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    memory = 80 << 20
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": memory, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=memory)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def test_a_cluster_makes_what_one_machine_makes_even_if_it_loses_a_node(tmp_path: Path, nodes: cluster_utils.Cluster):
    """What was there is done again elsewhere; the same manifest, and the same frames."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=40, cut=(9, 1), audio=("aac",))
    restore(source, tmp_path / "one.mp4")
    events: list[Event] = []

    def lose(event: Event) -> None:
        events.append(event)
        if isinstance(event, FrameRestored) and event.done == 1:
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)

    cluster = RayCluster(nodes.address)
    assert cluster.slots == 2
    finished = restore(source, tmp_path / "many.mp4", backend=cluster, on_event=lose)
    assert (finished.frames, finished.restored) == (40, 40)
    assert digests(tmp_path / "many.mp4") == digests(tmp_path / "one.mp4")
    assert names(tmp_path) == ["in.mp4", "many.mp4", "one.mp4"]
    started = next(event for event in events if isinstance(event, Started))
    assert (started.device, started.precision, started.tile) == ("2 × cpu", "fp32", 0)
    assert len(nodes.worker_nodes) == 1


def test_a_cluster_without_gpus_says_so(nodes: cluster_utils.Cluster):
    """Before the work."""
    with pytest.raises(DeviceError, match="has no node with a GPU"):
        RayCluster(nodes.address, gpus=True)
