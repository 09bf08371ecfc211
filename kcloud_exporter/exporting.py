"""Exporting: how `serve` and the command line compose history and exports."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from kcloud_exporter.config.schema import Config
from kcloud_exporter.errors import ExportError
from kcloud_exporter.export.job import Job, Telling, make
from kcloud_exporter.export.provenance import Origin
from kcloud_exporter.export.report.asked import read_report
from kcloud_exporter.export.request import PARAMETERS, read_request
from kcloud_exporter.history.embedded import EmbeddedHistory
from kcloud_exporter.history.place import Place
from kcloud_exporter.history.series import History

__all__ = ["PARAMETERS", "export", "origin_of", "place_of"]


def origin_of(config: Config) -> Origin:
    """What a file says of the configuration that its numbers were made with. Secrets are masked before the digest."""
    text = json.dumps(config.model_dump(mode="json", by_alias=True), sort_keys=True)
    return Origin(
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        ledger=(("idle", config.ledger.idle), ("overhead", config.ledger.overhead)),
        clusters=tuple(cluster.name for cluster in config.clusters),
        history=config.history.backend,
        sites=tuple((cluster.name, cluster.site) for cluster in config.clusters),
        interval=config.global_.interval,
        zones=tuple((site.name, site.tariff.timezone) for site in config.sites if site.tariff is not None),
    )


async def place_of(config: Config, history: History) -> Place:
    """Where another process finds the running history, with the rows that are not on disk yet."""
    if isinstance(history, EmbeddedHistory):
        return Place(folder=history.files.root, waiting=await asyncio.to_thread(history.not_on_disk))
    return Place(url=config.history.url or "", access=config.history)


def export(config: Config, storage: Path, dataset: str, said: Mapping[str, str], output: str) -> int:
    """Write one file from the command line, with a progress bar on stderr. Raises ExportError."""
    now = time.time()
    folder = storage / "history"
    if config.history.url is None and not folder.is_dir():
        raise ExportError(400, f"{folder} is not there; give the folder of the server with --storage.path")
    place = Place(url=config.history.url, access=config.history) if config.history.url else Place(folder=folder)
    origin = origin_of(config)
    request = read_report(said, origin, now) if dataset == "report" else read_request(dataset, said, now)
    job = Job(request, place, origin, now)
    about = _written(job, output)
    totals = about["totals"]
    energy = f", {totals['energy_kwh']:,.3f} kWh" if "energy_kwh" in totals else ""
    incomplete = "" if about["complete"] else "; incomplete, so totals are lower bounds"
    rows = f"{totals['rows']} rows" if "rows" in totals else f"{dataset} of {about['dataset']}"
    sys.stderr.write(f"{rows}{energy} from {about['window']['start']}{incomplete}\n")
    return 0


def _written(job: Job, output: str) -> dict[str, Any]:
    if output == "-":
        return _with_bar(job, sys.stdout.buffer)
    target = Path(output)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            about = _with_bar(job, file)
        temporary.replace(target)
        if job.request.format == "csv":  # which has no place for it inside
            beside = target.with_name(f"{target.name}.provenance.json")
            beside.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as exc:
        raise ExportError(500, f"{target}: {exc.strerror or exc}") from exc
    finally:
        temporary.unlink(missing_ok=True)
    return about


def _with_bar(job: Job, out: IO[bytes]) -> dict[str, Any]:
    with tqdm(total=100, desc="export", unit="%", disable=None, leave=False, file=sys.stderr) as bar:

        def progress(part: float) -> None:
            bar.update(round(100 * part) - bar.n)

        return asyncio.run(make(job, out, Telling(progress=progress)))
