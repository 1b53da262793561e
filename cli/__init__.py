"""The `decibus` command line: measure here, or have it measured by a gateway."""
