"""``edvr doctor``: check this machine, and recommend remedies."""

import platform
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

import click
from rich.table import Table

from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.messages import Messages
from edvr_cli.cli.output import PlainConsole, echo, echo_json, markup
from edvr_cli.system.installation import Fault, first_fault, versions

if TYPE_CHECKING:
    from edvr_cli.bench.doctor import Device, Diagnosis

__all__ = ["doctor_command"]


@click.command("doctor", cls=ReadableCommand)
@click.option("--speed/--no-speed", default=True, help="Measure the speed, for about a second.")
@click.option("--json", "as_json", is_flag=True, help="Write all of it to standard output as JSON, for bug reports.")
def doctor_command(speed: bool, as_json: bool) -> None:
    """Check this machine: versions, devices, encoders and speed; report faults and remedies.

    Three frames of a tiny video are restored into another; the first step that fails is named. The deformable
    convolution of each device is checked against its definition. Exits with 1 if something is wrong.
    """
    with Messages().status("looking"):
        if fault := first_fault():
            _stop(fault, as_json=as_json)
        from edvr_cli.bench.doctor import diagnose  # noqa: PLC0415 (it needs libraries that may be broken)

        diagnosis = diagnose(speed=speed)
    if as_json:
        echo_json(asdict(diagnosis) | {"healthy": diagnosis.healthy}, indent=2)
    else:
        _show(diagnosis)
    if not diagnosis.healthy:
        sys.exit(1)


def _stop(fault: Fault, *, as_json: bool) -> NoReturn:
    """Report a library that all other checks need."""
    if as_json:
        facts = {"system": {"system": platform.platform(), "python": platform.python_version()}}
        finding = {"level": "wrong", "what": fault.what, "remedy": fault.remedy}
        report = {**facts, "versions": versions(), "findings": [finding], "healthy": False}
        echo_json(report, indent=2)
    else:
        echo(f"system    {platform.platform()}, Python {platform.python_version()}")
        echo(f"versions  {', '.join(f'{name} {version}' for name, version in versions().items())}\n")
        echo(f"wrong: {fault.what}. → {fault.remedy}")
    sys.exit(1)


def _show(d: "Diagnosis") -> None:
    console = PlainConsole()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    table.add_row("system", f"{d.system['system']}, Python {d.system['python']}")
    table.add_row("processor", f"{d.system['processor']}, {d.system['cores']} cores")
    table.add_row("versions", ", ".join(f"{name} {version}" for name, version in d.versions.items()))
    for device in d.devices:
        table.add_row(f"device {device.device}", _device(device))
    table.add_row("encoders", ", ".join(d.video.encoders))
    hardware = [name for name, fault in d.video.hardware_encoders.items() if not fault]
    table.add_row("hardware", ", ".join(hardware) or "no hardware encoder is available")
    table.add_row("decoding", ", ".join(d.video.hardware_decoders) or "by the processor alone")
    table.add_row("FFmpeg", f"{d.video.ffmpeg}{', measures VMAF' if d.video.vmaf else ''}")
    table.add_row("models here", ", ".join(d.models))
    if d.rehearsal.fault is None:
        table.add_row("rehearsal", f"three frames restored on {d.rehearsal.device} in {d.rehearsal.seconds:.1f} s")
    if d.speed:
        each = d.speed.seconds_per_frame
        table.add_row(
            "speed",
            f"{d.speed.model} on {d.speed.device}, {d.speed.precision}: {each:.2g} s per frame of {d.speed.size}, "
            f"so about {each * 320 * 180 / d.speed.size.pixels:.2g} s at 320×180",
        )
    console.print(table)
    console.print()
    if not d.findings:
        console.print(markup("[green]No problems found.[/]"))
    for finding in d.findings:
        color = "red" if finding.level == "wrong" else "yellow"
        console.print(markup(f"[{color}]{{}}:[/] {{}}. [bold]→ {{}}[/]", finding.level, finding.what, finding.remedy))


def _device(device: "Device") -> str:
    memory = "" if device.free_memory is None else f", {device.free_memory / 2**30:.1f} GiB free"
    good = ", ".join(precision for precision, wrong in device.checked.items() if not wrong)
    name = {
        "triton": "Triton kernel",
        "torchvision": "torchvision's operation",
        "compiled": "compiled kernel",
        "reference": "plain PyTorch",
    }.get(device.operation, "no kernel")
    return f"{device.name}{memory}; {name}, right in {good or 'nothing'}"
