"""The goals: id → (what was aimed at, pass, partly or not run, what was done)."""

from __future__ import annotations

from typing import Final, Literal

State = Literal["pass", "partly", "not run", "does not apply"]
GOALS: Final[dict[str, tuple[str, State, str]]] = {
    "G1": ("kill -9 at 200 random instants", "partly", "some in the suite: `real/test_kill.py`"),
    "G2": ("Damage of the store", "pass", "truncations and flips of log and file: `storage/test_damage.py`"),
    "G3": ("Disk full for a minute", "pass", "with a disk that refuses, not with a real small one, in the suite"),
    "G4": ("Conservation to 1e-9; truth within 0.5 %", "pass",
           "`derive/test_conservation.py`, `test_fleet_ledger.py`, `real/test_same_ledger.py`"),
    "G5": ("Resets and wraps", "pass", "hypothesis over ten simulated hours each: `derive/test_energy.py`"),
    "G6": ("Clocks and time zones", "partly", "days around changes of the clock; 24 months in one run: not run"),
    "G7": ("Page valid for 1,000 scrapes", "partly", "some tens of scrapes by a real Prometheus: "
           "`real/test_scraped_by_prometheus.py`"),
    "G8": ("Every alert has a case that fires and one that does not", "pass", "`artefacts/test_alerts.py`"),
    "G9": ("Shards together are the whole", "pass", "`test_sharding.py`"),
    "G10": ("Upgrade and downgrade under load", "partly", "schema 1 to 2 and a newer one; two wheels: not run"),
    "G11": ("1, 10, 25 of 50 hang", "pass", "fresh in every cycle, tasks flat; p99 of /metrics not compared"),
    "G12": ("49 of 50 dead at the start", "pass", "`faults/test_isolation.py`"),
    "G13": ("One poisoned cluster, 49 identical", "pass", "one poison for each reason, all by KCLOUD_TEST_ALL"),
    "G14": ("Loop lag p99 below 50 ms", "partly", "`make chaos` prints it; 50 clusters of 5,000 series: not run"),
    "G15": ("/metrics p99 below 100 ms", "not run", "see `make bench` for what was measured of the page"),
    "G16": ("Gzip bombs within limits", "pass", "64 MiB from 64 kB in the suite; 2 GiB: not run"),
    "G17": ("2,000 streams, 200 stalled", "pass",
            "`kcloud-exporter bench streams`: 0 of 180,000 events lost, 200 cut off, 130 MiB at most"),
    "G18": ("Slow clients all at once", "partly", "200 dripping, 100 idle, 8 stalled; latencies not compared"),
    "G19": ("A million series from one cluster", "partly", "once: told, the others unchanged; memory was not measured"),
    "G20": ("Compressed soak", "partly", "`make soak` does it; a run of some minutes is below, one of 96 was not made"),
    "G21": ("24 hours", "not run", "once per release, on a machine of its own"),
    "G22": ("50 SIGTERM in a storm", "not run", "one SIGTERM: `real/test_reload.py`"),
    "G23": ("10,000 malformed pages", "pass", "13,500 mutants in each run, once 270,000: "
            "`fuzz/test_readers.py`"),
    "G24": ("2,000 bodies as Prometheus reads them", "pass", "2,000 bodies, 0 read differently; 250 in the suite"),
    "G25": ("Labels come back", "pass", "`exposition/test_page.py`"),
    "G26": ("20,000 calls of the API, no 5xx", "partly",
           "once more than 13,000 calls with 91 payloads, no 5xx; hypothesis, no schemathesis"),
    "G27": ("Every route × method × credentials", "pass", "`security/test_routes.py`, from the live router"),
    "G28": ("Canaries", "pass", "`security/test_secrets.py`"),
    "G29": ("Hostile names in exports", "pass",
            "5,000 sets of labels through the running program: `export/test_many_hostile.py`"),
    "G30": ("No calls to anybody else", "pass", "an audit hook of the interpreter; a network that leads nowhere"),
    "G31": ("Injection", "pass",
           "once all 91 payloads in every parameter; each query read by Prometheus's own grammar"),
    "G32": ("Equal time for unknown users", "not run", "one bcrypt in both cases, by construction"),
    "G33": ("Mutation testing, 85 % killed", "partly", "35 of a sample of 40 mutants (88%); all 382 were not tried"),
    "G34": ("No known vulnerabilities; SBOM", "partly", "`make sbom`, `make audit`; every install checks hashes"),
}  # fmt: skip
