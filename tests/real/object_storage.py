"""An S3-speaking server on loopback (moto), its buckets in memory."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
from pyarrow import fs

from tests.real.programs import Program, answers, start

KEYS = {
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret-key",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The environment of whoever writes there; without the last one the library looks for a cloud around it."""


@contextlib.contextmanager
def object_storage(folder: Path, port: int) -> Iterator[Program]:
    """The server, empty, on a port of 127.0.0.1."""
    arguments: list[str | Path] = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with start("moto", arguments, folder, lambda: answers(f"http://127.0.0.1:{port}/moto-api/")) as program:
        yield program


def make_bucket(port: int, name: str) -> None:
    with httpx.Client(trust_env=False) as client:
        assert client.put(f"http://127.0.0.1:{port}/{name}").status_code == 200


def uri(port: int, place: str) -> str:
    """What `history.copy_to` says of a bucket and prefix on it."""
    return f"s3://{place}?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"


def objects(port: int, place: str) -> dict[str, int]:
    """The Parquet files under a bucket and prefix, and their bytes."""
    store, base = fs.FileSystem.from_uri(uri(port, place))
    infos = store.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
    return {
        info.path.removeprefix(f"{base}/"): info.size
        for info in infos
        if info.type == fs.FileType.File and info.path.endswith(".parquet")
    }
