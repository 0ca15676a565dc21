"""Plans and runs many commands: what is missing of a set of experiments, on this machine or on many."""
