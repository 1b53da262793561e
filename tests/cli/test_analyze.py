"""`decibus analyze` and `decibus profile`: files measured on this machine."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from decibus.profiles import Kind
from decibus.references import load_references, read_profile
from tests.cli.conftest import Run
from tests.processes import ROOT
from tests.signals import encode, music, sine


def test_a_file_is_told_in_numbers_and_in_words(decibus: Run, takes: Path) -> None:
    done = decibus("analyze", takes / "song.wav", "--genre", "Hip Hop", "--target", "ebu r128")

    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "LUFS" in lines[0]
    assert str(takes / "song.wav") in lines[1]
    assert any(line.startswith("low_mid") and "below" in line for line in lines)
    assert any(line.startswith("EBU R 128") and line.strip().endswith("no") for line in lines)
    assert any("outside EBU R 128 (−23 ±0.5 LUFS). Lower it by" in line for line in lines)
    assert any("Bass (60–250 Hz): in range at" in line for line in lines)


def test_a_directory_stands_for_all_the_audio_in_it(decibus: Run, takes: Path) -> None:
    done = decibus("analyze", takes, takes / "song.wav", "--json")

    assert done.code == 0
    assert [each["filename"] for each in done.reports] == [
        str(takes / name) for name in ("live/bass.mp3", "live/tone.FLAC", "song.wav")
    ]
    tone = done.reports[1]
    assert (tone["status"], tone["errors"]) == ("done", [])
    assert tone["loudness"]["integrated_lufs"] == pytest.approx(-22.99, abs=0.02)
    assert len(tone["targets"]) == len(load_references().targets)
    assert {each["rule"] for each in tone["verdict"]} >= {"loudness", "true_peak", "mono"}


def test_several_processes_say_the_same_as_one(decibus: Run, takes: Path) -> None:
    one, two = (decibus("analyze", takes, "--json", "--jobs", jobs) for jobs in (1, 2))

    assert one == two


def test_a_file_that_fails_is_told_and_the_others_are_measured(decibus: Run, takes: Path) -> None:
    paths = (takes / "notes.txt", takes / "live" / "tone.FLAC")

    for_people = decibus("analyze", *paths)
    for_programs = decibus("analyze", *paths, "--json")

    assert for_people.code == for_programs.code == 1
    assert "analyze: not_audio: no decoder recognises" in for_people.out
    assert "-23.0" in for_people.out
    failed, done = for_programs.reports
    assert (failed["status"], failed["errors"][0]["code"]) == ("failed", "not_audio")
    assert done["status"] == "done"


def test_silence_has_no_numbers_and_is_no_failure(decibus: Run, tmp_path: Path) -> None:
    (tmp_path / "silence.wav").write_bytes(encode(sine(1.0, -20.0) * 0, 48_000, "wav16"))

    done = decibus("analyze", tmp_path, "--genre", "pop")

    assert done.code == 0
    assert "The file is silent" in done.out


def test_what_is_no_markup_is_printed_as_it_is(decibus: Run, tmp_path: Path) -> None:
    (tmp_path / "[red]take.wav").write_bytes(encode(sine(1.0, -20.0), 48_000, "wav16"))

    done = decibus("analyze", tmp_path)

    assert done.code == 0
    assert "[red]take.wav" in done.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("analyze",), "Missing argument"),
        (("analyze", "/nowhere.wav"), "/nowhere.wav"),
        (("analyze", ".", "--genre", "polka"), "no profile 'polka'; there are acoustic"),
        (("analyze", ".", "--target", "Napster"), "no 'Napster'; there are Spotify"),
        (("analyze", ".", "--colour", "red"), "No such option"),
        (("analyze", "."), "no audio"),
        (("analyse", "."), "No such command"),
        (("profile", "build", ".", "-o", "x.json", "--name", "x"), "no audio"),
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    decibus: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    refused = decibus(*arguments)

    assert (refused.code, refused.out) == (2, "")
    assert told in refused.err


def test_a_profile_is_made_of_ones_own_references_and_used(decibus: Run, tmp_path: Path) -> None:
    for number in range(1, 12):  # a tone of bass under noise, 1 to 11 dB stronger each
        take = music(2.0, seed=number) * 0.2 + sine(2.0, -30.0 + number, hz=100.0)
        (tmp_path / f"{number}.wav").write_bytes(encode(take, 48_000, "wav16"))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    file = tmp_path / "mine.json"

    built = decibus(
        "profile", "build", tmp_path, "-o", file, "--name", "mine", "--source", "me", "--jobs", 1
    )
    used = decibus("analyze", tmp_path / "6.wav", "--genre", file, "--json")

    assert built.code == 1, "one could not be measured"
    assert "broken.wav: " in built.err
    profile = read_profile(file)
    assert (profile.name, profile.kind, profile.n, profile.source) == (
        *("mine", Kind.MEASURED, 11, "me"),
    )
    levels = sorted(
        next(band["level_db"] for band in report["spectrum"]["bands"] if band["name"] == "bass")
        for report in decibus(
            "analyze", *tmp_path.glob("[0-9]*.wav"), "--json", "--jobs", 1
        ).reports
    )
    bass = profile.bands.bass
    assert (bass.p10_db, bass.median_db, bass.p90_db) == pytest.approx(
        (levels[1], levels[5], levels[9]), abs=0.01
    )
    assert used.reports[0]["spectrum"]["bands"][1]["position"] == "in"
    assert load_references(str(tmp_path)).genre("mine") == profile, "the gateway takes it"


@pytest.mark.parametrize(
    ("name", "takes_", "told"), [("My Genre", 2, "name"), ("mine", 1, "two recordings")]
)
def test_a_profile_that_cannot_be_is_not_written(
    decibus: Run, tmp_path: Path, name: str, takes_: int, told: str
) -> None:
    for number in range(takes_):
        take = encode(music(1.0, seed=number), 48_000, "wav16")
        (tmp_path / f"{number}.wav").write_bytes(take)

    refused = decibus("profile", "build", tmp_path, "-o", tmp_path / "x.json", "--name", name)

    assert refused.code == 1
    assert told in refused.err
    assert not (tmp_path / "x.json").exists()


def test_every_profile_and_target_is_listed_with_its_source(decibus: Run) -> None:
    references = load_references()

    listed = decibus("profile", "list")

    assert listed.code == 0
    for name in (*references.profiles, *(target.name for target in references.targets)):
        assert f"\n{name} " in listed.out
    assert "Not measured." in listed.out


def test_help_is_there_before_the_kernels_are() -> None:
    code = (
        "import sys; sys.argv = ['decibus', '--help']; import cli.__main__ as command\n"
        "try: command.main()\n"
        "finally: assert not {'numba', 'numpy', 'av'} & set(sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert all(word in done.stdout for word in ("analyze", "submit", "profile"))


def test_json_is_one_document_for_programs(decibus: Run, takes: Path) -> None:
    done = decibus("analyze", takes / "song.wav", "--json")

    assert set(msgspec.json.decode(done.out)) == {"reports"}
    assert done.out.count("\n") == 1
