"""Fields: the small types of the configuration. Durations become float seconds and sizes int bytes here."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.fields import FieldInfo

from kcloud_exporter.units import parse_duration, parse_size


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit; write for example {value}s")  # noqa: TRY004 - pydantic wants ValueError
    return value


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


LABEL_NAME: Final = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
METRIC_NAME: Final = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
CURRENCY: Final = r"^[A-Z]{3}$"
CLOCK_TIME: Final = (r"^([01]\d|2[0-3]):[0-5]\d$", r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")
"""A time of day at which something begins, and one at which it ends."""

Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=str), Field(gt=0)]
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=str | int), Field(gt=0)]


def is_duration(field: FieldInfo) -> bool:
    """Whether a field of a model is a duration, which the file gives as a text and the program has in seconds."""
    return any(isinstance(of, BeforeValidator) and of.func is _duration for of in field.metadata)


LabelName = Annotated[str, Field(pattern=LABEL_NAME)]
MetricName = Annotated[str, Field(pattern=METRIC_NAME)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Category = Literal["pue1", "pue2", "pue3"]


def _check_url(url: str) -> str:
    """An http(s) URL with a host and without credentials. Raises ValueError that says where they belong."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError("a URL carries no user or password here; use basic_auth with password_file")
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        raise ValueError(f"{url!r} is no http:// or https:// URL")
    if parts.port == 0:
        raise ValueError("a port is 1 to 65535")
    return url


def _check_base_url(url: str) -> str:
    if "?" in url or "#" in url:
        raise ValueError(f"{url!r} must end before ? or #; paths of the API are put behind it")
    return url


_STORAGE: Final = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "file")


def _check_storage(uri: str) -> str:
    """A place that pyarrow knows how to write to, without credentials. Raises ValueError that says what is wrong."""
    parts = urlsplit(uri)
    # In abfss://container@account the user is a container.
    if parts.password or (parts.scheme == "s3" and parts.username):
        raise ValueError("a URI carries no keys; give them in the environment (AWS_ACCESS_KEY_ID, ...) or by a role")
    if parts.scheme not in _STORAGE:
        raise ValueError(f"{parts.scheme or uri!r} is no storage that is known: {', '.join(_STORAGE)}")
    if re.search(r"\s", uri) or parts.fragment:
        raise ValueError("a URI has no spaces and no #; write %20 and %23")
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise ValueError("file:// is followed by an absolute path, as in file:///srv/history")
    if parts.scheme != "file" and not parts.netloc:
        raise ValueError(f"{parts.scheme}:// is followed by a bucket, as in {parts.scheme}://bucket/prefix")
    return uri


Url = Annotated[str, AfterValidator(_check_url)]
StorageUri = Annotated[str, AfterValidator(_check_storage)]
BaseUrl = Annotated[Url, AfterValidator(_check_base_url)]
