"""What a container grants, read from made-up control groups."""

import os
from pathlib import Path

import pytest
import torch

from edvr_cli.inference import memory_plan as memory
from edvr_cli.inference.memory_plan import free_memory
from edvr_cli.system.limits import cpu_count, group_memory, system_memory

MIB = 1 << 20


def write(root: Path, files: dict[str, object]) -> None:
    """Make files below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


@pytest.fixture(autouse=True)
def many_processors(monkeypatch: pytest.MonkeyPatch):
    """As on a large machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", 64), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("9900000 100000", 64)],
)
def test_processors_of_a_group(tmp_path: Path, quota: str, count: int):
    """Version 2; a fraction of one is one."""
    write(tmp_path, {"root/cgroup.controllers": "cpu memory", "root/cpu.max": quota, "own": "0::/"})
    assert cpu_count(tmp_path / "root", tmp_path / "own") == count


@pytest.mark.parametrize(("quota", "count"), [(-1, 64), (300000, 3), (20000, 1)])
def test_processors_of_an_old_group(tmp_path: Path, quota: int, count: int):
    """Version 1."""
    group = "root/cpu/docker/abc/"
    write(tmp_path, {f"{group}cpu.cfs_quota_us": quota, f"{group}cpu.cfs_period_us": 100000})
    write(tmp_path, {"own": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc"})
    assert cpu_count(tmp_path / "root", tmp_path / "own") == count


def test_the_narrowest_group_counts(tmp_path: Path):
    """The process's own and those above it."""
    write(tmp_path, {"own": "0::/slice/job", "root/cgroup.controllers": "cpu memory"})
    write(tmp_path / "root", {"slice/cpu.max": "400000 100000", "slice/job/cpu.max": "max 100000"})
    write(tmp_path / "root", {"slice/memory.max": 800 * MIB, "slice/memory.current": 500 * MIB})
    write(tmp_path / "root", {"slice/job/memory.max": 700 * MIB, "slice/job/memory.current": 100 * MIB})
    assert cpu_count(tmp_path / "root", tmp_path / "own") == 4
    assert group_memory(tmp_path / "root", tmp_path / "own") == 300 * MIB


def test_a_container_sees_its_group_as_the_root(tmp_path: Path):
    """Also where the kernel states the host's path."""
    write(tmp_path, {"own": "0::/docker/abc", "root/cgroup.controllers": "cpu memory", "root/cpu.max": "200000 100000"})
    write(tmp_path / "root", {"memory.max": 800 * MIB, "memory.current": 500 * MIB})
    write(tmp_path / "root", {"memory.stat": f"anon {400 * MIB}\ninactive_file {50 * MIB}"})
    assert cpu_count(tmp_path / "root", tmp_path / "own") == 2
    assert group_memory(tmp_path / "root", tmp_path / "own") == 350 * MIB


@pytest.mark.parametrize(("limit", "left"), [(9223372036854771712, None), (800 * MIB, 350 * MIB), (100 * MIB, 0)])
def test_memory_of_an_old_group(tmp_path: Path, limit: int, left: int | None):
    """Cached files can be dropped; a huge number is no limit."""
    write(tmp_path, {"own": "4:memory:/", "root/memory/memory.limit_in_bytes": limit})
    write(tmp_path / "root/memory", {"memory.usage_in_bytes": 500 * MIB})
    write(tmp_path / "root/memory", {"memory.stat": f"total_inactive_file {50 * MIB}"})
    assert group_memory(tmp_path / "root", tmp_path / "own") == left


def test_without_groups_there_are_no_limits(tmp_path: Path):
    """On other systems."""
    assert cpu_count(tmp_path / "root", tmp_path / "own") == 64
    assert group_memory(tmp_path / "root", tmp_path / "own") is None


def test_a_user_s_bound_counts_as_well():
    """Where it is the lower one."""
    device = torch.device("cpu")
    assert free_memory(device, 5 * MIB) == 5 * MIB
    assert free_memory(device, 1 << 62) == free_memory(device) or free_memory(device) is not None


@pytest.mark.parametrize(("system", "expected"), [(8, 7), (3, 5)])
def test_apple_gpus_have_what_metal_grants_and_the_system_has(monkeypatch, system: int, expected: int):
    """Of 10 MiB granted 3 are in use and 2 more held for later: 7 are left, or what the system has with those 2."""
    monkeypatch.setattr(memory, "system_memory", lambda: system * MIB)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10 * MIB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 5 * MIB)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 3 * MIB)
    assert free_memory(torch.device("mps")) == expected * MIB


def test_the_system_tells_its_free_memory():
    """On every system: less than there is, more than this process could do with."""
    assert 100 * MIB < system_memory() < 1 << 50
