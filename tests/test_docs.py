"""The documentation names what exists."""

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from edvr_cli.cli import edvr

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_what_the_api_page_imports_exists():
    """Every name of every import, and every attribute of the package."""
    text = (DOCS / "guide" / "python.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    imports = re.findall(r"^from (edvr_cli[\w.]*) import (.+)$", code, re.MULTILINE)
    imports += [("edvr_cli", name) for name in re.findall(r"\bedvr_cli\.(\w+)\(", code)]
    imports += [("edvr_cli.models.library", name) for name in re.findall(r"\blibrary\.(\w+)\(", code)]
    assert len(imports) > 8
    for module, names in imports:
        for name in names.split(", "):
            if not hasattr(import_module(module), name):
                import_module(f"{module}.{name}")
    for event in re.findall(r"^\| `([A-Z]\w+)`", text, re.MULTILINE):
        assert hasattr(import_module("edvr_cli.events"), event)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_in_the_pages_exist(page):
    """``edvr NAME`` and each ``--option`` on its line."""
    context = click.Context(edvr)
    known = {name: edvr.get_command(context, name) for name in edvr.list_commands(context)}
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        for match in re.finditer(r"(?:^    |`)edvr (\w+)((?: (?!#)[^`#|]+)?)", line):
            name, rest = match[1], match[2]
            assert name in known, line
            command = known[name]
            if isinstance(command, click.Group) and rest.split():
                command = command.commands.get(rest.split()[0], command)
            options = {
                option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
            }
            for option in re.findall(r"(?<!\S)(--[a-z][\w-]*)", rest):
                assert option in options | {"--help"}, f"{page}: {line}"


@pytest.mark.parametrize("page", ["architecture.md", "lab/cpu_kernels.md"])
def test_modules_that_the_maps_name_exist(page):
    """By the end of their path at least: ``reading/reader.py``."""
    root = DOCS.parent
    files = [path for folder in ("edvr_cli", "tests") for path in (root / folder).rglob("*.*")]
    there = [f"/{path.relative_to(root).as_posix()}" for path in files]
    named = re.findall(r"`((?:\w+/)*\w+\.(?:py|toml))`", (DOCS / page).read_text(encoding="utf-8"))
    assert len(named) > 5
    outside = {"pyproject.toml", "edvr.toml"}
    assert not {name for name in named if name not in outside and not any(p.endswith(f"/{name}") for p in there)}
