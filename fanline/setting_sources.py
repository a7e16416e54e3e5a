"""Settings by flags, the environment and the TOML file.

:mod:`fanline.settings` says how each of them spells a setting.
"""

import argparse
import logging
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Final, NoReturn, TypeVar, get_args

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

import fanline.settings
from fanline.errors import ConfigurationError
from fanline.setting_types import HIDDEN
from fanline.settings import READY_FD_VARIABLE, ServiceSettings, Settings

ENV_PREFIX: Final = "FANLINE_"

# A variable with the prefix that is no setting: the file to read.
CONFIG_VARIABLE: Final = "FANLINE_CONFIG"

# The services, in the order in which their settings are documented, and where each declares them. By name,
# because this package does not import the services.
_SECTIONS: Final = {
    "msgqueue": "msgqueue.settings:MsgQueueSettings",
    "publisher": "publisher.settings:PublisherSettings",
    "subscriber": "subscriber.settings:SubscriberSettings",
    "chat": "chat.settings:ChatSettings",
}
SERVICES: Final = tuple(_SECTIONS)

# Which part of a container's memory a service may fill with what waits, is unfinished or kept, unless it is
# told otherwise. All of them together are a quarter: the rest is for connections, SQLite and Python.
_PARTS_OF_MEMORY: Final = {"unread_bytes": 8, "queue_buffer": 16, "unfinished_bytes": 32, "recent_bytes": 32}

logger = logging.getLogger(__name__)

# What Kubernetes sets for a Service whose name begins with `fanline`: its host and port, in two styles.
_INJECTED: Final = re.compile(
    ENV_PREFIX
    + r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)=.*|PORT=\w+://.*|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*)"
)


AnySettings = TypeVar("AnySettings", bound=Settings)


class Sources:
    """Values of settings: from flags, then the environment, then the TOML file.

    Args:
        flags: Values that a command line or a caller gives, by name.
        config: The TOML file; None for the one that FANLINE_CONFIG names, if any.
        memory: Bytes of memory that there are, for defaults that are too large for it; None for what the
            system says.

    Raises:
        ConfigurationError: If a variable or a line of the file is no setting, or the file cannot be read.
    """

    def __init__(
        self, flags: Mapping[str, object], config: str | None = None, memory: int | None = None
    ) -> None:
        injected = _injected_variables()
        variables = {name: value for name, value in os.environ.items() if value and name not in injected}
        config = config or variables.get(CONFIG_VARIABLE)
        from_file = {} if config is None else _read_file(config)
        from_environment = {
            name: variables[variable] for name in _known() if (variable := variable_of(name)) in variables
        }
        _refuse_unknown_variables(variables)
        original = {"cert_dir": variables["WS_CERT_DIR"]} if "WS_CERT_DIR" in variables else {}
        given: dict[str, object] = {**from_file, **original, **from_environment, **flags}
        fitting = fitting_defaults(memory_limit() if memory is None else memory)
        self._values = {**fitting, **_urls_at(given.get("serve_port")), **given}

    def section(self, kind: type[AnySettings]) -> AnySettings:
        """Return the settings of one kind.

        Raises:
            ConfigurationError: If any is wrong; the text has a line for each.
        """
        fields = kind.fields()
        try:
            return kind.model_validate(
                {name: value for name, value in self._values.items() if name in fields}
            )
        except ValidationError as error:
            raise ConfigurationError("\n".join(_sentences(error, fields))) from None


def memory_limit(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the bytes of memory that the container may use.

    It may also be the unit of systemd that has a limit. The result is None without one.

    Args:
        root: Where the control groups are mounted, in version 2.
        own: Names the group of this process.
    """
    limits = []
    try:
        groups = [line.removeprefix("0::/") for line in own.read_text().splitlines() if line[:3] == "0::"]
    except OSError:
        return None
    for group in groups:
        for folder in (root / group, *(root / group).parents):
            with suppress(OSError, ValueError):  # there is none, or it is "max"
                limits.append(int((folder / "memory.max").read_text()))
    return min(limits, default=None)


def fit_cache(size: int) -> int:
    """Return a cache's size in bytes that fits the container's memory.

    It is at most a sixteenth of that.
    """
    memory = memory_limit()
    return size if memory is None else min(size, memory // 16)


def fitting_defaults(memory: int | None) -> dict[str, object]:
    """Return smaller defaults of settings by name, for too little memory."""
    if memory is None:
        return {}
    sizes = {name: memory // part for name, part in _PARTS_OF_MEMORY.items()}
    return {name: size for name, size in sizes.items() if size < Settings.model_fields[name].default}


def _urls_at(serve_port: object) -> dict[str, object]:
    """Return where the services are, by setting, if they share one port."""
    if not str(serve_port).isdigit() or not 0 < int(str(serve_port)) < 65_536:
        return {}  # the system chooses it, or it is refused as what it is
    at = f"wss://localhost:{serve_port}"
    return {
        "queue_url": f"{at}/msgqueue",
        "publisher_url": f"{at}/publisher",
        "subscriber_url": f"{at}/subscriber",
        "chat_url": f"{at}/chat",
    }


def load(section: type[AnySettings], argv: Sequence[str], *, program: str, description: str) -> AnySettings:
    """Read settings from a command line, the environment and the TOML file.

    Args:
        section: Which settings.
        argv: The command line, without the program's name; settings of other services are ignored.
        program: How the program is called, for ``--help``.
        description: What it does, for ``--help``.

    Raises:
        ConfigurationError: If a setting is unknown or wrong; the text names it and says what was expected.
        SystemExit: After ``--help``.
    """
    return parse(argv, program=program, description=description, listed=section.fields()).section(section)


def parse(argv: Sequence[str], *, program: str, description: str, listed: Mapping[str, FieldInfo]) -> Sources:
    """Parse a command line that may have a flag for any setting.

    ``--help`` shows those ``listed``. Otherwise like :func:`load`.
    """
    parsed, unknown = _parser(program, description, listed).parse_known_args(argv)
    _refuse_unknown_flags(unknown)
    flags = {name: value for name, value in vars(parsed).items() if value is not None}
    config = flags.pop("config", None)
    return Sources(flags, config)


def read(section: type[AnySettings], **given: object) -> AnySettings:
    """Return a section's settings, in which ``given`` values come first.

    The environment and the TOML file have the others.

    Raises:
        ConfigurationError: As for :func:`load`.
    """
    return Sources(given).section(section)


def read_service(name: str) -> ServiceSettings:
    """Return the settings of a service by its name, as :func:`read` does."""
    return read(section_of(name))


def section_of(name: str) -> type[ServiceSettings]:
    """Return the class with the settings of a service, one of :data:`SERVICES`."""
    section: type[ServiceSettings] = resolve_name(_SECTIONS[name])
    return section


def all_fields() -> dict[str, FieldInfo]:
    """Return every setting, those that services share first."""
    fields = Settings.fields()
    for name in SERVICES:
        fields |= section_of(name).fields()
    return fields


def describe() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and description of every setting, for documentation."""
    for name, field in all_fields().items():
        yield name, _default(field), field.description or ""


def log_injected_variables() -> None:
    """Log, in one line, which variables were ignored because Kubernetes sets them."""
    if names := _injected_variables():
        logger.info("ignored variables that Kubernetes sets for Services: %s", ", ".join(names))


def _injected_variables() -> list[str]:
    return sorted(name for name, value in os.environ.items() if _INJECTED.fullmatch(f"{name}={value}"))


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{ENV_PREFIX}{name.upper()}"


@cache
def _known() -> Mapping[str, FieldInfo]:
    return all_fields()


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _default(field: FieldInfo) -> str:
    if isinstance(field.default, tuple):
        return ",".join(map(str, field.default))
    return "" if field.default is None else str(field.default)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}; --help lists what there is")


def _parser(program: str, description: str, listed: Mapping[str, FieldInfo]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program, description=description, epilog=fanline.settings.__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    for name, field in _known().items():
        if not _is_secret(field):
            default = f" [{_default(field)}]" if _default(field) else ""
            shown = f"{field.description}{default}".replace("%", "%%")
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                metavar="VALUE",
                help=shown if name in listed else argparse.SUPPRESS,
            )
        elif name in listed:
            parser.add_argument_group(f"{variable_of(name)}, without a flag", field.description)
    return parser


def _refuse(unknown: Sequence[str], what: str = "setting") -> None:
    if unknown:
        raise ConfigurationError(f"{', '.join(unknown)}: no such {what}; --help lists what there is")


def _refuse_unknown_flags(words: Sequence[str]) -> None:
    """Raise an error that names flags only.

    A word after a flag may be a password.
    """
    _refuse([word.partition("=")[0] for word in words if word.startswith("-")], "flag")
    if words:
        raise ConfigurationError("there is a value without a flag; --help lists what there is")


def _refuse_unknown_variables(variables: Mapping[str, str]) -> None:
    known = {*map(variable_of, _known()), CONFIG_VARIABLE, READY_FD_VARIABLE}
    _refuse(sorted(name for name in variables if name.startswith(ENV_PREFIX) and name not in known))


def _read_file(config: str) -> dict[str, object]:
    path = Path(config)
    if not path.is_file():
        raise ConfigurationError(f"{CONFIG_VARIABLE}: there is no file {config}")
    try:
        lines = tomllib.loads(path.read_text())
    except (ValueError, OSError) as error:  # it is not TOML, or not UTF-8, or cannot be read
        raise ConfigurationError(f"{config}: {error}") from error
    _refuse([name for name in lines if name not in _known()])
    return lines


def _sentences(error: ValidationError, fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            yield message
            continue
        setting, *inner = problem["loc"]
        kind = "rule" if setting in ("retention", "token_rights") else "value"
        name = " ".join([str(setting), *(p if isinstance(p, str) else f"{kind} {p + 1}" for p in inner)])
        if problem["type"] == "extra_forbidden":
            yield f"{name}: no such setting; --help lists what there is"
        else:
            given = _given(fields[str(setting)], problem["input"])
            yield f"{name}: {message[0].lower()}{message[1:]}{given}"


def _given(field: FieldInfo, value: object) -> str:
    """Return a value for an error; nothing of a possible secret."""
    is_hidden = _is_secret(field) or HIDDEN in field.metadata or "@" in str(value)
    return "" if is_hidden else f", got {value!r}"
