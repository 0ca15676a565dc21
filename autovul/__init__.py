"""autovul measures how vulnerable the architecture of an image classifier makes it."""

__version__ = "0.1.0"
