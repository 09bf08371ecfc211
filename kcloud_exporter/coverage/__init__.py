"""Coverage: what of an exporter's page the vendor tables understand, as what, and what they do not."""
