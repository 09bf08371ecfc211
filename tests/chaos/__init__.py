"""The long forms: minutes of faults, hours of running, a program with one mistake. Run by `make`, not by the suite."""
