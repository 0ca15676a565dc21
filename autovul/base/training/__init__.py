"""The parts of the trainer; `trainer` is what others use."""
