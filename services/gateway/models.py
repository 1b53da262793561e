"""Which models can be asked for: those that the transcribers say they have."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from decibus.broker import Broker
from decibus.topology import TRANSCRIBE

_FRESH_S: Final = 1.0


class Served(msgspec.Struct, frozen=True):
    """The models that there are by name, the default first, and the languages that each hears."""

    names: tuple[str, ...] = ()
    languages: Mapping[str, tuple[str, ...]] = {}

    @property
    def default(self) -> str | None:
        """The model that is meant without a name; None when it is not known."""
        return next(iter(self.names), None)

    def languages_of(self, model: str | None) -> tuple[str, ...]:
        """Return what a model, or the default, hears; nothing when it is not known."""
        return self.languages.get(model or self.default or "", ())


def read_served(told: Mapping[str, str]) -> Served:
    """Read what a transcriber says about itself: lists, with commas."""
    names = _list(told.get("models", ""))
    return Served(names, {name: _list(told.get(f"languages.{name}", "")) for name in names})


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


class Models:
    """Asks the transcribers when the last answer is old."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._served = Served()
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def served(self) -> Served:
        """Return what a transcriber has; nothing while none is alive, or none has said."""
        now = asyncio.get_running_loop().time
        async with self._asking:
            if now() - self._asked_at > _FRESH_S:
                self._served = read_served(await self._broker.announced(TRANSCRIBE.consumer) or {})
                self._asked_at = now()
            return self._served
