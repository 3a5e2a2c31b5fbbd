"""Settings from the command line, the environment and the file, in that order of precedence."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clockmill.config import elsewhere, executors
from clockmill.config.options import Option, Source
from clockmill.config.settings import OPTIONS, SECTIONS, Settings
from clockmill.errors import ConfigError, did_you_mean

_PREFIX = "CLOCKMILL__"
#: What may be a name and a password, also in what is no good URL.
_USERINFO = re.compile(r"(:/*)[^;\s'\"]*@")
_BY_PATH = {known.path: known for known in OPTIONS}
_BY_VARIABLE = {known.variable: known for known in OPTIONS}
#: What holds a password may stand in a file, which systems that hand out secrets make, and is not inherited.
_BY_FILE_VARIABLE = {f"{known.variable}_FILE": known for known in OPTIONS if known.traits.has_secret}
#: The same for sections of executors, which may have options of these names, too: by the key that names the file.
_SECRETS_BY_FILE = {f"{known.name}_file": known.name for known in OPTIONS if known.traits.has_secret}


def find_home(home: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The home, absolute: ``home`` where given, else ``CLOCKMILL_HOME``, else ``~/.clockmill``."""
    chosen = home or Path(environ.get("CLOCKMILL_HOME") or "~/.clockmill")
    return Path(os.path.abspath(chosen.expanduser()))  # noqa: PTH100 -- resolve() would follow links


def load(
    home: Path | None = None,
    overrides: Mapping[str, str] = {},
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Read and check every setting.

    :param home: as the command line names it, or None.
    :param overrides: ``section.name`` -> text, from the command line.
    :raises ConfigError: naming every problem, one on each line.
    """
    found = find_home(home, environ)
    collector = _Collector()
    collector.add_file(found / "clockmill.toml")
    collector.add_environment(environ)
    collector.add_overrides(overrides)
    if collector.problems:
        raise ConfigError("\n".join(collector.problems))
    return replace(_settings(found, collector.values, collector.sources), executors=collector.executors)


def _settings(home: Path, values: Mapping[str, Any], sources: Mapping[str, Source]) -> Settings:
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for known in OPTIONS:
        value = values.get(known.path, known.default)
        sections[known.section][known.name] = home / value if isinstance(value, Path) else value
    origin = {known.path: sources.get(known.path, Source.DEFAULT) for known in OPTIONS}
    return Settings(home=home, sources=origin, **{name: SECTIONS[name](**sections[name]) for name in SECTIONS})


class _Collector:
    """Gathers values, later calls over earlier ones, and every problem on the way."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, Source] = {}
        self.executors: dict[str, dict[str, Any]] = {}
        self.problems: list[str] = []

    def add_file(self, path: Path) -> None:
        for section, name, value in self._entries(path):
            known = _BY_PATH.get(f"{section}.{name}")
            if known is None:
                names = [each.name for each in OPTIONS if each.section == section]
                hint = elsewhere.of_option(section, name) or did_you_mean(name, names)
                self.problems.append(f"{path}: the section [{section}] has no option {name!r}.{hint}")
                continue
            self._take(known, Source.FILE, str(path), lambda known=known, value=value: known.from_toml(value), value)

    def add_environment(self, environ: Mapping[str, str]) -> None:
        for variable in sorted(environ):
            if not variable.startswith(_PREFIX):
                continue
            if told := executors.from_environment(variable):
                self._take_of_executor(*told, variable, environ)
                continue
            if variable in _BY_VARIABLE:
                self._take_text(_BY_VARIABLE[variable], Source.ENVIRONMENT, variable, environ[variable])
            elif variable in _BY_FILE_VARIABLE:
                self._take_secret(_BY_FILE_VARIABLE[variable], variable, environ)
            else:
                section, _, name = variable.removeprefix(_PREFIX).lower().partition("__")
                hint = elsewhere.of_option(section, name)
                hint = hint or did_you_mean(variable, _BY_VARIABLE.keys() | _BY_FILE_VARIABLE.keys())
                self.problems.append(f"The environment variable {variable} sets no option.{hint}")

    def add_overrides(self, overrides: Mapping[str, str]) -> None:
        for path, text in overrides.items():
            known = _BY_PATH.get(path)
            if known is None:
                self.problems.append(f"There is no option {path!r}.{did_you_mean(path, _BY_PATH)}")
                continue
            self._take_text(known, Source.COMMAND_LINE, "the command line", text)

    def _take_executors(self, path: Path, content: object) -> None:
        for told in executors.from_toml(content):
            if isinstance(told, str):
                self.problems.append(f"{path}: {told}")
            else:
                self.executors.setdefault(told[0], {})[told[1]] = told[2]

    def _take_of_executor(self, section: str, key: str, variable: str, environ: Mapping[str, str]) -> None:
        text: str | None = environ[variable]
        if key in _SECRETS_BY_FILE:
            key, text = _SECRETS_BY_FILE[key], self._secret_of_file(variable, environ)
        if text is not None:
            self.executors.setdefault(section, {})[key] = text

    def _take_secret(self, known: Option, variable: str, environ: Mapping[str, str]) -> None:
        if known.variable in environ:
            self.problems.append(f"{known.variable} and {variable} both set {known.label}: keep one of them.")
        elif (text := self._secret_of_file(variable, environ)) is not None:
            self._take_text(known, Source.ENVIRONMENT, variable, text)

    def _secret_of_file(self, variable: str, environ: Mapping[str, str]) -> str | None:
        """The text of the file that a variable names; None, and a problem more, when there is none."""
        path = Path(environ[variable])
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            self.problems.append(f"{variable}: {path} cannot be read: {reason}.")
            return None
        if not text:
            self.problems.append(f"{variable}: {path} is empty.")
            return None
        return text

    def _take_text(self, known: Option, source: Source, where: str, text: str) -> None:
        self._take(known, source, where, lambda: known.from_text(text), text)

    def _take(self, known: Option, source: Source, where: str, convert: Any, shown: object) -> None:
        try:
            value = convert()
        except ValueError as error:
            safe = _USERINFO.sub(r"\1***@", repr(shown))
            value_told = "" if known.traits.has_secret else f" is {safe}, but"
            self.problems.append(f"{where}: {known.label}{value_told} {error}")
            return
        if isinstance(value, Path):
            value = value.expanduser()
        self.values[known.path] = value
        self.sources[known.path] = source

    def _entries(self, path: Path) -> Iterator[tuple[str, str, object]]:
        for section, content in self._parsed(path).items():
            if section == executors.SECTION:
                self._take_executors(path, content)
            elif section not in SECTIONS:
                what = "section" if isinstance(content, dict) else "option outside of a section"
                hint = did_you_mean(section, SECTIONS)
                self.problems.append(f"{path}: there is no {what} {section!r}.{hint}")
            elif not isinstance(content, dict):
                self.problems.append(f"{path}: {section!r} must be a section, [{section}].")
            else:
                yield from ((section, name, value) for name, value in content.items())

    def _parsed(self, path: Path) -> dict[str, Any]:
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.problems.append(f"{path} cannot be read: {error.strerror}.")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.problems.append(f"{path} is not valid TOML: {error}.")
        return {}
