"""What a load needs: the arithmetic, and the page that shows it."""

import math
from itertools import pairwise

import msgspec
import pytest

from bench import scale_model
from bench.scale_model import Costs, Line, Load, costs_in, limits_of_a_cell, need, partitions_for

# A gateway takes 10 ms an upload, an analyzer a second, NATS 2 ms.
COSTS = Costs(
    gateway=Line(fixed=10.0, per_mb=0.0),
    worker=Line(fixed=0.0, per_mb=0.0),
    broker=Line(fixed=1.0, per_mb=0.2),
    sandbox_ms=0.0,
    analyze_ms_per_s=10.0,
    transcode_ms_per_s=10.0,
    demo_speech_ms_per_s=20.0,
    audio_mb_s=100.0,
    audio_kept_mb_s=200.0,
    queue_per_s=1000.0,
    records_per_s=100.0,
    records_kept_per_s=1000.0,
    event_us=10.0,
)
ONE = Load(uploads_per_s=1.0, megabytes=5.0, audio_s=100.0, transcribe=0.0)


def test_one_upload_a_second_is_one_cell_with_what_it_takes_at_least() -> None:
    found = need(ONE, COSTS)

    assert (found.cells, found.partitions, found.streams) == (1, 1, 1)
    assert (found.servers, found.gateways) == (3, 2)
    assert found.analyzer_cores == 2  # one second of work a second, on cores that are 70 % busy
    assert found.transcriber_cores == found.transcoder_cores == 0
    # In from outside, to NATS, to the analyzer, and from the leader to two others.
    assert found.network_mb_s == pytest.approx(5 * (1 + 1 + 1 + 2))
    assert found.audio_gb == pytest.approx(5 * (2 + 1) / 1e3)  # waits two seconds, takes one


def test_a_cell_ends_at_the_least_of_its_limits() -> None:
    limits = limits_of_a_cell(ONE, COSTS)
    most = min(limits.values())

    assert limits["audio, MB/s"] == pytest.approx(0.7 * 100 / 5)
    assert limits["records, writes"] == pytest.approx(0.7 * 100)
    assert limits["events"] == pytest.approx(0.3 * 1e6 / (10 * 3))
    assert need(_at(most * 0.99), COSTS).cells == 1
    assert need(_at(most * 1.01), COSTS).cells == 2


def test_what_is_only_let_go_of_takes_less_than_what_is_overwritten() -> None:
    erased = limits_of_a_cell(ONE, COSTS)
    kept = limits_of_a_cell(msgspec.structs.replace(ONE, encrypted=True), COSTS)

    assert kept["records, writes"] == pytest.approx(10 * erased["records, writes"])
    assert kept["audio, MB/s"] == pytest.approx(2 * erased["audio, MB/s"])
    assert kept["records, room"] == erased["records, room"]
    assert need(msgspec.structs.replace(ONE, encrypted=True), COSTS).disk_mb_s == pytest.approx(15)
    assert need(ONE, COSTS).disk_mb_s == pytest.approx(3 * (5 + 2 + 4 * 1))


def test_partitions_are_for_the_rate_and_for_the_backlog() -> None:
    assert partitions_for(1, COSTS) == 1
    assert partitions_for(251, COSTS) == 2  # two seconds of it are more than one stream's cap
    fast = msgspec.structs.replace(COSTS, queue_per_s=100.0)
    assert partitions_for(250, fast) == 4
    assert partitions_for(1e9, COSTS) == 64


def test_twice_the_load_never_takes_less() -> None:
    amounts = [need(_at(rate), COSTS) for rate in (1, 10, 100, 1000, 10_000)]

    for less, more in pairwise(amounts):
        for name in ("cells", "servers", "gateways", "analyzer_cores", "disk_gb"):
            assert getattr(less, name) <= getattr(more, name), name


def test_a_slow_speech_model_takes_its_cores_and_keeps_the_audio_longer() -> None:
    demo = need(Load(uploads_per_s=10.0, audio_s=100.0), COSTS)
    slow = need(Load(uploads_per_s=10.0, audio_s=100.0, speech_factor=0.5), COSTS)

    assert slow.transcriber_cores == math.ceil(10 * 50 / 0.7)
    assert slow.audio_gb > 5 * demo.audio_gb


def test_every_cost_is_measured_and_the_page_shows_what_comes_of_it() -> None:
    streams = msgspec.json.decode((scale_model.RESULTS / "streams.json").read_bytes())
    made = scale_model.tables(costs_in(), streams)
    page = scale_model.PAGE.read_text()

    assert set(scale_model.SOURCES) == set(Costs.__struct_fields__)
    assert scale_model.with_tables(page, made) == page, "python -m bench.scale_model --write"


def _at(rate: float) -> Load:
    return msgspec.structs.replace(ONE, uploads_per_s=rate)
