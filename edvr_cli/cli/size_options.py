"""The options that say how large the result becomes."""

import click

from edvr_cli.cli.option_groups import option_group
from edvr_cli.cli.types import Count, parsed_size
from edvr_cli.jobs.target_size import NAMED_SIZES, TargetSize, parse_scale, two_runs

__all__ = ["size_options"]

_MAX_SCALE = 4
_MAX_SIDE = 1 << 16


class _Scale(click.ParamType):
    """A factor, or the name of a screen's size."""

    name = "scale"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | TargetSize | None:
        """The factor, or the size. Raises BadParameter for a factor that no model has."""
        if isinstance(value, float | TargetSize):
            return value
        scale = parse_scale(str(value))
        if scale is None:
            names = ", ".join(NAMED_SIZES)
            raise click.BadParameter(f"invalid scale {value!r}: expected 2x, 1.5 or one of {names}", ctx, param)
        if isinstance(scale, float) and scale > _MAX_SCALE:
            raise click.BadParameter(f"models enlarge {_MAX_SCALE} times. {two_runs(scale, _MAX_SCALE)}", ctx, param)
        if isinstance(scale, float) and scale < 1:
            raise click.BadParameter(f"{value} would shrink the picture: enlarge 1 to {_MAX_SCALE} times", ctx, param)
        return scale


class _Box(click.ParamType):
    """A width and a height."""

    name = "WxH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> TargetSize:
        """The box."""
        if isinstance(value, TargetSize):
            return value
        size = parsed_size(str(value), least=2)
        if size is None:
            raise click.BadParameter(f"invalid size {value!r}: expected 1920x1080", ctx, param)
        return TargetSize(*size)


def _size(
    scale: float | TargetSize | None, height: int | None, width: int | None, box: TargetSize | None
) -> float | TargetSize | None:
    given = [
        name
        for name, value in (("--scale", scale), ("--size", box), ("--height or --width", height or width))
        if value is not None
    ]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} both say how large the result becomes; give one of them.")
    if height is not None or width is not None:
        return TargetSize(width, height)
    return box if box is not None else scale


_SIDE = Count(2, _MAX_SIDE)

size_options = option_group(
    "scale",
    "Size of the result",
    _size,
    {
        "scale": click.option(
            "-s", "--scale", type=_Scale(), metavar="X", help="Enlarge by 2x, or to 1080p, 1440p, 4k.  [default: 4x]"
        ),
        "height": click.option("--height", type=_SIDE, metavar="PX", help="Height of the result; the shape is kept."),
        "width": click.option("--width", type=_SIDE, metavar="PX", help="Width of the result."),
        "box": click.option("--size", "box", type=_Box(), metavar="WxH", help="Largest size of the result: 1920x1080."),
    },
)
"""How large the result becomes: a factor, a `TargetSize`, or None for the model's scale."""
