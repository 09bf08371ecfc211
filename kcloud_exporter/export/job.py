"""Job: everything that a process of its own needs to make one file, and the making of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from kcloud_exporter.errors import ExportError, HistoryError
from kcloud_exporter.export.datasets import Dataset, mean_completeness
from kcloud_exporter.export.provenance import Origin, coverage, provenance
from kcloud_exporter.export.report.asked import ReportRequest
from kcloud_exporter.export.request import Request
from kcloud_exporter.export.tables import CsvWriter, JsonWriter, ParquetWriter, Writer
from kcloud_exporter.history.place import Place
from kcloud_exporter.history.series import History

_STATUS: Final = {"bad_request": 400, "too_large": 413, "unavailable": 503}


@dataclass(frozen=True, slots=True)
class Job:
    """One file to be made."""

    request: Request | ReportRequest
    place: Place
    origin: Origin
    now: float


@dataclass(frozen=True, slots=True)
class Telling:
    """Whom to tell: the provenance before the first byte is written, and how far the work is, 0 to 1."""

    about: Callable[[Mapping[str, Any]], None] = lambda _: None
    progress: Callable[[float], None] = lambda _: None


async def make(job: Job, out: IO[bytes], tell: Telling = Telling()) -> dict[str, Any]:
    """Write the file to `out` and return its provenance with totals. Raises ExportError, when part may be written."""
    history = job.place.open()
    try:
        if isinstance(job.request, ReportRequest):
            return await _report(job, job.request, history, out, tell)
        return await _make(job, job.request, history, out, tell)
    except HistoryError as exc:
        raise ExportError(_STATUS[exc.reason], str(exc)) from exc
    finally:
        await history.close()


async def _report(job: Job, request: ReportRequest, history: History, out: IO[bytes], tell: Telling) -> dict[str, Any]:
    """Gather the numbers, tell where they come from, and lay them out."""
    from kcloud_exporter.export.report import gather

    report = await gather.gather(history, request, job.origin, job.now, tell.progress)
    filters = {"cluster": request.cluster} if request.cluster else {}
    about = provenance(
        job.origin,
        dataset=f"{request.template} report",
        start=request.start,
        end=request.end,
        step=request.step,
        filters={**filters, "lang": request.language, "tz": request.zone},
        completeness=report.completeness,
        generated_at=time.time(),
    )
    about["complete"] = about["complete"] and report.is_over
    about["totals"] = (
        {} if report.joules is None else {"energy_joules": report.joules, "energy_kwh": report.joules / 3.6e6}
    )
    tell.about(about)
    if request.format == "excel":
        from kcloud_exporter.export.report import sheets

        sheets.write(report, about, out)
    else:
        from kcloud_exporter.export.report import pages

        pages.write(report, about, out)
    tell.progress(1.0)
    return about


async def _make(job: Job, request: Request, history: History, out: IO[bytes], tell: Telling) -> dict[str, Any]:
    dataset = Dataset(request, history, job.now, job.origin.interval)
    await dataset.check()
    matchers = dict(request.matchers)
    cluster = matchers.get("cluster")
    until = max(min(request.end, job.now), request.start + 60)
    minutes = await coverage(history, cluster, request.start, until, job.origin.interval)
    about = provenance(
        job.origin,
        dataset=request.dataset,
        start=request.start,
        end=request.end,
        step=request.step,
        filters=_filters(request),
        completeness=mean_completeness(minutes, [cluster] if cluster else job.origin.clusters),
        generated_at=time.time(),
    )
    tell.about(about)
    writer = _writer(request.format, out, dataset, about)
    async for batch in dataset.batches():
        writer.write(batch)
        tell.progress(dataset.progress)
    writer.finish(dataset.totals.told())
    tell.progress(1.0)
    return {**about, "totals": dataset.totals.told()}


def _filters(request: Request) -> Mapping[str, str]:
    more = {
        "breakdown_by": request.breakdown,
        "metric_name": ",".join(request.families),
        "resource_type": ",".join(sorted(request.resource or ())),
    }
    return {**dict(request.matchers), **{name: value for name, value in more.items() if value}}


def _writer(form: str, out: IO[bytes], dataset: Dataset, about: Mapping[str, Any]) -> Writer:
    if form == "excel":
        from kcloud_exporter.export.workbook import SheetWriter  # heavy, and needed by few

        return SheetWriter(out, dataset.schema, about)
    if form == "pdf":
        from kcloud_exporter.export.listing import ListingWriter

        return ListingWriter(out, dataset.schema, about)
    kinds: dict[str, type[JsonWriter | CsvWriter | ParquetWriter]] = {
        "json": JsonWriter,
        "csv": CsvWriter,
        "parquet": ParquetWriter,
    }
    return kinds[form](out, dataset.schema, about)
