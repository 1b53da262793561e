"""What a gateway does besides answering: count calls, keep, post and expire reports. Wired here."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final

from decibus.broker import Broker
from decibus.references import References
from decibus.topology import SHELVE, WEBHOOKS
from services.gateway.callback import Caller
from services.gateway.callbacks import Callbacks, rules_of
from services.gateway.calls import Calls
from services.gateway.cors import read_origins
from services.gateway.errands import Errands
from services.gateway.expiry import Expiry
from services.gateway.intake import Intake
from services.gateway.library import Librarian
from services.gateway.links import read_signing_keys
from services.gateway.live import Live
from services.gateway.settings import Settings
from services.gateway.uploads import Uploads
from services.gateway.webhooks import Postman, Terms, read_schedule, read_secrets

_SHELVING_SLOTS: Final = 4


def check(settings: Settings) -> None:
    """Raise `SettingsError` now for what would be found out later."""
    read_secrets(settings.webhook_secret)
    read_schedule(settings.webhook_retries)
    rules_of(settings)
    read_signing_keys(settings.signing_keys)
    read_origins(settings.cors_origins)


@asynccontextmanager
async def chores(
    broker: Broker, intake: Intake, live: Live, settings: Settings, references: References
) -> AsyncIterator[None]:
    """Do them while the block runs."""
    uploads = Uploads(broker)
    grace = timedelta(seconds=settings.grace_s)
    ttl = timedelta(seconds=settings.report_ttl_s)
    librarian = Librarian(uploads, intake, live, references, ttl=ttl)
    postman = Postman(
        Callbacks(broker, settings),
        intake,
        live,
        references,
        Caller(rules_of(settings)),
        Terms(
            keys=read_secrets(settings.webhook_secret),
            schedule=read_schedule(settings.webhook_retries),
        ),
    )
    shelving = Errands(broker, SHELVE, librarian.shelve, slots=_SHELVING_SLOTS)
    posting = Errands(broker, WEBHOOKS, postman.deliver, slots=settings.webhook_slots)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Calls(broker, intake, live).open())
        await stack.enter_async_context(Expiry(uploads, intake).open())
        await stack.enter_async_context(shelving.open(grace=grace))
        if settings.webhook_secret:
            await stack.enter_async_context(posting.open(grace=grace))
        yield
