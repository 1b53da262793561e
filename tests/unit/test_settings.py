"""Settings: typed, and every mistake named at once."""

import msgspec
import pytest

from decibus.settings import SettingsError, load


class Settings(msgspec.Struct, frozen=True):
    nats_url: str
    slots: int = 2
    model: str = msgspec.field(default="small", name="DECIBUS_MODEL")


def test_reads_typed_values_from_upper_case_variables() -> None:
    given = {"NATS_URL": "nats://n:4222", "SLOTS": "4", "DECIBUS_MODEL": "tiny", "model": "x"}

    assert load(Settings, given) == Settings("nats://n:4222", 4, "tiny")


def test_an_empty_variable_is_not_set() -> None:
    assert load(Settings, {"NATS_URL": "n", "SLOTS": ""}) == Settings("n")


def test_names_every_mistake_at_once() -> None:
    with pytest.raises(SettingsError, match=r"NATS_URL is not set; SLOTS: Expected `int`"):
        load(Settings, {"SLOTS": "many"})
