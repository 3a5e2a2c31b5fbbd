"""The click classes that every command is made of: lazy groups, ``--home`` anywhere, errors as one line."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from clockmill.cli import elsewhere
from clockmill.cli.app import App
from clockmill.errors import ClockmillError, EmptyRange, UsageError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])

EXIT_FAILED = 1
EXIT_REFUSED = 2

#: What the machine refuses, for want of rights or of room, is no bug of ours.
_ENVIRONMENT = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
)

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

pass_app = click.make_pass_decorator(App)


def _keep_home(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(App).home = value


class Command(click.Command):
    """A command that takes ``--home``, and tells of arguments that contradict each other as click does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if hint := elsewhere.of_option(error.option_name):
                ctx.fail(f"There is no option {error.option_name!r}. {hint}")
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EmptyRange as error:
            raise click.UsageError(str(error), ctx) from None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx)[:-1], _home_option(), *super().get_params(ctx)[-1:]]


class Group(click.Group):
    """A group that takes ``--home``, imports its commands when they are used, and suggests the nearest name.

    :param lazy: name -> (``module:attribute``, one line of help) of commands that live in modules of their own.
    """

    command_class = Command

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx)[:-1], _home_option(), *super().get_params(ctx)[-1:]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            _, _, group = ctx.command_path.partition(" ")
            hint = elsewhere.of_command(f"{group} {args[0]}".strip())
            ctx.fail(f"There is no command {args[0]!r}.{' ' + hint if hint else did_you_mean(args[0], names)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(ctx, name)) for name in self.list_commands(ctx)])

    def _summary(self, ctx: click.Context, name: str) -> str:
        if name in self.lazy:
            return self.lazy[name][1]
        command = self.get_command(ctx, name)
        return command.get_short_help_str(100) if command else ""


class Root(Group):
    """The program: turns every error into one line and an exit status."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        *others, help_option = super().get_params(ctx)
        return [*others, _version_option(), help_option]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for argument in args:
            if any("\udc80" <= character <= "\udcff" for character in argument):  # bytes that Python could not decode
                ctx.fail(f"The argument {argument!r} is not valid UTF-8.")
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run and exit: 0 done, 1 failed, 2 arguments refused."""
        app = kwargs.setdefault("obj", App())
        kwargs["standalone_mode"] = False
        try:
            status = super().main(*args, **kwargs)
        except click.ClickException as error:
            status = _refuse(error)
        except ClockmillError as error:
            status = _fail(str(error))
        except (click.Abort, KeyboardInterrupt):
            status = _fail("Interrupted.")
        except BrokenPipeError:
            status = _reader_left()
        except OSError as error:
            status = _refused_by_system(app, error) if error.errno in _ENVIRONMENT else _bug(app, error)
        except Exception as error:  # noqa: BLE001 -- the last resort: our own bug, kept in the log
            status = _bug(app, error)
        finally:
            app.close()
        sys.exit(status if isinstance(status, int) else 0)


def _home_option() -> click.Option:
    return click.Option(
        ["--home"],
        type=click.Path(path_type=Path),
        metavar="DIR",
        expose_value=False,
        callback=_keep_home,
        help="The home folder; else CLOCKMILL_HOME, else ~/.clockmill.",
    )


def _version_option() -> click.Option:
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_tell_version,
        help="Print the version.",
    )


def _tell_version(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from clockmill.cli.info import program_version

        click.echo(program_version())
        ctx.exit()


def _refuse(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return EXIT_REFUSED
    line = " ".join(error.format_message().split())
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "clockmill"
    click.echo(f"{path}: {line.rstrip('.?')}{'?' if line.endswith('?') else '.'} See '{path} --help'.", err=True)
    return EXIT_REFUSED


def _fail(message: str) -> int:
    click.echo(f"clockmill: {message}", err=True)
    return EXIT_FAILED


def _reader_left() -> int:
    # What is still buffered must not fail again when the interpreter flushes it at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILED


def _refused_by_system(app: App, error: OSError) -> int:
    if error.filename is None and error.errno in _NO_ROOM:  # the system says of which file only when it opens one
        return _fail(f"There is no room ({error.strerror}); look first at the disk of the home, {app.settings.home}.")
    what = "Something that it needs" if error.filename is None else os.fsdecode(error.filename)
    return _fail(f"{what} cannot be used: {error.strerror}.")


def _bug(app: App, error: Exception) -> int:
    from clockmill.cli.servicelog import keep_traceback

    told = " ".join(f"{type(error).__name__}: {error}".split())
    return _fail(f"This is a bug in Clockmill ({told}). {keep_traceback(app, error)}")


def confirm(question: str, yes: bool) -> None:
    """Ask before something that cannot be undone.

    :param yes: the person said ``--yes``.
    :raises click.UsageError: when nobody can be asked, because this is no terminal.
    :raises UsageError: when the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("This is no terminal to ask on: add --yes to go ahead.")
    if not click.confirm(question, err=True):
        raise UsageError("Nothing was changed.")


def same_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator that stands for several, in the order given."""

    def decorate(function: F) -> F:
        for each in reversed(options):
            function = each(function)
        return function

    return decorate
