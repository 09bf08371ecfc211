"""What people write: configurations, web configurations, selectors; and recordings that a disk has damaged."""

from __future__ import annotations

import asyncio
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kcloud_exporter.config.load import load_config, parse_config
from kcloud_exporter.errors import ConfigError, KcloudError, RecordingError, SelectorError
from kcloud_exporter.explain.selector import parse_selector
from kcloud_exporter.recording.reading import open_recording
from kcloud_exporter.recording.replay import Replay
from kcloud_exporter.runtime import Runtime
from kcloud_exporter.web.auth import WebAuth, read_web_config
from tests.fuzz.mutants import TIMES, bytes_from, trees_from
from tests.recording.conftest import made  # noqa: F401 - a fixture

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "config" / "kcloud-exporter.example.yaml"
WEB = """
basic_auth_users: {ann: "$2y$04$VTVhYhSV6dG5mUS0M4Nc6eLAcWsIkGzW8pXhG5kmWRLLVnqpVvJKa"}
http_server_config: {http2: false, headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=1}}
tls_server_config: {cert_file: server.crt, key_file: server.key, min_version: TLS12}
"""


def example_data() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    return data


def test_any_configuration_is_taken_or_every_mistake_has_a_place() -> None:
    taken, told, environ = 0, list[str](), {"X": "y"}
    for tree in trees_from(1, example_data(), 1500 * TIMES):
        try:
            parse_config(tree, environ, EXAMPLE.parent)
            taken += 1
        except ConfigError as exc:
            told += exc.problems or [""]
    assert 0 < taken < 1500 * TIMES
    assert all(problem and len(problem) < 20_000 for problem in told)


def test_any_file_is_a_configuration_or_a_told_mistake(tmp_path: Path) -> None:
    file, base, told = tmp_path / "c.yaml", EXAMPLE.read_bytes(), list[str]()
    for seed in range(150 * TIMES):
        file.write_bytes(bytes_from(seed, base))
        try:
            load_config(file, {})
        except ConfigError as exc:
            told += exc.problems or [""]
    assert told
    assert all(told)


def test_any_web_configuration_is_taken_or_refused(tmp_path: Path) -> None:
    file, told = tmp_path / "web.yml", list[str]()
    data = yaml.safe_load(WEB)
    for number, tree in enumerate(trees_from(2, data, 300 * TIMES)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                text = yaml.safe_dump(tree)
            except (yaml.YAMLError, ValueError):
                continue
        file.write_bytes(bytes_from(number, text.encode()) if number % 3 == 0 else text.encode("utf-8", "replace"))
        try:
            read_web_config(file)
            WebAuth.load(file)
        except ConfigError as exc:
            told += exc.problems or [""]
    assert told
    assert all(told)


@settings(max_examples=300)
@given(st.text(max_size=80) | st.from_regex(r'kcloud_(cluster|node)_power_watts\{(cluster|node)[=!~]+".{0,9}"[,}]*'))
def test_any_selector_is_one_or_is_told_why_not(text: str) -> None:
    told = ""
    try:
        selector = parse_selector(text)
    except SelectorError as exc:
        told = str(exc) or "nothing"
    else:
        assert parse_selector(selector.text()).labels == selector.labels
    assert told != "nothing"


@given(cluster=st.text(max_size=30), node=st.text(max_size=30), component=st.text(max_size=9))
def test_a_series_as_printed_is_its_own_selector(cluster: str, node: str, component: str) -> None:
    family = parse_selector("kcloud_node_power_watts").family
    selector = parse_selector(family.series((cluster, node, component)))
    assert dict(selector.labels) == {"cluster": cluster, "node": node, "component": component}


@pytest.fixture(scope="module")
def ticked() -> Runtime:
    """Has done one cycle, of a source that is not there."""
    config = parse_config({"clusters": [{"name": "a", "sources": [{"prometheus": {"url": "http://127.0.0.1:1"}}]}]}, {})

    async def once() -> Runtime:
        runtime = Runtime(config, lambda: config)
        await runtime.tick()
        await runtime.close()
        return runtime

    return asyncio.run(once())


@settings(max_examples=200)
@given(series=st.text(max_size=60), depth=st.none() | st.integers(-5, 5))
@example(series="kcloud_cluster_power_watts", depth=None)
@example(series='kcloud_source_up{source="' + "x" * 4000, depth=None)
def test_any_question_to_explain_is_answered_or_refused(ticked: Runtime, series: str, depth: int | None) -> None:
    with pytest.raises(KcloudError, match=r"."):
        ticked.pipeline.explain_now(series, depth)


def test_a_damaged_recording_is_read_as_it_was_or_told_to_be_damaged(made: Path, tmp_path: Path) -> None:  # noqa: F811
    content, source = made.read_bytes(), random.Random(5)
    file = tmp_path / "damaged.tar"
    told: list[str] = []
    for seed in range(60 * TIMES):
        body = bytearray(content)
        if seed % 2:
            body[source.randrange(len(body))] ^= 1 << source.randrange(8)
        else:
            body = bytearray(bytes_from(seed, content))
        file.write_bytes(body)
        try:
            recording = open_recording(file)
            for _ in Replay(recording).cycles():
                pass
        except RecordingError as exc:
            told.append(str(exc))
    assert len(told) > 5
    assert all(told)
