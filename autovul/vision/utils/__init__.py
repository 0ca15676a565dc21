"""Where the pure networks live."""
