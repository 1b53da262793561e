"""What a recorder can be told."""

from typing import Annotated

import msgspec

from decibus.settings import LogLevel, ManagementSettings, Partitions, Positive


class Settings(ManagementSettings, frozen=True, kw_only=True):
    """
    Read from the environment, one variable a field, in upper case.

    Without `influxdb_url` calls are counted for /stats, and written nowhere. `influxdb_bucket`
    keeps each call for `influxdb_days`, `<bucket>_1h` what each hour has come to for over a year.
    `influxdb_timeout_s` is how long an answer is waited for.
    """

    nats_url: str = "nats://127.0.0.1:4222"
    nats_replicas: Positive = 1
    partitions: Partitions = 1
    influxdb_url: str = ""
    influxdb_token: str = ""
    influxdb_org: str = "decibus"
    influxdb_bucket: str = "calls"
    influxdb_days: Positive = 30
    influxdb_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    log_level: LogLevel = "info"
