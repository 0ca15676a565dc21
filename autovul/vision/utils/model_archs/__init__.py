"""Networks as their papers describe them, without registry, options or data."""
