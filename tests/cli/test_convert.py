"""`decibus convert`: files brought into another format on this machine."""

from pathlib import Path

from tests.cli.conftest import Run
from tests.signals import encode, sine
from tests.transcoder.conversions import read

WAV = encode(sine(2.0, -20.0), 48_000, "wav16")


def test_a_file_gets_one_of_the_other_format_beside_it(decibus: Run, tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(WAV)

    done = decibus("convert", tmp_path, "--to", "mp3", "--sample-rate", 32_000, "--bit-rate", 320)

    made = tmp_path / "take.mp3"
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path / 'take.wav'} → {made} (32000 Hz, stereo, 2.0 s)\n"
    assert read(made.read_bytes())[1].sample_rate == 32_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["take.mp3", "take.wav"]


def test_what_is_in_the_format_already_is_copied_or_left(decibus: Run, tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(WAV)

    left = decibus("convert", tmp_path / "take.wav", "--to", "wav")
    copied = decibus("convert", tmp_path / "take.wav", "--to", "wav", "--out", tmp_path / "new")

    assert (left.code, copied.code) == (0, 0)
    assert "unchanged, it is in the format already" in left.out
    assert copied.out.endswith("2.0 s, unchanged)\n")
    assert (tmp_path / "new" / "take.wav").read_bytes() == WAV


def test_nothing_is_replaced_unless_it_is_to_be(decibus: Run, tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(WAV)
    (tmp_path / "take.flac").write_bytes(b"mine")

    kept = decibus("convert", tmp_path / "take.wav", "--to", "flac")
    own_place = decibus("convert", tmp_path / "take.wav", "--to", "wav", "--bit-depth", 24)
    replaced = decibus("convert", tmp_path / "take.wav", "--to", "flac", "--force")

    assert (kept.code, own_place.code, replaced.code) == (1, 1, 0)
    assert "is there already" in kept.err
    assert "it would take its own place" in own_place.err
    assert (tmp_path / "take.wav").read_bytes() == WAV
    assert (tmp_path / "take.flac").read_bytes().startswith(b"fLaC")


def test_a_file_that_fails_leaves_nothing_and_the_others_go_on(
    decibus: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.wav").write_bytes(WAV[: len(WAV) // 2])
    (tmp_path / "b.wav").write_bytes(WAV)

    done = decibus("convert", tmp_path, "--to", "flac", "--out", tmp_path / "new")

    assert done.code == 1
    assert "a.wav: the file is truncated" in done.err
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.flac"]


def test_what_cannot_be_is_told_before_anything_is_made(decibus: Run, tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(WAV)

    done = decibus("convert", tmp_path, "--to", "opus", "--sample-rate", 44_100)

    assert (done.code, done.out) == (2, "")
    assert done.err == "decibus: opus has no sample rate of 44100 Hz, but 48000\n"
