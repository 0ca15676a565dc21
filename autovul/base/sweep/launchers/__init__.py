"""Where tasks run: on this machine, on a Ray cluster, on Slurm. One launcher a file."""
