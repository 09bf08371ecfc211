"""The command line: flags of the Prometheus family, help that teaches, errors that say what to do."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kcloud_exporter import __version__, logs
from kcloud_exporter.errors import ConfigError, KcloudError
from kcloud_exporter.options import ServeOptions

_DESCRIPTION = """\
One conserved power ledger for AI clouds, as Prometheus metrics.

Reads what your exporters already say (NVIDIA DCGM, Kepler, IPMI, Furiosa, Rebellions, node_exporter,
kube-state-metrics), from any number of clusters, and re-exposes it as kcloud_* metrics in which every
watt is counted once and has an owner.
"""
_EXAMPLES = """\
first steps:
  kcloud-exporter demo                               a simulated fleet, aggregated; nothing to configure
  kcloud-exporter check --config.file my.yaml        every mistake of a configuration, with its place
  kcloud-exporter snapshot --config.file my.yaml     one cycle, the page on stdout
  kcloud-exporter serve --config.file my.yaml        the main job; scrape it with honor_labels: true

Each command explains itself: kcloud-exporter COMMAND --help
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=100)


def parser() -> argparse.ArgumentParser:
    """All commands and flags."""
    root = argparse.ArgumentParser(
        prog="kcloud-exporter", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=_Help
    )
    root.add_argument("--version", action="version", version=f"kcloud-exporter {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _serve(commands)
    _demo(commands)
    _fleet(commands)
    _snapshot(commands)
    _check(commands)
    _bench(commands)
    return root


def _command(commands: Any, name: str, summary: str, *, example: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=_Help,
    )
    command.add_argument(
        "--log.level",
        dest="log_level",
        type=_level,
        choices=logs.LEVELS,
        help="least level that is logged (default: LOG_LEVEL of the environment, else info)",
    )
    command.add_argument(
        "--log.format",
        dest="log_format",
        choices=logs.FORMATS,
        default="logfmt",
        help="form of the log lines on stderr (default: logfmt)",
    )
    return command


def _config_flag(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config.file",
        dest="config_file",
        type=Path,
        metavar="FILE",
        help="YAML configuration (default: none; PROMETHEUS_URL or PROMETHEUS_CLUSTERS of the environment)",
    )


def _web_flags(command: argparse.ArgumentParser) -> None:
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


def _serve(commands: Any) -> None:
    command = _command(
        commands,
        "serve",
        "poll all sources on the interval and serve one consistent page",
        example="kcloud-exporter serve --config.file /etc/kcloud-exporter.yaml",
    )
    _config_flag(command)
    _web_flags(command)
    command.set_defaults(run=_run_serve)


def _demo(commands: Any) -> None:
    command = _command(
        commands,
        "demo",
        "serve a simulated fleet on loopback, with nothing to configure",
        example="kcloud-exporter demo --fleet.seed 42",
    )
    _web_flags(command)
    _fleet_flags(command)
    command.set_defaults(run=_run_demo, config_file=None)


def _fleet(commands: Any) -> None:
    command = _command(
        commands,
        "fleet",
        "run only the simulated exporters, with the ground truth at /truth",
        example="kcloud-exporter fleet --fleet.frozen",
    )
    _fleet_flags(command)
    command.add_argument(
        "--fleet.write-config",
        dest="write_config",
        type=Path,
        metavar="FILE",
        help="write a configuration with which kcloud-exporter serve reads this fleet",
    )
    # What `demo` uses: one JSON line instead of the list, and an end when the parent has ended.
    command.add_argument("--fleet.for-demo", dest="for_demo", action="store_true", help=argparse.SUPPRESS)
    command.add_argument("--fleet.start", dest="start", type=float, help=argparse.SUPPRESS)
    command.set_defaults(run=_run_fleet)


def _fleet_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("--fleet.seed", dest="seed", type=int, default=7, help="which fleet (default: 7)")
    command.add_argument(
        "--fleet.frozen",
        dest="frozen",
        action="store_true",
        help="hold all powers constant (default: they move)",
    )


def _snapshot(commands: Any) -> None:
    command = _command(
        commands,
        "snapshot",
        "do one cycle, print the page on stdout, exit",
        example="kcloud-exporter snapshot --config.file my.yaml | promtool check metrics",
    )
    _config_flag(command)
    command.add_argument("--openmetrics", action="store_true", help="OpenMetrics 1.0 instead of the text format")
    command.set_defaults(run=_run_snapshot)


def _check(commands: Any) -> None:
    command = _command(
        commands,
        "check",
        "check a configuration and print every mistake with its place",
        example="kcloud-exporter check --config.file my.yaml",
    )
    _config_flag(command)
    command.set_defaults(run=_run_check)


def _bench(commands: Any) -> None:
    command = _command(
        commands,
        "bench",
        "measure a cycle beside the conventional Python pipeline, in one run",
        example="kcloud-exporter bench --series 10000 --series 200000",
    )
    command.add_argument(
        "--series",
        type=_count,
        action="append",
        metavar="N",
        help="source series to measure with; may be given several times (default: 200000)",
    )
    command.add_argument("--cycles", type=_count, default=5, help="steady cycles to measure (default: 5)")
    command.add_argument(
        "--no-compare",
        dest="no_compare",
        action="store_true",
        help="leave the conventional pipeline out (it takes most of the time)",
    )
    command.add_argument("--json", metavar="FILE", help="keep the figures in a file")
    command.set_defaults(run=_run_bench)


def _count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; write a whole number of at least 1")
    return int(text)


def _level(said: str) -> str:
    """The level of a name in any case: Prometheus says warn, and Python knows some more."""
    level = said.strip().lower()
    return {"warn": "warning", "critical": "error", "fatal": "error", "notset": "debug"}.get(level, level)


def log_level(environ: Mapping[str, str]) -> str:
    """The level that LOG_LEVEL names, in any case and with the names that Python has for it. Raises ConfigError."""
    said = environ.get("LOG_LEVEL", "").strip().lower() or "info"
    level = _level(said)
    if level not in logs.LEVELS:
        raise ConfigError([f"LOG_LEVEL: {said!r} is no level; known: {', '.join(logs.LEVELS)}"])
    return level


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


def _protected(web_config_file: Path | None, environ: Mapping[str, str]) -> bool:
    """Whether something stands between a client and the pages. Raises ConfigError for a bad web configuration."""
    if web_config_file is None:
        return bool(environ.get("API_AUTH_USERNAME") and environ.get("API_AUTH_PASSWORD"))
    # A web configuration takes the place of the environment's user, so what counts is what it holds.
    from kcloud_exporter.web.auth import protects, read_web_config

    return protects(read_web_config(web_config_file))


def serve_options(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> ServeOptions:
    """The checked flags of a server. Raises ConfigError for an address that would be open to everybody."""
    host, port = listen_address(args.listen_address)
    if not is_loopback(host) and not (args.allow_unauthenticated or _protected(args.web_config_file, environ)):
        reach = f"{args.listen_address} can be reached from other machines and nothing protects it"
        mend = "give --web.config.file with users or TLS, or say --web.allow-unauthenticated"
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
    )


def _run_serve(args: argparse.Namespace) -> int:
    from kcloud_exporter import app

    return app.serve(serve_options(args))


def _run_demo(args: argparse.Namespace) -> int:
    from kcloud_exporter import app

    return app.demo(serve_options(args), seed=args.seed, frozen=args.frozen)


def _run_fleet(args: argparse.Namespace) -> int:
    from kcloud_exporter import app

    return app.fleet(
        app.fleet_spec(args.seed, frozen=args.frozen, start=args.start),
        write_config=args.write_config,
        for_demo=args.for_demo,
    )


def _run_snapshot(args: argparse.Namespace) -> int:
    from kcloud_exporter import app
    from kcloud_exporter.config.load import load_config

    return app.snapshot(load_config(args.config_file), openmetrics=args.openmetrics)


def _run_check(args: argparse.Namespace) -> int:
    from kcloud_exporter import app
    from kcloud_exporter.config.load import load_config

    config = load_config(args.config_file)
    app.check(config)
    sources = sum(len(cluster.sources) for cluster in config.clusters)
    counts = [(len(config.clusters), "cluster"), (sources, "source"), (len(config.sites), "site")]
    print(f"the configuration is good: {', '.join(_counted(*count) for count in counts)}")
    for cluster in config.clusters:
        read = [f"{s.exporter.vendor} × {len(s.exporter.targets)}" for s in cluster.sources if s.exporter]
        read += [s.prometheus.url for s in cluster.sources if s.prometheus]
        print(f"  {cluster.name} (site {cluster.site}): {', '.join(read)}")
    used = {cluster.site for cluster in config.clusters}
    for site in config.sites:
        if site.name not in used:
            print(f"  note: no cluster stands at site {site.name!r}; clusters stand at {', '.join(sorted(used))}")
    return 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _run_bench(args: argparse.Namespace) -> int:
    from kcloud_exporter.bench.run import main as bench

    args.series = args.series or [200_000]
    return bench(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0 = done, 1 = failed, 2 = a mistake of usage or configuration, each told on stderr."""
    args = parser().parse_args(argv)
    try:
        args.log_level = args.log_level or log_level(os.environ)
        logs.set_up(args.log_level, args.log_format)
        return int(args.run(args))
    except ConfigError as exc:
        for problem in exc.problems:
            print(problem, file=sys.stderr)
        print(f"{_counted(len(exc.problems), 'mistake')} in the configuration", file=sys.stderr)
        return 2
    except KcloudError as exc:
        print(f"kcloud-exporter: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
