"""Cell networks: genotypes, operations and the network that stacks the cells."""
