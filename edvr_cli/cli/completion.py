"""``edvr completion``: shell completion."""

import click
from click.shell_completion import get_completion_class

from edvr_cli.cli.output import echo

__all__ = ["completion"]


@click.command("completion", no_args_is_help=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and models in SHELL.

    \b
    bash:  edvr completion bash > ~/.local/share/bash-completion/completions/edvr
    zsh:   edvr completion zsh > ~/.zfunc/_edvr    (and ~/.zfunc in your fpath)
    fish:  edvr completion fish > ~/.config/fish/completions/edvr.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # click knows all three
    echo(found(ctx.find_root().command, {}, "edvr", "_EDVR_COMPLETE").source())
