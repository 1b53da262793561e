"""What a measurement means: for a genre, for a target, and for anybody."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from decibus.messages import Measurement, Silence, Stereo
from decibus.profiles import CLEARLY_Z, P90_Z, Bands, Kind, Position, Profile, Spread
from decibus.references import load_references
from decibus.targets import Playback, Target, deliver
from decibus.verdict import Finding, Level, appraise
from tests.measurements import BANDS, SILENT, a_measurement

REFERENCES = load_references()
POP = REFERENCES.profiles["pop"]
SPOTIFY, YOUTUBE, R128 = map(REFERENCES.target, ("Spotify", "YouTube", "EBU R 128"))
RANK = {Position.BELOW: 0, Position.IN: 1, Position.ABOVE: 2}

levels = st.floats(-80.0, 0.0)
spreads = (
    st.tuples(levels, levels, levels)
    .map(sorted)
    .map(lambda three: Spread(p10_db=three[0], median_db=three[1], p90_db=three[2]))
)


def findings(
    measurement: Measurement, profile: Profile | None = None, target: Target | None = None
) -> dict[str, Finding]:
    verdict = appraise(
        measurement, targets=REFERENCES.targets, profile=profile, target=target
    ).verdict
    assert len({finding.rule for finding in verdict}) == len(verdict), "one sentence a rule"
    return {finding.rule: finding for finding in verdict}


def measured(**spread: float) -> Profile:
    """Return a profile all of whose bands are alike, and made from recordings."""
    bands = Bands(**dict.fromkeys(BANDS, Spread(**spread)))
    today = dt.date(2026, 1, 1)
    return Profile(name="mine", kind=Kind.MEASURED, n=20, source="mine", date=today, bands=bands)


# Balance.


@given(spreads, levels, levels)
def test_a_higher_level_is_never_placed_lower(spread: Spread, one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert spread.z(low) <= spread.z(high)
    assert RANK[spread.position(low)] <= RANK[spread.position(high)]


@given(spreads, levels)
def test_every_level_is_in_the_one_position_that_its_range_tells(
    spread: Spread, level_db: float
) -> None:
    holds = {
        Position.BELOW: level_db < spread.low_db,
        Position.IN: spread.low_db <= level_db <= spread.high_db,
        Position.ABOVE: level_db > spread.high_db,
    }

    assert [position for position, is_so in holds.items() if is_so] == [spread.position(level_db)]


@given(spreads, levels)
def test_a_level_is_as_many_deviations_off_as_a_normal_distribution_has_it(
    spread: Spread, level_db: float
) -> None:
    deviation_db = max(0.5, (spread.p90_db - spread.p10_db) / 2.56)

    assert spread.z(level_db) == pytest.approx((level_db - spread.median_db) / deviation_db)


@pytest.mark.parametrize(
    ("z", "level", "said"),
    [
        (0.0, Level.OK, "in range"),
        (-(P90_Z - 0.01), Level.OK, "in range"),
        (P90_Z + 0.01, Level.NOTE, "slightly strong"),
        (-(CLEARLY_Z - 0.01), Level.NOTE, "slightly weak"),
        (CLEARLY_Z + 0.01, Level.WARN, "clearly strong"),
        (-5.0, Level.WARN, "clearly weak"),
    ],
)
def test_a_band_is_judged_by_how_far_it_is_off(z: float, level: Level, said: str) -> None:
    profile = measured(p10_db=-12.0, median_db=-10.0, p90_db=-8.0)
    off = a_measurement(levels_db={"bass": -10.0 + z * 4.0 / 2.56})

    finding = findings(off, profile)["balance.bass"]

    assert (finding.level, said in finding.text) == (level, True)
    assert "Bass (60–250 Hz)" in finding.text
    assert "usual is −12.0 to −8.0 dB for mine" in finding.text


def test_what_was_never_measured_does_not_warn() -> None:
    told = findings(a_measurement(levels_db={"sub": -60.0}), POP)["balance.sub"]

    assert told.level is Level.NOTE
    assert "clearly weak" in told.text
    assert "as an orientation" in told.text


def test_each_band_is_told_with_its_range_and_where_that_comes_from() -> None:
    spectrum = appraise(a_measurement(levels_db={"air": -3.0}), targets=(), profile=POP).spectrum

    positions = {band.name: band.position for band in spectrum.bands}
    assert positions == dict.fromkeys(BANDS, Position.IN) | {"air": Position.ABOVE}
    for band in spectrum.bands:
        assert band.reference
        assert band.reference.low_db < band.reference.high_db
        assert band.reference.source == f"pop: orientation, not measured, {POP.date}"


def test_without_a_genre_nothing_is_said_of_balance() -> None:
    appraisal = appraise(a_measurement(), targets=())

    assert {(band.reference, band.position) for band in appraisal.spectrum.bands} == {(None, None)}
    assert not [finding for finding in appraisal.verdict if "balance" in finding.rule]


def test_an_empty_band_has_no_position_and_is_told() -> None:
    appraisal = appraise(a_measurement(levels_db={"air": None}), targets=(), profile=POP)

    assert appraisal.spectrum.bands[-1].position is None
    assert "there is nothing at all" in next(
        finding.text for finding in appraisal.verdict if finding.rule == "balance.air"
    )


# Targets.


def test_spotify_lifts_as_far_as_its_own_example_says() -> None:
    # "-20 dB LUFS, and its True Peak maximum is -5 dB FS, we only lift the track up to -16"
    quiet = a_measurement(integrated_lufs=-20.0, true_peak_dbtp=-5.0)

    delivery = deliver(SPOTIFY, quiet.loudness, quiet.peak)

    assert delivery.gain_db == pytest.approx(4.0)
    assert delivery.passes is False


@pytest.mark.parametrize(
    ("target", "integrated_lufs", "true_peak_dbtp", "gain_db", "passes"),
    [
        (SPOTIFY, -14.0, -1.0, 0.0, True),
        (SPOTIFY, -9.0, -1.0, -5.0, False),  # louder than -14: -2 dBTP
        (SPOTIFY, -9.0, -2.0, -5.0, True),
        (SPOTIFY, -18.0, -8.0, 4.0, True),
        (SPOTIFY, -18.0, 0.5, 0.0, False),  # no room, and none is taken back
        (YOUTUBE, -9.0, -1.0, -5.0, True),
        (YOUTUBE, -18.0, -8.0, 0.0, False),  # stays quiet
        (YOUTUBE, -14.9, -1.04, 0.0, True),  # as it is printed: -1.0
        (R128, -23.4, -3.0, 0.4, True),
        (R128, -22.0, -3.0, -1.0, False),
        (R128, -30.0, -3.0, 7.0, False),
    ],
)
def test_each_target_does_with_a_file_what_it_says(
    target: Target, integrated_lufs: float, true_peak_dbtp: float, gain_db: float, *, passes: bool
) -> None:
    file = a_measurement(integrated_lufs=integrated_lufs, true_peak_dbtp=true_peak_dbtp)

    delivery = deliver(target, file.loudness, file.peak)

    assert delivery.gain_db == pytest.approx(gain_db)
    assert delivery.passes is passes


@given(st.sampled_from(REFERENCES.targets), st.floats(-60.0, 0.0), st.floats(-40.0, 6.0))
def test_no_service_lifts_a_file_over_its_ceiling_or_its_loudness(
    target: Target, integrated_lufs: float, true_peak_dbtp: float
) -> None:
    gain_db = target.gain_db(integrated_lufs, true_peak_dbtp)

    assert integrated_lufs + gain_db <= target.lufs + 1e-9
    if target.playback is not Playback.NONE and gain_db > 0.0:
        assert true_peak_dbtp + gain_db <= target.ceiling_dbtp + 1e-9


def test_one_target_or_all_are_told_with_who_says_so() -> None:
    all_of_them = appraise(a_measurement(), targets=REFERENCES.targets).targets
    one = appraise(a_measurement(), targets=REFERENCES.targets, target=YOUTUBE).targets

    assert [each.name for each in all_of_them] == [each.name for each in REFERENCES.targets]
    assert [each.name for each in one] == ["YouTube"]
    assert str(YOUTUBE.date) in one[0].source


def test_silence_has_no_gain_no_position_and_one_sentence() -> None:
    appraisal = appraise(SILENT, targets=REFERENCES.targets, profile=POP, target=None)

    assert {(each.gain_db, each.passes) for each in appraisal.targets} == {(None, None)}
    assert {band.position for band in appraisal.spectrum.bands} == {None}
    assert [(finding.rule, finding.level) for finding in appraisal.verdict] == [
        ("silence", Level.WARN)
    ]


# Rules.

SAID: list[tuple[dict[str, Any], Target | None, str, Level, str]] = [
    ({}, None, "loudness", Level.OK, "−14.0 LUFS, about what streaming services play (−16 to −14"),
    ({"integrated_lufs": -8.0}, None, "loudness", Level.NOTE, "turn it down by 6.0 to 8.0 dB"),
    ({"integrated_lufs": -30.0}, None, "loudness", Level.NOTE, "quieter than streaming services"),
    ({"integrated_lufs": None}, None, "loudness", Level.NOTE, "too quiet to have a loudness"),
    ({}, SPOTIFY, "loudness", Level.OK, "−14.0 LUFS, about what Spotify plays (−14 LUFS)"),
    ({"integrated_lufs": -9.2}, SPOTIFY, "loudness", Level.NOTE, "turned down by 4.8 dB"),
    (
        {"integrated_lufs": -18.0, "true_peak_dbtp": -9.0},
        *(SPOTIFY, "loudness", Level.OK, "turned up by 4.0 dB"),
    ),
    ({"integrated_lufs": -18.0}, SPOTIFY, "loudness", Level.NOTE, "up by 0.5 dB only"),
    ({"integrated_lufs": -18.0}, YOUTUBE, "loudness", Level.NOTE, "nothing is turned up there"),
    ({"integrated_lufs": -23.2}, R128, "loudness", Level.OK, "EBU R 128 (−23 ±0.5 LUFS)"),
    ({"integrated_lufs": -18.0}, R128, "loudness", Level.WARN, "Lower it by 5.0 dB"),
    ({"integrated_lufs": -25.0}, R128, "loudness", Level.WARN, "Raise it by 2.0 dB"),
    ({}, None, "true_peak", Level.OK, "−1.5 dBTP, under the customary ceiling of −1 dBTP"),
    ({"true_peak_dbtp": -0.4}, None, "true_peak", Level.NOTE, "0.6 dB over"),
    ({"true_peak_dbtp": -0.4}, YOUTUBE, "true_peak", Level.WARN, "the ceiling for YouTube"),
    ({"true_peak_dbtp": 0.8}, None, "true_peak", Level.WARN, "Lower it by 1.8 dB"),
    ({}, None, "clipping", Level.OK, "No sample"),
    ({"clipped_samples": 1}, None, "clipping", Level.NOTE, "1 sample is at full scale"),
    ({"clipped_samples": 900}, None, "clipping", Level.WARN, "900 samples are"),
    ({"stereo": Stereo(correlation=0.8, balance_db=0.0)}, None, "mono", Level.OK, "0.80"),
    ({"stereo": Stereo(correlation=0.1, balance_db=0.0)}, None, "mono", Level.NOTE, "very wide"),
    ({"stereo": Stereo(correlation=-0.5, balance_db=0.0)}, None, "mono", Level.WARN, "cancels"),
    ({"stereo": Stereo(correlation=None, balance_db=None)}, None, "mono", Level.WARN, "silent"),
    ({"stereo": Stereo(correlation=1.0, balance_db=0.0)}, None, "sides", Level.OK, "equally"),
    ({"stereo": Stereo(correlation=1.0, balance_db=-4.0)}, None, "sides", Level.NOTE, "left"),
    ({"stereo": Stereo(correlation=1.0, balance_db=2.0)}, None, "sides", Level.OK, "right"),
    ({"dc_offset": (0.0, -0.02)}, None, "dc_offset", Level.NOTE, "2.0 % of full scale"),
    ({"dc_offset": (0.001,)}, None, "dc_offset", Level.OK, "0.1 %"),
    ({"silence": Silence(lead_s=2.5, tail_s=0.0)}, None, "silence", Level.NOTE, "2.5 s"),
    ({"silence": Silence(lead_s=0.0, tail_s=9.0)}, None, "silence", Level.NOTE, "9.0 s at the end"),
    ({}, None, "silence", Level.OK, "0.1 s of silence at the start"),
    ({"duration_s": 12.0}, None, "length", Level.NOTE, "12.0 s are short"),
]


@pytest.mark.parametrize(("changed", "target", "rule", "level", "said"), SAID)
def test_a_rule_says_what_there_is_to_say_with_the_number_and_its_unit(
    changed: dict[str, Any], target: Target | None, rule: str, level: Level, said: str
) -> None:
    finding = findings(a_measurement(**changed), target=target)[rule]

    assert finding.level is level
    assert said in finding.text
    assert finding.text.endswith(".")


def test_a_long_mono_file_is_spared_what_does_not_concern_it() -> None:
    assert not {"mono", "sides", "length"} & set(findings(a_measurement()))


@given(
    st.none() | st.floats(-70.0, 5.0),
    st.none() | st.floats(-120.0, 12.0),
    st.none() | st.sampled_from(REFERENCES.targets),
    st.none() | st.sampled_from(list(REFERENCES.profiles.values())),
)
def test_whatever_was_measured_there_is_something_to_say(
    integrated_lufs: float | None,
    true_peak_dbtp: float | None,
    target: Target | None,
    profile: Profile | None,
) -> None:
    measurement = a_measurement(integrated_lufs=integrated_lufs, true_peak_dbtp=true_peak_dbtp)

    verdict = appraise(
        measurement, targets=REFERENCES.targets, profile=profile, target=target
    ).verdict

    assert verdict
    assert not [finding for finding in verdict if "nan" in finding.text or "-" in finding.text]


def test_a_band_that_only_a_newer_analyzer_knows_is_told_as_it_is() -> None:
    known = a_measurement()
    new = replace(known.spectrum.bands[0], name="infra")
    measurement = replace(known, spectrum=replace(known.spectrum, bands=(new,)))

    appraisal = appraise(measurement, targets=(), profile=POP)

    assert (appraisal.spectrum.bands[0].name, appraisal.spectrum.bands[0].reference) == (
        "infra",
        None,
    )
