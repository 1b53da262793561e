"""Erase reports whose time is over: a bucket's ttl lets go of them and leaves their bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import structlog

from decibus.ending import ended
from decibus.errors import DecibusError
from services.gateway.intake import Intake
from services.gateway.uploads import Uploads

log = structlog.get_logger()

_LOOK_EVERY_S: Final = 2.0


class Expiry:
    """
    Every replica looks every two seconds; what another one has erased is no trouble.

    What expires while no gateway runs is erased when one starts, within the bucket's two minutes
    beyond a token's life. After that its bytes stay until JetStream compacts or drops their block.
    """

    def __init__(self, uploads: Uploads, intake: Intake) -> None:
        self._uploads = uploads
        self._intake = intake

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Look while the block runs."""
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look())
            try:
                yield
            finally:
                await ended([looking])

    async def _look(self) -> None:
        while True:
            try:
                await self.sweep(now=datetime.now(UTC))
            except DecibusError as error:
                log.warning("expiry_failed", reason=repr(error))
            await asyncio.sleep(_LOOK_EVERY_S)

    async def sweep(self, *, now: datetime) -> None:
        """Erase everything that has expired."""
        while (upload := await self._uploads.first_expired(now)) is not None:
            await self._intake.withdraw(upload)
            log.info("report_expired")
