"""The bill of materials names everything that the lock installs, with its hashes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from tests.reliability.page import ROOT


def test_the_bill_is_the_lock(tmp_path: object) -> None:
    file = f"{tmp_path}/sbom.json"
    subprocess.run([sys.executable, "requirements/sbom.py", file], cwd=ROOT, check=True)
    with open(file, encoding="utf-8") as text:  # noqa: PTH123
        bill = json.load(text)
    lock = (ROOT / "requirements" / "base.txt").read_text(encoding="utf-8")
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock, re.MULTILINE)
    assert [(each["name"], each["version"]) for each in bill["components"]] == pinned
    hashes = [hashed["content"] for each in bill["components"] for hashed in each["hashes"]]
    assert hashes == re.findall(r"--hash=sha256:([0-9a-f]{64})", lock)
    assert all(each["hashes"] for each in bill["components"])
    references = {each["bom-ref"] for each in bill["components"]}
    assert set(bill["dependencies"][0]["dependsOn"]) == references
    assert len(references) == len(pinned)
