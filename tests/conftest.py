"""Settings for all tests: hypothesis has no deadline, because a busy machine is no defect."""

from __future__ import annotations

import os

from hypothesis import Phase, settings

settings.register_profile("workstation", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
# For the long forms: `--hypothesis-profile=long`.
settings.register_profile("long", deadline=None, max_examples=10_000)
# A mistake need only be noticed, and its smallest example is of no interest.
settings.register_profile(
    "mutation", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "workstation")
