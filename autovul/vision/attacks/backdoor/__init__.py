"""Backdoors."""
