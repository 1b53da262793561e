"""What only InfluxDB itself can show: its set-up, and the Flux."""

import time
from datetime import UTC, datetime

import pytest

from decibus.calls import window_of
from services.recorder import flux
from services.recorder.asked import stats_of
from services.recorder.influx import Influx
from tests.databases import Database
from tests.processes import wait_for
from tests.recorder.conftest import message, settings_for
from tools.dashboards.boards import BOARDS

HOURS = (
    'from(bucket: "calls_1h") |> range(start: -3h)'
    ' |> filter(fn: (r) => r._measurement == "call" and r._field == "count")'
)
NOW_US = time.time_ns() // 1000
pytestmark = [
    pytest.mark.influxd,
    pytest.mark.timeout(120),
    pytest.mark.parametrize("database", ["influxd"], indirect=True),
]


@pytest.fixture
def influx(database: Database) -> Influx:
    return Influx(settings_for(database.url, influxdb_timeout_s=20.0))


def test_it_is_set_up_once_and_brought_back(database: Database, influx: Influx) -> None:
    line = message(1, at_us=NOW_US)
    influx.write(line)
    client = influx._client  # noqa: SLF001 - to look at it as its operator would
    bucket = client.buckets_api().find_bucket_by_name("calls")
    bucket.retention_rules[0].every_seconds = 60 * 86_400
    client.buckets_api().update_bucket(bucket)

    for _ in range(2):
        Influx(settings_for(database.url)).write(line)

    kept = {
        name: client.buckets_api().find_bucket_by_name(name).retention_rules[0].every_seconds
        for name in ("calls", "calls_1h")
    }
    assert kept == {"calls": 30 * 86_400, "calls_1h": 400 * 86_400}
    (task,) = client.tasks_api().find_tasks(name=flux.TASK_NAME)
    assert (task.every, task.offset, task.status) == ("15m", "2m", "active")
    assert database.values("call", "bytes") == [1.0], "the same line, three times"


def test_a_token_that_may_only_write_writes(database: Database, influx: Influx) -> None:
    influx.write(message(1, at_us=NOW_US))
    client = influx._client  # noqa: SLF001 - ditto
    bucket = client.buckets_api().find_bucket_by_name("calls")
    may_write = {"action": "write", "resource": {"type": "buckets", "id": bucket.id}}
    given = client.authorizations_api().create_authorization(
        org_id=bucket.org_id, permissions=[may_write]
    )

    Influx(settings_for(database.url, influxdb_token=given.token)).write(
        message(2, at_us=NOW_US + 10_000)
    )

    assert sorted(database.values("call", "bytes")) == [1.0, 2.0]


def test_flux_tells_what_the_points_say_and_sums_up_the_hours(
    influx: Influx,
) -> None:
    influx.write(b"\n".join(message(number, at_us=NOW_US + number) for number in range(101)))
    window = window_of("1h")
    since = window.since(datetime.now(UTC))

    stats = stats_of(influx.ask(flux.stats("calls", since=since)), window.text, since)

    assert stats.total_calls == 101
    assert stats.median_latency == pytest.approx(0.5, rel=0.01)
    assert stats.average_audio_length == "2.000s"
    assert stats.error_rate == 0.0
    assert stats.tasks["analyze"].total == 101
    assert stats.tasks["analyze"].median_queue_wait == pytest.approx(0.25)
    assert stats.tasks["analyze"].median_work == pytest.approx(0.25, rel=0.01)

    tasks = influx._client.tasks_api()  # noqa: SLF001 - ditto
    (task,) = tasks.find_tasks(name=flux.TASK_NAME)
    tasks.run_manually(task.id)
    hours = wait_for(lambda: influx.ask(HOURS), within_s=60, what="the task has run")
    assert sum(row["_value"] for row in hours) == 101
    assert all(row["_time"].minute == 0 for row in hours)


def test_the_dashboards_ask_what_influxdb_answers(influx: Influx) -> None:
    influx.write(b"\n".join(message(number, at_us=NOW_US + number) for number in range(1, 11)))
    shown = "option v = {timeRangeStart: -1h, timeRangeStop: now(), windowPeriod: 1h}\n"
    panels = [each for board in BOARDS for each in board.panels if each.source == "influxdb"]

    answers = {
        each.title: influx.ask(shown + query.text) for each in panels for query in each.queries
    }

    counted = [row["_value"] for row in answers["Calls by how they ended"]]
    assert sum(counted) == 10
    assert {row["source"] for row in answers["Calls by door"]} == {"http"}
    dots = answers["Latency over length"]
    assert sorted(row["latency"] for row in dots) == [number / 100 for number in range(1, 11)]
    assert all(answers.values())
