"""The data files: strict, with their provenance, and as their documentation derives them."""

import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from decibus.errors import BadRequest
from decibus.profiles import Bands, Kind, Profile
from decibus.references import References, load_references, read_profile
from decibus.settings import SettingsError
from decibus.targets import Playback
from decibus.verdict import JudgedBand
from services.analyzer.dsp import spectrum
from tests.measurements import BANDS
from tests.processes import ROOT

REFERENCES = load_references()
POP = msgspec.json.encode(REFERENCES.profiles["pop"])


def own(folder: Path, **changed: object) -> Path:
    """Write a profile of one's own."""
    profile = msgspec.json.decode(POP) | {"name": "mine", "kind": "measured", "n": 12} | changed
    file = folder / f"{profile['name']}.json"
    file.write_bytes(msgspec.json.encode(profile))
    return file


def test_every_built_in_profile_says_that_it_was_not_measured() -> None:
    assert set(REFERENCES.profiles) == {
        *("acoustic", "classical", "electronic", "hip_hop", "jazz", "podcast", "pop", "rock")
    }
    for name, profile in REFERENCES.profiles.items():
        assert (profile.name, profile.kind, profile.n) == (name, Kind.ORIENTATION, 0)
        assert profile.source.startswith("Not measured.")


def test_profiles_have_the_bands_that_the_analyzer_measures() -> None:
    named = [field.name for field in msgspec.structs.fields(Bands)]

    assert [band.name for band in spectrum.BANDS] == named == list(BANDS)


@pytest.mark.parametrize("profile", REFERENCES.profiles.values(), ids=lambda each: each.name)
def test_the_medians_of_a_profile_add_up_to_the_whole(profile: Profile) -> None:
    medians = [spread.median_db for spread in msgspec.structs.astuple(profile.bands)]

    assert sum(10.0 ** (median / 10.0) for median in medians) == pytest.approx(1.0, abs=0.02)


def slopes() -> dict[str, tuple[float, ...]]:
    """Read the table of docs/measurements.md: corner in Hz, and dB an octave of three parts."""
    text = (ROOT / "docs" / "measurements.md").read_text()
    table = text.partition("| genre |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table]
    return {name: tuple(map(float, numbers)) for name, *numbers in cells}


@pytest.mark.parametrize("name", sorted(set(REFERENCES.profiles) - {"podcast"}))
def test_an_orientation_is_what_its_documented_slopes_make(name: str) -> None:
    corner_hz, below, between, above = slopes()[name]
    bands = REFERENCES.profiles[name].bands

    def density(hz: float) -> float:
        if hz < corner_hz:
            return below * math.log2(hz / corner_hz)
        high = min(hz, 4_000.0)
        return float(between * math.log2(high / corner_hz) + above * math.log2(hz / high))

    def power(low_hz: float, high_hz: float) -> float:
        points = [low_hz * (high_hz / low_hz) ** (step / 1000) for step in range(1001)]
        return math.fsum(
            10.0 ** (density(math.sqrt(low * high)) / 10.0) * (high - low)
            for low, high in pairwise(points)
        )

    powers = [power(low_hz, high_hz) for _, low_hz, high_hz in spectrum.BANDS]
    derived = [10.0 * math.log10(each / sum(powers)) for each in powers]
    medians = [spread.median_db for spread in msgspec.structs.astuple(bands)]
    assert medians == pytest.approx(derived, abs=0.06)


def test_every_target_has_a_source_and_a_day() -> None:
    assert {target.name for target in REFERENCES.targets} >= {
        *("Spotify", "Apple Music", "YouTube", "Tidal", "Amazon Music", "Deezer"),
        *("EBU R 128", "ATSC A/85", "AES TD1008 music"),
    }
    assert [each.name for each in REFERENCES.targets if each.playback is Playback.BOTH] == [
        "Spotify"
    ]
    for target in REFERENCES.targets:
        assert target.source
        assert target.date.year >= 2026


def test_ones_own_profiles_join_the_built_in_ones_and_replace_them(tmp_path: Path) -> None:
    own(tmp_path)
    own(tmp_path, name="pop")
    (tmp_path / "README.txt").write_text("not a profile")

    profiles = load_references(str(tmp_path)).profiles

    assert set(profiles) == {*REFERENCES.profiles, "mine"}
    assert (profiles["pop"].kind, profiles["pop"].n) == (Kind.MEASURED, 12)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"n": 0}, "n is how many recordings"),
        ({"kind": "orientation"}, "n is how many recordings"),
        ({"kind": "guessed"}, r"Invalid enum value 'guessed' - at `\$\.kind`"),
        ({"colour": "red"}, "unknown field `colour`"),
        ({"source": ""}, r"`\$\.source`"),
        ({"date": "last week"}, r"`\$\.date`"),
        ({"bands": {}}, r"missing required field `sub` - at `\$\.bands`"),
    ],
)
def test_a_bad_profile_ends_the_start_with_its_file_and_what_is_wrong(
    tmp_path: Path, changed: dict[str, object], told: str
) -> None:
    file = own(tmp_path, **changed)

    with pytest.raises(SettingsError, match=told) as refused:
        load_references(str(tmp_path))

    assert str(refused.value).startswith(f"{file}: ")


def test_a_median_outside_its_range_is_refused(tmp_path: Path) -> None:
    bands = msgspec.json.decode(POP)["bands"]
    bands["mid"]["p90_db"] = -50.0

    with pytest.raises(SettingsError, match=r"between p10_db and p90_db .* at `\$\.bands\.mid`"):
        read_profile(own(tmp_path, bands=bands))


def test_a_file_that_is_no_json_a_missing_directory_and_a_namesake_are_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(SettingsError, match=r"b\.json: Input data was truncated"):
        load_references(str(tmp_path))
    (tmp_path / "b.json").write_bytes(own(tmp_path).read_bytes())
    with pytest.raises(SettingsError, match="another profile 'mine'"):
        load_references(str(tmp_path))
    with pytest.raises(SettingsError, match="PROFILES_DIR: /nowhere is no directory"):
        load_references("/nowhere")


def test_a_gateway_with_a_bad_profile_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")

    ended = subprocess.run(
        [sys.executable, "-m", "services.gateway"],
        cwd=ROOT,
        env=os.environ | {"PROFILES_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"configuration: {tmp_path}/bad.json: Object missing")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["hip_hop", "Hip-Hop", "hip hop", "HIPHOP"])
def test_a_genre_is_found_however_it_is_written(text: str) -> None:
    assert REFERENCES.genre(text).name == "hip_hop"


def test_an_unknown_name_is_refused_with_all_that_are_known() -> None:
    with pytest.raises(BadRequest) as genre:
        REFERENCES.genre("polka")
    with pytest.raises(BadRequest) as target:
        REFERENCES.target("Napster")

    assert all(name in str(genre.value) for name in REFERENCES.profiles)
    assert all(each.name in str(target.value) for each in REFERENCES.targets)


def test_what_is_no_longer_there_is_no_reason_to_fail() -> None:
    none_left = References(profiles={}, targets=())

    assert none_left.asked("pop", "Spotify") == (None, None)


def test_a_band_of_an_old_report_can_still_be_read() -> None:
    old = b'{"name": "sub", "low_hz": 20.0, "high_hz": 60.0, "level_db": -3.0}'

    assert msgspec.json.decode(old, type=JudgedBand).position is None
