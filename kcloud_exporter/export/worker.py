"""Worker: the process that makes one file. A pickled job comes on stdin from the parent, which started it.

stdout: one line of JSON, the provenance; then the bytes of the file. stderr: one line of JSON when there is none.
Exit code 0: the file is whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from collections.abc import Mapping
from typing import Any

from kcloud_exporter.errors import ExportError
from kcloud_exporter.export.job import Telling, make

NICE = 10
"""A file may wait; the cycle of the parent may not."""


def main() -> int:
    """Read the job, write the file."""
    os.nice(NICE)
    job = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from the parent, over a pipe that nobody else has
    out = sys.stdout.buffer

    def about(told: Mapping[str, Any]) -> None:
        out.write(json.dumps(told).encode() + b"\n")
        out.flush()

    try:
        asyncio.run(make(job, out, Telling(about)))
        out.flush()
    except ExportError as exc:
        _tell(exc.status, str(exc), exc.parameter)
        return 1
    except BrokenPipeError:  # nobody reads any more
        sys.stderr.close()
        os._exit(1)
    return 0


def _tell(status: int, message: str, parameter: str) -> None:
    sys.stderr.write(json.dumps({"status": status, "message": message, "parameter": parameter}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
