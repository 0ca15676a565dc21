"""How options become flags, files, help and values; `cli` and `config` are what others use."""
