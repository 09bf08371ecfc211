"""A bill of materials (CycloneDX 1.5, JSON) of what is shipped, from the lock: names, versions and hashes.

`python requirements/sbom.py [OUTPUT]`; without one it goes to standard output. The same lock gives the same bill.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "base.txt"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> list[dict[str, Any]]:
    """One component for each pinned requirement, with the hashes of all its files."""
    found: list[dict[str, Any]] = []
    for line in lock.splitlines():
        pin, hashed = PIN.match(line), HASH.search(line)
        if pin:
            name, version, marker = pin.groups()
            purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
            component: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version}
            component |= {"purl": purl, "scope": "optional" if marker else "required", "hashes": []}
            found.append(component)
        elif hashed and found:
            found[-1]["hashes"].append({"alg": "SHA-256", "content": hashed[1]})
    return found


def bill() -> dict[str, Any]:
    """The document."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = LOCK.read_text(encoding="utf-8")
    name, version = project["name"], project["version"]
    reference = f"pkg:pypi/{name}@{version}"
    listed = components(lock)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=hashlib.sha256(lock.encode()).digest()[:16], version=4)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": reference,
                "name": name,
                "version": version,
                "purl": reference,
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": listed,
        "dependencies": [{"ref": reference, "dependsOn": [each["bom-ref"] for each in listed]}],
    }


def main() -> None:
    """Write it."""
    text = json.dumps(bill(), indent=1) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
