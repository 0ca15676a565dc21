"""What every experiment needs and no image: options, registries, trainer, results."""
