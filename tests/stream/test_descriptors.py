"""Streams need file descriptors: the limit is raised where it may be, and kept to where it may not."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from kcloud_exporter.app import _streams
print(_streams(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("soft", "hard", "streams", "raised"), [(256, 4096, 2000, 4048), (256, 1024, 256, 1024)])
def test_the_limit_of_streams_follows_that_of_descriptors(soft: int, hard: int, streams: int, raised: int) -> None:
    program = PROGRAM.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(streams), str(raised)]
