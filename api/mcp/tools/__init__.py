"""The families of tools, one module each."""
