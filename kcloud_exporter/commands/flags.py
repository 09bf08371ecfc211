"""Flags that several commands share, in the style of the Prometheus family, and how they are checked."""

from __future__ import annotations

import argparse
import ipaddress
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kcloud_exporter import logs
from kcloud_exporter.errors import ConfigError
from kcloud_exporter.options import ServeOptions
from kcloud_exporter.units import parse_duration


class Help(argparse.RawDescriptionHelpFormatter):
    """Help with room for long flags."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=100)


def command(
    commands: Any, name: str, summary: str, *, example: str, level: str | None = None
) -> argparse.ArgumentParser:
    """One command with the flags that all have. `example` stands below its help.

    `level` is the least level that it logs unless told otherwise, where that is not for the environment to say.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"{'examples' if len(example.splitlines()) > 1 else 'example'}:\n{textwrap.indent(example, '  ')}",
        formatter_class=Help,
    )
    parser.add_argument(
        "--log.level",
        dest="log_level",
        type=level_named,
        choices=logs.LEVELS,
        default=level,
        help=f"least level that is logged (default: {level or 'LOG_LEVEL of the environment, else info'})",
    )
    parser.add_argument(
        "--log.format",
        dest="log_format",
        choices=logs.FORMATS,
        default="logfmt",
        help="form of the log lines on stderr (default: logfmt)",
    )
    return parser


def config_flag(command: argparse.ArgumentParser) -> None:
    """--config.file."""
    command.add_argument(
        "--config.file",
        dest="config_file",
        type=Path,
        metavar="FILE",
        help="YAML configuration (default: none; PROMETHEUS_URL or PROMETHEUS_CLUSTERS of the environment)",
    )


def web_flags(command: argparse.ArgumentParser) -> None:
    """What a server has: where to listen, who may read, where state is kept."""
    command.add_argument(
        "--web.listen-address",
        dest="listen_address",
        default="127.0.0.1:28283",
        metavar="HOST:PORT",
        help="where to serve (default: 127.0.0.1:28283); :PORT means every interface",
    )
    command.add_argument(
        "--web.config.file",
        dest="web_config_file",
        type=Path,
        metavar="FILE",
        help="TLS, users and headers, in the format of the Prometheus exporter-toolkit (default: none; "
        "API_AUTH_USERNAME and API_AUTH_PASSWORD of the environment name one user)",
    )
    command.add_argument(
        "--web.bearer-token-file",
        dest="bearer_token_file",
        type=Path,
        metavar="FILE",
        help="bearer tokens that are taken as well, one a line; they follow the file (default: none)",
    )
    command.add_argument(
        "--web.enable-lifecycle",
        dest="enable_lifecycle",
        action="store_true",
        help="allow POST /-/reload (default: only SIGHUP reloads)",
    )
    command.add_argument(
        "--web.allow-unauthenticated",
        dest="allow_unauthenticated",
        action="store_true",
        help="serve beyond loopback without users or TLS (default: refuse)",
    )
    command.add_argument(
        "--storage.path",
        dest="storage_path",
        type=Path,
        metavar="DIR",
        help="where state is kept (default: storage.path of the configuration)",
    )


def fleet_flags(command: argparse.ArgumentParser) -> None:
    """Which simulated fleet."""
    command.add_argument("--fleet.seed", dest="seed", type=int, default=7, help="which fleet (default: 7)")
    command.add_argument(
        "--fleet.world",
        dest="world",
        choices=("demo", "mixed"),
        default="demo",
        help="demo: three clusters on two sites; mixed: one cluster, all makers, pods and VMs (default: demo)",
    )
    command.add_argument(
        "--fleet.frozen",
        dest="frozen",
        action="store_true",
        help="hold all powers constant (default: they move)",
    )


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; write a whole number of at least 1")
    return int(text)


def duration(text: str) -> float:
    """Seconds of a duration such as `10m`."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def level_named(said: str) -> str:
    """The level of a name in any case: Prometheus says warn, and Python knows some more."""
    level = said.strip().lower()
    return {"warn": "warning", "critical": "error", "fatal": "error", "notset": "debug"}.get(level, level)


def counted(number: int, noun: str) -> str:
    """`1 site`, `2 sites`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listen_address(text: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT`, `[::1]:PORT` or `:PORT`. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigError([f"--web.listen-address: {text!r}; write HOST:PORT, for example 127.0.0.1:28283"])
    return host or "0.0.0.0", int(port)  # noqa: S104 - only with users or an explicit flag, see below


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _protected(web_config_file: Path | None, bearer_token_file: Path | None, environ: Mapping[str, str]) -> bool:
    """Whether something stands between a client and the pages. Raises ConfigError for a bad web configuration."""
    if bearer_token_file is not None:
        return True
    if web_config_file is None:
        return bool(environ.get("API_AUTH_USERNAME") and environ.get("API_AUTH_PASSWORD"))
    # A web configuration takes the place of the environment's user, so what counts is what it holds.
    from kcloud_exporter.web.auth import protects, read_web_config

    return protects(read_web_config(web_config_file))


def serve_options(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> ServeOptions:
    """The checked flags of a server. Raises ConfigError for an address that would be open to everybody."""
    host, port = listen_address(args.listen_address)
    if not is_loopback(host) and not (
        args.allow_unauthenticated or _protected(args.web_config_file, args.bearer_token_file, environ)
    ):
        reach = f"{args.listen_address} can be reached from other machines and nothing protects it"
        mend = (
            "give --web.config.file with users or TLS, or --web.bearer-token-file, or say --web.allow-unauthenticated"
        )
        raise ConfigError([f"--web.listen-address: {reach}; {mend}"])
    return ServeOptions(
        config_file=args.config_file,
        listen_host=host,
        listen_port=port,
        web_config_file=args.web_config_file,
        enable_lifecycle=args.enable_lifecycle,
        allow_unauthenticated=args.allow_unauthenticated,
        storage_path=args.storage_path,
        log_level=args.log_level,
        log_format=args.log_format,
        bearer_token_file=args.bearer_token_file,
    )
