"""
Under which licence each package is that decibus is installed with: docs/licences.md.

    python -m tools.licences

The locks say which packages; what a package says of itself is read where it is installed.
"""
