"""What an analyzer can be told."""

from decibus.settings import SandboxSettings


class Settings(SandboxSettings, frozen=True, kw_only=True):
    """Read from the environment, one variable a field, in upper case."""
