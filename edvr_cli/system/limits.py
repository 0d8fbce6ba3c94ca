"""CPUs and memory that this process may use, within the limits of containers and control groups."""

import os
from pathlib import Path

__all__ = ["available_memory", "cpu_count", "group_memory", "system_memory"]

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60  # version 1 says a number near 2^63 for no limit


def cpu_count(root: Path = _ROOT, own: Path = _OWN) -> int:
    """Processors to plan with: those that the process may run on, and no more than its control groups grant."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = [_cpu_quota(group) for group in _groups(root, own, "cpu")]
    return max(1, min([available, *(int(quota) for quota in granted if quota is not None)]))


def system_memory() -> int:
    """Bytes that programs can still take without the system paging, whatever the control groups leave."""
    import psutil  # noqa: PLC0415 (the engine imports with torch alone)

    return int(psutil.virtual_memory().available)


def group_memory(root: Path = _ROOT, own: Path = _OWN) -> int | None:
    """Bytes that the control groups leave, None where they set no limit.

    Cached files count as free: the kernel drops them first.
    """
    left = [_memory_left(group) for group in _groups(root, own, "memory")]
    return min((bytes_left for bytes_left in left if bytes_left is not None), default=None)


def available_memory() -> int:
    """Bytes that this process can still take, whatever bounds them."""
    group = group_memory()
    return system_memory() if group is None else min(system_memory(), group)


def _groups(root: Path, own: Path, controller: str) -> list[Path]:
    """The directories of the process's groups, from its own up to the root, of version 2 or else 1."""
    name = ""
    for line in (_text(own) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            name = path.strip("/")
    base = root if (root / "cgroup.controllers").exists() else root / controller
    # In a container the path may be the host's, of which only the root is mounted.
    found = [base / name, *(base / name).parents] if name else [base]
    return [group for group in found if group.is_relative_to(base) and group.is_dir()]


def _cpu_quota(group: Path) -> float | None:
    """Processors, possibly a fraction."""
    text = _text(group / "cpu.max")  # version 2: "200000 100000" or "max 100000"
    if text is None:
        quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
        text = f"{quota} {period}"
    quota, _, period = text.partition(" ")
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def _memory_left(group: Path) -> int | None:
    files = ("memory.max", "memory.current", "inactive_file")
    if not (group / files[0]).exists():
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    try:
        limit, used = int(_text(group / files[0]) or ""), int(_text(group / files[1]) or "")
    except ValueError:  # "max", or no such file
        return None
    if limit >= _UNLIMITED:
        return None
    statistics = dict(line.split(" ", 1) for line in (_text(group / "memory.stat") or "").splitlines() if " " in line)
    return max(0, limit - used + int(statistics.get(files[2], 0)))


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
