"""What Typer lacks: options that are fields of dataclasses, and help in sections without rich."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from denoise.errors import DenoiseError, OptionError, PlanError

# The sections of a help page, in order.
SECTIONS = ("Input and output", "Noise", "Methods", "Quality and time", "Learning", "Reports")
FILES, NOISE, METHODS, QUALITY, LEARNING, REPORTS = SECTIONS
GENERAL = "General"
# Width of the names in a help page; longer ones get a line of their own.
NAME_WIDTH = 24

Default = TypeVar("Default")
Part = TypeVar("Part")


def option(section: str, default: Default, *names: str, **more: Any) -> Default:
    """A field of a dataclass that is an option; what follows the default is for `typer.Option`."""
    info = typer.Option(default, *names, rich_help_panel=section, **more)
    declared: Default = field(default=default, metadata={"typer": info})
    return declared


def takes_options(function: Callable[..., int]) -> Callable[..., None]:
    """Make a function of dataclasses, which returns an exit code, a command for Typer.

    Typer sees the fields of the dataclasses as parameters: each option is declared once, and the
    function gets objects that the type checker knows. Errors in options and names of files are
    wrong usage, with exit code 2; other errors are one line and exit code 1.
    """
    parts = get_type_hints(function)
    del parts["return"]

    @wraps(function)
    def command(**values: Any) -> None:
        objects = {name: filled(part, values) for name, part in parts.items()}
        try:
            code = function(**objects)
        except (OptionError, PlanError) as error:
            raise typer.BadParameter(str(error)) from None
        except DenoiseError as error:
            typer.echo(f"error: {error}", err=True)
            code = 1
        raise typer.Exit(code)

    parameters = [
        Parameter(
            one.name,
            Parameter.KEYWORD_ONLY,
            default=_named(one),
            annotation=get_type_hints(part)[one.name],
        )
        for part in parts.values()
        for one in fields(part)
    ]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    vars(command)["__signature__"] = Signature(parameters)
    return command


def filled(part: type[Part], values: Mapping[str, Any]) -> Part:
    """A dataclass of options with the values, by name, that were parsed."""
    return part(**{one.name: values[one.name] for one in fields(part)})  # type: ignore[arg-type]


def _named(parameter: Field[Any]) -> Any:
    """Its declaration for Typer, which does not name an option after its metavar then.

    Typer 0.27 made --SIGMA of the option sigma with the metavar SIGMA.
    """
    info = parameter.metadata["typer"]
    if isinstance(info, OptionInfo) and not info.param_decls:
        info.param_decls = (f"--{parameter.name.replace('_', '-')}",)
    return info


class Command(TyperCommand):
    """A command whose help has a section for each `rich_help_panel` of its options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The arguments, each of which may be given several times, and where options go."""
        return [*(f"{one.metavar}..." for one in self.params if _is_argument(one)), "[OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a list for each section; their names have one width."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in (*SECTIONS, GENERAL)}
        for parameter in self.get_params(ctx):
            name, text = parameter.get_help_record(ctx) or ("", "")
            if _is_argument(parameter):  # without its type, and that it is required
                name, text = f"{parameter.metavar}...", getattr(parameter, "help", None) or text
            title = getattr(parameter, "rich_help_panel", None) or GENERAL
            sections[title].append((name.ljust(NAME_WIDTH), text))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=NAME_WIDTH)


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")
