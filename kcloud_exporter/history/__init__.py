"""History: what the families were at earlier times, kept in files of our own or in a Prometheus-compatible store."""
