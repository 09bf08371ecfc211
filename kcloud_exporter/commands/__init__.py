"""Commands: one module each. `add(commands)` declares its flags and what runs; the heavy imports wait until then."""
