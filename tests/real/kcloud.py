"""kcloud-exporter as a user runs it: its own process, a configuration file, HTTP."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.real.page import Page, parse_page
from tests.real.programs import Program, answers, free_port, get, start

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class KcloudExporter:
    """A running `kcloud-exporter serve`."""

    url: str
    program: Program
    config_file: Path

    @property
    def address(self) -> str:
        """host:port, as a scrape target."""
        return self.url.removeprefix("http://")

    def text(self) -> str:
        """The page of /metrics."""
        response = get(f"{self.url}/metrics")
        assert response.status_code == 200, response.text
        return response.text

    def page(self) -> Page:
        """The page of /metrics, parsed by the oracle (which refuses duplicates)."""
        return parse_page(self.text())


@contextlib.contextmanager
def kcloud_exporter(
    config: Mapping[str, Any],
    folder: Path,
    *,
    name: str = "kcloud-exporter",
    port: int | None = None,
    through: Sequence[str | Path] = (),
) -> Iterator[KcloudExporter]:
    """Run it with this configuration until it is ready, that is, until a fresh snapshot exists.

    With the same folder and name it continues the counters of the run before. `through` is a command that runs
    the command that follows it.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    file = folder / f"{name}.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(config, indent=1))
    arguments: list[str | Path] = [sys.executable, "-m", "kcloud_exporter", "serve", "--config.file", file]
    arguments += ["--web.listen-address", f"127.0.0.1:{port}", "--storage.path", folder / f"{name}-data"]
    with start(name, [*through, *arguments], folder, lambda: answers(f"{url}/-/ready"), cwd=ROOT) as program:
        yield KcloudExporter(url, program, file)
