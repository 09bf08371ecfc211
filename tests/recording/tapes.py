"""Recordings as tests handle them: taken apart, changed, put together again, and replayed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from kcloud_exporter.exposition.ledger import ledger_page
from kcloud_exporter.exposition.renderer import Renderer
from kcloud_exporter.recording.compare import difference
from kcloud_exporter.recording.reading import open_recording
from kcloud_exporter.recording.replay import Replay

Members = list[tuple[str, bytes]]


def members_of(path: Path) -> Members:
    """Name and content of all that is in a recording, as a standard tool sees it."""
    with tarfile.open(path) as tar:
        found = []
        for info in tar:
            file = tar.extractfile(info)
            assert file is not None
            found.append((info.name, file.read()))
        return found


def put_together(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """Write a recording of these members."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def events_in(path: Path) -> list[dict[str, Any]]:
    """All events, in order."""
    return [
        orjson.loads(content) for name, content in members_of(path) if name[:9].isdigit() and name.endswith(".json")
    ]


def changed(path: Path, name: Callable[[str], bool], change: Callable[[bytes], bytes]) -> Path:
    """A copy in which the first member with such a name has another content."""
    members = members_of(path)
    at = next(at for at, (of, _) in enumerate(members) if name(of))
    members[at] = (members[at][0], change(members[at][1]))
    return put_together(path.with_name(f"changed-{path.name}"), members)


def replayed_pages(path: Path) -> list[bytes]:
    """The pages that a replay gives, each of which has to be the recorded one."""
    renderer, pages = Renderer(), []
    for replayed in Replay(open_recording(path)).cycles():
        page = ledger_page(renderer, replayed.snapshot)
        found = difference(replayed, page)
        assert found is None, found.told()
        pages.append(page)
    return pages
