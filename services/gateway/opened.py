"""A gateway's parts, built and kept going on one connection; others serve its app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from decibus.broker import Broker
from decibus.references import References
from services.gateway.app import Gateway
from services.gateway.built import Built
from services.gateway.chores import chores
from services.gateway.guards import Guards, quota_of
from services.gateway.idempotency import Idempotency
from services.gateway.intake import Intake
from services.gateway.keys import Keyring
from services.gateway.live import Live
from services.gateway.rpc import NatsDoor
from services.gateway.settings import Settings
from services.gateway.shelf import Shelf
from services.gateway.stats import Statistics
from services.gateway.uploads import Uploads


@asynccontextmanager
async def opened(
    broker: Broker,
    settings: Settings,
    keyring: Keyring,
    references: References,
    built: Built | None = None,
) -> AsyncIterator[Gateway]:
    """Build a gateway; it keeps up with NATS, and answers there, while the block runs."""
    await broker.declare(replicas=settings.nats_replicas)
    if (quota := quota_of(settings)) is not None:
        await broker.declare_quota(quota, replicas=settings.nats_replicas)
    guards = Guards(broker, keyring, settings)
    intake, live = Intake(broker, settings), Live(broker)
    await live.start()
    uploads, idempotency = Uploads(broker), Idempotency(broker)
    statistics, shelf = Statistics(broker), Shelf(broker)
    async with (
        statistics.watched(),
        shelf.watched(),
        chores(broker, intake, live, settings, references),
        NatsDoor(broker, intake, live, settings, guards, references, statistics).open(),
    ):
        yield Gateway(
            broker,
            intake,
            live,
            uploads,
            settings,
            guards,
            idempotency,
            references,
            statistics,
            shelf,
            built,
        )
