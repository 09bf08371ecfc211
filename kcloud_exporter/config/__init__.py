"""Config: what the YAML may say, and how it is read."""
