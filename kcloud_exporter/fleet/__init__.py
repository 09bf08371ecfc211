"""Fleet: simulated exporters in their real formats over real HTTP, with a known ground truth."""
