"""Asked: which report somebody wants: whole days of a calendar, in a time zone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from kcloud_exporter.errors import ExportError
from kcloud_exporter.export.provenance import Origin

TEMPLATES: Final = ("daily", "weekly", "monthly", "custom")
FORMATS: Final = ("pdf", "excel")
LANGUAGES: Final = ("en", "ko")
LONGEST_DAYS: Final = 400
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ZONE: Final = re.compile(r"[A-Za-z0-9_+\-]{1,32}(/[A-Za-z0-9_+\-]{1,32}){0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """One report: the days from `first` to before `after` in a time zone, and the steps of its curves."""

    template: str
    format: str
    language: str
    zone: str
    first: date
    after: date
    cluster: str | None

    @property
    def start(self) -> float:
        """Unix seconds of the first midnight."""
        return _midnight(self.first, self.zone)

    @property
    def end(self) -> float:
        """Unix seconds of the last midnight."""
        return _midnight(self.after, self.zone)

    @property
    def step(self) -> float:
        """Seconds of a step: a quarter of an hour for a day or two, an hour for more."""
        return 900.0 if self.end - self.start <= 2.1 * 86400 else 3600.0


def _midnight(day: date, zone: str) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()


def read_report(said: Mapping[str, str], origin: Origin, now: float) -> ReportRequest:
    """The report that parameters mean. Raises ExportError that names the parameter."""
    template = _choice("template", said.get("template", "daily"), TEMPLATES)
    form = _choice("format", said.get("format", "pdf"), FORMATS)
    language = _choice("lang", said.get("lang", "en"), LANGUAGES)
    cluster = said.get("cluster")
    if cluster is not None and cluster not in origin.clusters:
        raise ExportError(404, f"there is no cluster {cluster[:200]!r}", "cluster")
    zone = _zone(said["tz"]) if "tz" in said else origin.zone(cluster)
    today = datetime.fromtimestamp(now, ZoneInfo(zone)).date()
    first = _day("start_date", said["start_date"]) if "start_date" in said else None
    last = _day("end_date", said["end_date"]) if "end_date" in said else None
    if template == "custom":
        if first is None or last is None:
            raise ExportError(400, "start_date: a custom report needs start_date and end_date", "start_date")
        after = last + timedelta(days=1)
    else:
        if last is not None:
            raise ExportError(
                400, f"end_date: it belongs to template=custom; a {template} report has its own", "end_date"
            )
        first, after = _calendar(template, first, today)
    if not first < after:
        raise ExportError(400, "end_date: it must not lie before start_date", "end_date")
    if (after - first).days > LONGEST_DAYS:
        raise ExportError(413, f"end_date: a report has at most {LONGEST_DAYS} days", "end_date")
    if first > today:
        raise ExportError(400, "start_date: that day has not come yet", "start_date")
    return ReportRequest(template, form, language, zone, first, after, cluster)


def _calendar(template: str, said: date | None, today: date) -> tuple[date, date]:
    """The day, week (from Monday) or month of a date; without one, the last that is over."""
    if template == "daily":
        day = said or today - timedelta(days=1)
        return day, day + timedelta(days=1)
    if template == "weekly":
        day = said or today - timedelta(days=7)
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    day = (said or today.replace(day=1) - timedelta(days=1)).replace(day=1)
    return day, (day + timedelta(days=32)).replace(day=1)


def _day(name: str, said: str) -> date:
    try:
        day = date.fromisoformat(said) if _DATE.fullmatch(said) else date.min
    except ValueError:
        day = date.min
    if not 1971 <= day.year <= 9000:
        raise ExportError(400, f"{name}: {said[:60]!r} does not do: write a day as 2026-11-24", name)
    return day


def _zone(said: str) -> str:
    try:
        known = bool(_ZONE.fullmatch(said)) and ZoneInfo(said) is not None
    except (KeyError, ValueError, OSError):
        known = False
    if not known:
        raise ExportError(400, f"tz: {said[:60]!r} is no time zone; write for example Asia/Seoul", "tz")
    return said


def _choice(name: str, said: str, known: tuple[str, ...]) -> str:
    if said not in known:
        raise ExportError(400, f"{name}: {said[:60]!r} does not do; known: {', '.join(known)}", name)
    return said
