"""Log lines: one per event, whatever an event says."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from kcloud_exporter.logs import JsonFormatter, LogfmtFormatter


def record(text: str, **extra: object) -> logging.LogRecord:
    return logging.getLogger("t").makeRecord("t", logging.WARNING, __file__, 1, text, (), None, extra=extra)


def test_logfmt_quotes_what_would_be_read_as_something_else() -> None:
    line = LogfmtFormatter().format(record("source failed", cluster="a", reason='x="1"', empty=""))

    time, rest = line.split(" ", 1)
    assert time.startswith("ts=2")
    assert time.endswith("Z")
    assert rest == r'level=warning msg="source failed" cluster=a reason="x=\"1\"" empty=""'


@pytest.mark.parametrize("form", [LogfmtFormatter, JsonFormatter])
def test_what_others_say_never_begins_a_line(form: type[logging.Formatter]) -> None:
    line = form().format(record("failed", answer="x\nts=now level=error msg=forged\r\u2028\x85\x9b31m\x7f"))

    assert line.isprintable()
    assert "msg=forged" in line


def test_json_holds_every_field() -> None:
    told = json.loads(JsonFormatter().format(record("온도", samples=3)))

    assert {k: told[k] for k in ("level", "msg", "samples")} == {"level": "warning", "msg": "온도", "samples": 3}


def test_an_exception_comes_with_its_traceback() -> None:
    failed = record("defect")
    try:
        int("no")
    except ValueError:
        failed.exc_info = sys.exc_info()
    told = json.loads(JsonFormatter().format(failed))

    assert told["error"].startswith("ValueError(")
    assert "test_logs.py" in told["traceback"]
