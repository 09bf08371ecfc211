"""Fleet: simulated exporters in their real formats over real HTTP, with a known ground truth."""

from kcloud_exporter.fleet.configs import ExporterEndpoint
from kcloud_exporter.fleet.demo import build_world
from kcloud_exporter.fleet.pages import places, render
from kcloud_exporter.fleet.server import Fleet, run_fleet
from kcloud_exporter.fleet.spec import FleetSpec
from kcloud_exporter.fleet.truth import truth

__all__ = ["ExporterEndpoint", "Fleet", "FleetSpec", "build_world", "places", "render", "run_fleet", "truth"]
