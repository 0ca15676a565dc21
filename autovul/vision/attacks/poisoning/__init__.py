"""Poisoned labels."""
