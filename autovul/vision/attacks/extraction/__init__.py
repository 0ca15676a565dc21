"""Model extraction."""
