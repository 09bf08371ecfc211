"""Remote: every snapshot pushed to a store that cannot scrape us, by Prometheus' remote write 1.0."""
