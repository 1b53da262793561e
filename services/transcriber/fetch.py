"""
Bring the models of the settings before a transcriber needs them; what an installation runs once.

    python -m services.transcriber.fetch
"""

import sys
from pathlib import Path

import structlog

from decibus.settings import from_environment
from decibus.telemetry import configure_logs
from services.transcriber.files import ModelError
from services.transcriber.settings import Settings
from services.transcriber.sources import DEMO, Store, find

log = structlog.get_logger()


def fetch(settings: Settings) -> None:
    """Fetch all of them; raises `ModelError`, also where the demo model would take a place."""
    store = Store(directory=Path(settings.model_cache), max_bytes=settings.model_max_bytes)
    demo = find(DEMO, store).directory
    for spec in settings.model.split(","):
        found = find(spec, store)
        if found.directory == demo and not spec.endswith(DEMO):
            raise ModelError(f"{spec} cannot be fetched")
        log.info("model_fetched", model=found.name, directory=str(found.directory))


if __name__ == "__main__":
    given = from_environment(Settings)
    configure_logs("transcriber", given.log_level)
    try:
        fetch(given)
    except ModelError as error:
        log.error("model_not_fetched", reason=str(error))  # noqa: TRY400 - it says all there is
        sys.exit(1)
