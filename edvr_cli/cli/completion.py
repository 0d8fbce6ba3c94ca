"""``edvr completion``: shell completion."""

import click
from click.shell_completion import get_completion_class

from edvr_cli.cli.help import ReadableCommand
from edvr_cli.cli.output import echo

__all__ = ["completion"]


_EXAMPLES = {
    "edvr completion bash > ~/.local/share/bash-completion/completions/edvr": "for bash",
    "edvr completion zsh > ~/.zfunc/_edvr": "for zsh, with ~/.zfunc in your fpath",
    "edvr completion fish > ~/.config/fish/completions/edvr.fish": "for fish",
}


@click.command("completion", cls=ReadableCommand, no_args_is_help=True, examples=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and models in SHELL."""
    found = get_completion_class(shell)
    assert found is not None  # click knows all three
    echo(found(ctx.find_root().command, {}, "edvr", "_EDVR_COMPLETE").source())
