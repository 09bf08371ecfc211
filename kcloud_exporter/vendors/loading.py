"""Loading: tables from their files, with every mistake told by file and place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ValidationError

from kcloud_exporter.errors import VendorError
from kcloud_exporter.vendors import mistakes
from kcloud_exporter.vendors.mapping import (
    DeviceLabels,
    Owner,
    Partition,
    Sensor,
    SeriesRule,
    VendorIndex,
    VendorTable,
)

_PACKAGE: Final = Path(__file__).parent
_SAFE_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C where the library has it: it takes a tenth of the time, and the program starts with this."""
_MODELS: Final[dict[str, type[BaseModel]]] = {
    "": VendorTable,
    "series": SeriesRule,
    "series.sensor": Sensor,
    "device": DeviceLabels,
    "partition": Partition,
    "owners": Owner,
    "pod": Owner,
}


def load_table(path: Path) -> VendorTable:
    """Read one table. Raises VendorError that names the file and every mistake in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise VendorError(f"{path.name}: cannot be read: {exc}") from exc
    return parse_table(path.name, text)


def parse_table(name: str, text: str) -> VendorTable:
    """Check one table; `name` is what its mistakes are told under. Raises VendorError."""
    try:
        data = yaml.load(text, Loader=_SAFE_LOADER)  # noqa: S506 - it is one
        if not isinstance(data, dict):
            raise VendorError(f"{name}: is no mapping of keys such as vendor:, exporter: and series:")
        return VendorTable.model_validate(data)
    except yaml.YAMLError as exc:
        raise VendorError(f"{name}: {exc}") from exc
    except ValidationError as exc:
        raise VendorError(mistakes.told(name, data, exc, _MODELS)) from exc


def table_files(*folders: Path) -> dict[str, Path]:
    """Table name → its file, over the package and further folders, whose tables replace those of the same name."""
    return {load_table(path).vendor: path for folder in (_PACKAGE, *folders) for path in tables_in(folder)}


def tables_in(folder: Path) -> list[Path]:
    """The files of a folder that hold a table each, sorted."""
    return sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])


def table_texts() -> dict[str, str]:
    """The YAML of the package's tables, by vendor: for those who show their remarks."""
    return {path.stem: path.read_text(encoding="utf-8") for path in tables_in(_PACKAGE)}


def load_vendors(*folders: Path, texts: Mapping[str, str] | None = None) -> VendorIndex:
    """Load the tables of the package, then those of further folders, then `texts` (name → YAML).

    A later one replaces an earlier one of the same vendor. Raises VendorError with the mistakes of all files, or when
    a folder is none or holds two tables of one name.
    """
    tables: dict[str, VendorTable] = {}
    problems: list[str] = []
    for folder in (_PACKAGE, *folders):
        if not folder.is_dir():
            raise VendorError(f"{folder}: there is no such folder")
        files: dict[str, str] = {}
        for path in tables_in(folder):
            try:
                table = load_table(path)
            except VendorError as exc:
                problems.append(str(exc))
                continue
            if table.vendor in files:
                problems.append(f"{path.name}: vendor: {table.vendor!r} stands in {files[table.vendor]} already")
            files[table.vendor] = path.name
            tables[table.vendor] = table
    if problems:
        raise VendorError("\n".join(problems))
    tables |= {table.vendor: table for table in (parse_table(name, text) for name, text in (texts or {}).items())}
    return VendorIndex(tables.values())
