"""What a report says beyond the numbers: by real measurements, through both doors."""

from pathlib import Path

import msgspec
import pytest

from decibus.topology import ANALYSES, AUDIO, REPORTS
from services.gateway.settings import Settings
from tests.gateway.conftest import REFERENCES, Pipeline, report
from tests.signals import encode, music, sine

TAKE = encode(music(4.0), 48_000, "wav16")
BASS = encode(sine(4.0, -12.0, hz=100.0), 48_000, "wav16")
SILENCE = encode(sine(1.0, -200.0) * 0, 48_000, "wav16")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Know one genre more."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    mine = msgspec.json.decode(msgspec.json.encode(REFERENCES.profiles["pop"]))
    mine |= {"name": "mine", "kind": "measured", "n": 12, "source": "my own"}
    (folder / "mine.json").write_bytes(msgspec.json.encode(mine))
    return Settings(profiles_dir=str(folder))


async def test_two_genres_of_one_file_are_one_measurement_and_two_verdicts(
    pipeline: Pipeline,
) -> None:
    async with pipeline.workers():
        pop, podcast = [
            report(await pipeline.analyze(BASS, tasks="loudness", genre=genre))
            for genre in ("pop", "podcast")
        ]

    assert await pipeline.messages(ANALYSES.stream) == 1
    assert podcast["timings"]["queue_wait"] == 0
    assert [band["level_db"] for band in pop["spectrum"]["bands"]] == [
        band["level_db"] for band in podcast["spectrum"]["bands"]
    ]
    for body in (pop, podcast):
        bass = body["spectrum"]["bands"][1]
        assert (bass["name"], bass["reference"]["source"].partition(":")[0]) == (
            "bass",
            body["genre"],
        )
    assert pop["spectrum"]["bands"][1]["position"] == "in"
    assert podcast["spectrum"]["bands"][1]["position"] == "above"
    said = [{each["rule"]: each for each in body["verdict"]} for body in (pop, podcast)]
    assert said[0]["balance.bass"]["level"] == "ok"
    assert "slightly strong" in said[1]["balance.bass"]["text"]
    assert said[0]["loudness"] == said[1]["loudness"]


async def test_a_report_without_wishes_tells_all_targets_and_nothing_of_balance(
    pipeline: Pipeline,
) -> None:
    async with pipeline.workers():
        body = report(await pipeline.analyze(TAKE, tasks="loudness"))

    assert [each["name"] for each in body["targets"]] == [each.name for each in REFERENCES.targets]
    spotify = body["targets"][0]
    assert set(spotify) == {"name", "lufs", "ceiling_dbtp", "gain_db", "pass", "source"}
    room_db = spotify["ceiling_dbtp"] - body["peak"]["true_peak_dbtp"]
    assert spotify["gain_db"] == pytest.approx(room_db), (
        "it is quiet, and may only be lifted so far"
    )
    assert {band["position"] for band in body["spectrum"]["bands"]} == {None}
    assert {each["level"] for each in body["verdict"]} <= {"ok", "note", "warn"}


async def test_a_target_is_one_however_it_is_written_and_stands_in_the_report(
    pipeline: Pipeline,
) -> None:
    async with pipeline.workers():
        body = report(await pipeline.analyze(TAKE, tasks="loudness", target="ebu r128"))

    assert body["target"] == "EBU R 128"
    assert [each["name"] for each in body["targets"]] == ["EBU R 128"]
    assert body["targets"][0]["gain_db"] == pytest.approx(
        -23.0 - body["loudness"]["integrated_lufs"]
    )


async def test_silence_has_a_verdict_and_no_gain(pipeline: Pipeline) -> None:
    async with pipeline.workers():
        body = report(await pipeline.analyze(SILENCE, tasks="loudness", genre="rock"))

    assert {(each["gain_db"], each["pass"]) for each in body["targets"]} == {(None, None)}
    assert [each["rule"] for each in body["verdict"]] == ["silence"]


async def test_what_is_not_measured_yet_has_no_verdict(pipeline: Pipeline) -> None:
    body = report(await pipeline.analyze(TAKE, genre="pop", wait="0"))

    assert (body["genre"], body["targets"], body["verdict"]) == ("pop", None, None)


async def test_an_operators_own_genre_is_offered_and_told_as_measured(pipeline: Pipeline) -> None:
    schema = report(await pipeline.http.get("/schema"))
    form = schema["paths"]["/analyze"]["post"]["requestBody"]["content"]["multipart/form-data"]

    async with pipeline.workers():
        body = report(await pipeline.analyze(TAKE, tasks="loudness", genre="mine"))

    assert "mine" in form["schema"]["properties"]["genre"]["enum"]
    assert body["spectrum"]["bands"][0]["reference"]["source"].startswith(
        "mine: measured from 12 recordings"
    )


@pytest.mark.parametrize(
    ("wish", "told"), [({"genre": "polka"}, "mine, podcast"), ({"target": "Napster"}, "YouTube")]
)
async def test_an_unknown_name_is_refused_with_the_known_ones_and_nothing_is_stored(
    pipeline: Pipeline, wish: dict[str, str], told: str
) -> None:
    refused = await pipeline.analyze(TAKE, **wish)

    assert (refused.status_code, report(refused)["code"]) == (400, "bad_request")
    assert told in report(refused)["detail"]
    for stream in (AUDIO.stream, REPORTS.stream, ANALYSES.stream):
        assert await pipeline.messages(stream) == 0
