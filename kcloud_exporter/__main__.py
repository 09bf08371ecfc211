"""`python -m kcloud_exporter` is the same program as `kcloud-exporter`."""

from kcloud_exporter.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
