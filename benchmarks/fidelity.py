"""What of real files is the same after a restoration: the real command, read back by FFmpeg's own.

    python benchmarks/fidelity.py FOLDER_OR_FILE... [--end 2] [--to .mkv] [--frames N]

Every file is run through ``edvr deblur`` with a small random network (the size stays, the picture does not matter
here), and source and result are compared by the ``ffmpeg`` binary of imageio-ffmpeg: frame count and times, each
packet of the other streams by its hash and time, color tags, aspect ratio, rotation, chapters and metadata. Writes a
Markdown table to standard output. A difference that the command did not announce is called SILENT, and fails.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import torch

from edvr_cli.models.checkpoint import save_model
from edvr_cli.network.edvr import EDVR, EDVRConfig

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
LEAST = EDVRConfig(
    features=8, groups=2, extraction_blocks=1, reconstruction_blocks=1, tail=4, tsa=False, cascade=False, levels=1,
    predeblur=True, hr_in=True,
)  # fmt: skip
# Written by every muxer about itself, or true of the old encoding only.
STALE = {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "vendor_id", "handler_name"}
PLACE = re.compile(r"[+-][\d.]+[+-][\d.]+.*")


@dataclass
class Facts:
    """What FFmpeg's command says of a file."""

    frames: list[Fraction]
    packets: dict[int, list[tuple[Fraction, str]]]  # by stream: time, hash
    kinds: dict[int, str] = field(default_factory=dict)
    color: str = ""
    aspect: str = ""
    matrix: str = ""
    chapters: int = 0
    metadata: dict[str, str] = field(default_factory=dict)


def ffmpeg(*arguments: str) -> tuple[str, str]:
    """(standard output, standard error) of the binary."""
    run = subprocess.run([FFMPEG, "-hide_banner", "-nostdin", *arguments], capture_output=True, check=False)
    return run.stdout.decode(errors="replace"), run.stderr.decode(errors="replace")


def table(text: str) -> dict[int, list[tuple[Fraction, str]]]:
    """The lines of FFmpeg's frame hash format, by stream: time in seconds and hash."""
    units = {int(number): Fraction(unit) for number, unit in re.findall(r"#tb (\d+): (\d+/\d+)", text)}
    found: dict[int, list[tuple[Fraction, str]]] = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if line.startswith("#") or len(parts) < 6:
            continue
        stream, shown = int(parts[0]), parts[2]
        found.setdefault(stream, []).append((int(shown) * units[stream], parts[5]))
    return found


def facts(path: Path) -> Facts:
    """Read a file."""
    _, text = ffmpeg("-i", str(path))
    kinds = {int(number): kind.lower() for number, kind in re.findall(r"Stream #0:(\d+).*?: (\w+): ", text)}
    covers = {int(number) for number in re.findall(r"Stream #0:(\d+).*\(attached pic\)", text)}
    videos = [number for number, kind in kinds.items() if kind == "video" and number not in covers]
    video = videos[0] if videos else -1
    arguments = ["-copyts", "-i", str(path), "-map", f"0:{video}", "-vf", "scale=16:16", "-fps_mode", "passthrough"]
    out, _ = ffmpeg("-v", "error", *arguments, "-enc_time_base", "demux", "-f", "framehash", "-")
    frames = [time for time, _ in table(out).get(0, [])]
    packets = {}
    for number, kind in kinds.items():
        if number != video and kind != "attachment":
            copied, _ = ffmpeg(
                "-v", "error", "-copyts", "-i", str(path), "-map", f"0:{number}", "-c", "copy", "-f", "framehash", "-"
            )
            packets[number] = table(copied).get(0, [])
    line = next((line for line in text.splitlines() if f"Stream #0:{video}" in line), "")
    color = re.search(r"\w+\(((?:tv|pc|bt|smpte|gbr|unknown|top|bottom|progressive)[^)]*)\)", line)
    aspect = re.search(r".*SAR (\d+:\d+)", line)  # the last one is the container's, which players follow
    head = text.split("Stream #0:0")[0]
    metadata = dict(re.findall(r"^    (\S[^:]*?)\s*: (.*)$", head, re.MULTILINE))
    return Facts(
        frames=frames,
        packets=packets,
        kinds={**kinds, video: "restored"},
        color=color[1].replace(", progressive", "").replace("progressive", "") if color else "",
        aspect=aspect[1] if aspect else "1:1",
        matrix=", ".join(re.findall(r"displaymatrix: (.*)", text)[:1]),
        chapters=len(re.findall(r"Chapter #", text)),
        metadata={key: value for key, value in metadata.items() if key.lower() not in STALE},
    )


def compare(before: Facts, after: Facts, said: str, *, cut: bool) -> list[str]:
    """The table's cells after the file's name."""
    unit = Fraction(11, 10000)  # Matroska's milliseconds
    shift = after.frames[0] - before.frames[0] if before.frames and after.frames else Fraction(0)
    expected = before.frames[: len(after.frames)] if cut else before.frames
    count = f"{len(after.frames)}" + (" (cut)" if cut else "")
    frames = (
        count
        if len(expected) == len(after.frames)
        else f"{len(before.frames)} → {len(after.frames)}" + _said(said, "frames", "packet")
    )
    moved = [abs(b - a - shift) for a, b in zip(expected, after.frames, strict=False)]
    times = "same" if not any(moved) else "to 1 ms" if max(moved) <= unit else "SILENT"
    if shift:
        times += f", begins {float(shift):+.3f} s"
    color = "same" if before.color == after.color else f"{before.color or 'untagged'} → {after.color}"
    shape = [f"SAR {before.aspect}"] if before.aspect != "1:1" else []
    shape += [before.matrix.replace("rotation of ", "")] if before.matrix else []
    same_shape = (before.aspect, before.matrix) == (after.aspect, after.matrix)
    form = (
        ("same" + (f" ({', '.join(shape)})" if shape else ""))
        if same_shape
        else (f"{before.aspect} {before.matrix} → {after.aspect} {after.matrix}" + _said(said, "aspect", "mirror"))
    )
    chapters = f"{before.chapters}" if before.chapters == after.chapters else f"{before.chapters} → {after.chapters}"
    kept = {key.lower(): value for key, value in after.metadata.items()}
    # FFmpeg tells a tag twice that mp4 keeps in two places.
    lost = [key for key, value in before.metadata.items() if not alike(value, kept.get(key.lower(), "").split(";")[0])]
    metadata = "same" if not lost else f"lost: {', '.join(lost)}" + _said(said, *lost)
    return [frames, times, color, form, _streams(before, after, said, shift, cut=cut), chapters, metadata]


def alike(value: str, found: str) -> bool:
    """Whether a tag came back; mp4 tells places (``location``) to four digits."""
    numbers = [[float(n) for n in re.findall(r"[+-][\d.]+", text)] for text in (value, found)]
    return value == found or (bool(PLACE.fullmatch(value)) and numbers[0] == numbers[1])


def _streams(before: Facts, after: Facts, said: str, shift: Fraction, *, cut: bool) -> str:
    cells = []
    left = dict(after.packets.items())
    for number, packets in before.packets.items():
        hashes = [digest for _, digest in packets]
        name = f"{number} {before.kinds[number]}"
        match = None
        for other, found in left.items():
            theirs = [digest for _, digest in found]
            if theirs and theirs == (
                hashes[hashes.index(theirs[0]) :][: len(theirs)] if cut and theirs[0] in hashes else hashes
            ):
                match = other
                break
        if match is not None:
            pairs = zip(packets, left.pop(match), strict=False)
            late = max(abs(time - old - shift) for (old, _), (time, _) in pairs) if not cut else 0
            cells.append(
                f"{name} same" + (f", {float(late * 1000):.1f} ms apart" if late > Fraction(12, 10000) else "")
            )
        elif not packets:
            cells.append(f"{name} empty")
        else:
            notes = [
                line for line in said.splitlines() if re.search(rf"stream {number} \(|Cover art", line, re.IGNORECASE)
            ]
            word = "converted" if any("converted" in note for note in notes) else "dropped"
            cells.append(f"{name} {word}, said" if notes else f"{name} SILENT")
    attachments = [kind for kind in before.kinds.values() if kind == "attachment"]
    if attachments:
        kept = sum(kind == "attachment" for kind in after.kinds.values())
        cells.append(f"{kept} of {len(attachments)} attachments")
    return "; ".join(cells) or "none"


def _said(said: str, *words: str) -> str:
    return " (said)" if any(word.lower() in said.lower() for word in words) else " SILENT"


def restored(source: Path, target: Path, model: Path, arguments: list[str]) -> tuple[int, str]:
    """(exit code, standard error) of the real command."""
    options = ["--model", str(model), "--preset", "ultrafast", "-y", "--fresh", "--no-progress", *arguments]
    command = [sys.executable, "-m", "edvr_cli", "deblur", str(source), str(target), *options]
    run = subprocess.run(command, capture_output=True, check=False)
    return run.returncode, run.stderr.decode(errors="replace")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--to", help="suffix of the results; by default the source's, .mkv for containers not written")
    parser.add_argument("--end", help="restore up to here only")
    options = parser.parse_args()
    files = [file for path in options.paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    torch.manual_seed(0)
    silent = 0
    print("| file | to | frames | times | color | shape | other streams | chapters | metadata |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="edvr-fidelity-") as folder:
        model = Path(folder) / "random.safetensors"
        save_model(EDVR(LEAST), model)
        for file in files:
            suffix = options.to or (file.suffix if file.suffix in (".mp4", ".mov", ".mkv") else ".mkv")
            target = Path(folder) / f"out{suffix}"
            code, said = restored(file, target, model, ["--end", options.end] if options.end else [])
            if code:
                error = said.strip().splitlines()[-1].replace(str(file), file.name).replace("|", "\\|")
                print(f"| {file.name} | {suffix} | {error} | | | | | | |", flush=True)
                continue
            cells = compare(facts(file), facts(target), said, cut=bool(options.end))
            silent += sum("SILENT" in cell for cell in cells)
            print(f"| {file.name} | {suffix} | {' | '.join(cells)} |", flush=True)
            target.unlink()
    sys.exit(1 if silent else 0)


if __name__ == "__main__":
    main()
