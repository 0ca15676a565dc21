"""Image classification: data sets, models, attacks and tools."""
