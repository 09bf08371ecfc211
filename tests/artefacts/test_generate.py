"""The command `generate`: nothing drifts, values are checked, nobody else's file is touched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kcloud_exporter.artefacts.alerts import ALERTS
from kcloud_exporter.artefacts.alerts.alert import Alert
from kcloud_exporter.artefacts.rules import alerts_file, recording_file, recording_groups
from kcloud_exporter.artefacts.runbook_pages import FOLDER, SECTIONS, knowledge
from kcloud_exporter.artefacts.samples import INHIBITED, alertmanager_sample, values_sample
from kcloud_exporter.artefacts.values import Values, parse_values, read_values
from kcloud_exporter.cli import main
from kcloud_exporter.errors import ConfigError
from tests.real.programs import require


def test_check_names_what_differs_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--output.path", str(tmp_path)]) == 0
    rules = tmp_path / "rules/kcloud-alerts.yml"
    rules.write_text(rules.read_text().replace("for: 5m", "for: 6m"))
    (tmp_path / "docs/metrics.md").unlink()
    before = rules.read_text()
    capsys.readouterr()

    assert main(["generate", "--check", "--output.path", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "rules/kcloud-alerts.yml: differs" in said
    assert "-        for: 6m" in said
    assert "docs/metrics.md: is missing" in said
    assert "2 files to write anew: run kcloud-exporter generate" in said
    assert rules.read_text() == before


def test_what_is_not_generated_any_more_is_removed_and_the_files_of_others_are_kept(tmp_path: Path) -> None:
    assert main(["generate", "--output.path", str(tmp_path)]) == 0
    old, own = tmp_path / "docs/runbooks/KcloudOld.md", tmp_path / "rules/our-own.yml"
    old.write_text((tmp_path / "docs/runbooks/KcloudFanFailed.md").read_text())
    own.write_text("groups: []\n")

    assert main(["generate", "--output.path", str(tmp_path)]) == 0
    assert not old.exists()
    assert own.read_text() == "groups: []\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules").write_text("a file, where a folder is needed")
    assert main(["generate", "--output.path", str(tmp_path)]) == 1
    assert str(tmp_path / "rules") in capsys.readouterr().err


def test_without_the_library_of_the_dashboards_it_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None\n"
        "from kcloud_exporter.cli import main; sys.exit(main(['generate']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'kcloud-exporter[generate]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


class TestValues:
    def test_a_threshold_a_duration_and_a_severity_reach_the_rule(self) -> None:
        said = {"alerts": {"KcloudAcceleratorHot": {"threshold": 70.5, "for": "90s", "severity": "critical"}}}
        rules = yaml.safe_load(alerts_file(parse_values(said, ALERTS)))
        (hot,) = (r for g in rules["groups"] for r in g["rules"] if r["alert"] == "KcloudAcceleratorHot")
        assert hot["expr"].endswith("> 70.5")
        assert hot["for"] == "1m30s"
        assert hot["labels"] == {"severity": "critical"}
        assert "limit 70.5 °C" in hot["annotations"]["description"]

    def test_an_alert_can_be_switched_off(self) -> None:
        assert "KcloudPueHigh" not in alerts_file(
            parse_values({"alerts": {"KcloudPueHigh": {"enabled": False}}}, ALERTS)
        )

    def test_the_selector_and_the_address_of_the_runbooks_reach_every_rule(self) -> None:
        text = alerts_file(parse_values({"selector": 'job=~"power.*"', "runbook_url": "https://x/{alert}"}, ALERTS))
        assert 'absent(up{job=~"power.*"})' in text
        assert text.count("runbook_url: https://x/Kcloud") == len(ALERTS)

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ({"alerts": {"KcloudPueHihg": {}}},
             "alerts.KcloudPueHihg: there is no such alert; did you mean 'KcloudPueHigh'?"),
            ({"alerts": {"KcloudSourceDown": {"threshold": 3}}},
             "alerts.KcloudSourceDown.threshold: this alert has no threshold"),
            ({"alerts": {"KcloudPueHigh": {"for": 5}}},
             "alerts.KcloudPueHigh.for: 5 has no unit; write for example 5s"),
            ({"power_budget_watts": {"namespaces": {"ml": 5}}},
             "power_budget_watts.namespaces: 'ml': write cluster/namespace"),
            ({"power_budget_watts": {"sites": {"a": -1}}}, "power_budget_watts.sites.a: this should be greater than 0"),
            ({"selektor": "x"}, "selektor: unknown key; did you mean 'selector'?"),
            ({"runbook_url": "https://x"}, "runbook_url: the address needs {alert} where the name of the alert stands"),
            ([], "configuration: this must be a mapping, key: value"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_told_with_its_place(self, said: object, told: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_values(said, ALERTS)
        assert caught.value.problems == (told,)

    def test_the_sample_shows_every_value_and_its_default(self, tmp_path: Path) -> None:
        text = values_sample()
        for name in Values.model_fields:
            assert re.search(rf"^# {name}:", text, re.MULTILINE), name
        file = tmp_path / "values.yaml"
        file.write_text(text)
        assert read_values(file, ALERTS) == Values()  # everything is a comment
        without_budgets = re.sub(r"# power_budget_watts:.*?\n\n", "", text, flags=re.DOTALL)
        file.write_text(re.sub(r"^# (?=[a-z_]+:(?! For)|  )", "", without_budgets, flags=re.MULTILINE))
        values = read_values(file, ALERTS)
        assert alerts_file(values) == alerts_file(Values())
        assert recording_file(values) == recording_file(Values())
        assert values.alerts.keys() == {alert.name for alert in ALERTS}


class TestConventions:
    def test_promtool_finds_nothing_to_criticise(self, tmp_path: Path) -> None:
        files = {"recording.yml": recording_file(Values()), "alerts.yml": alerts_file(Values())}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        command = [require("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *files]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_recorded_names_say_level_metric_and_operation(self) -> None:
        for group in recording_groups(Values()):
            for rule in group.rules:
                assert re.fullmatch(r"[a-z_]+:kcloud_[a-z_]+:[a-z0-9_]+", rule.record), rule.record

    @pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
    def test_an_alert_says_what_where_and_how_much(self, alert: Alert) -> None:
        filled = alert.with_values(Values())
        assert filled
        assert filled.name.startswith("Kcloud")
        assert "$threshold" not in filled.expr + filled.description
        assert "$limit" not in filled.description
        assert filled.threshold is None or "$value" in filled.description
        assert not filled.threshold or filled.limit in filled.description

    @pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
    def test_every_alert_has_a_runbook_with_every_section(self, alert: Alert) -> None:
        text = knowledge(alert.name)
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(SECTIONS)
        assert "```promql" in text

    def test_every_runbook_belongs_to_an_alert(self) -> None:
        assert {path.stem for path in FOLDER.glob("*.md")} == {alert.name for alert in ALERTS}


class TestAlertmanagerSample:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        file = tmp_path / "alertmanager.yml"
        file.write_text(alertmanager_sample())
        return file

    def test_amtool_accepts_it(self, config: Path) -> None:
        done = subprocess.run([require("amtool"), "check-config", config], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.parametrize(
        ("severity", "receiver"), [("critical", "on-call"), ("warning", "team"), ("info", "daily")]
    )
    def test_each_severity_reaches_its_receiver(self, severity: str, receiver: str, config: Path) -> None:
        command = [require("amtool"), "config", "routes", "test", f"--config.file={config}", f"severity={severity}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.stdout.strip() == receiver, done.stdout + done.stderr

    def test_inhibition_speaks_of_alerts_that_exist(self) -> None:
        known = {alert.name for alert in ALERTS}
        for source, targets, _ in INHIBITED:
            assert {source, *targets} <= known
            assert source not in targets
