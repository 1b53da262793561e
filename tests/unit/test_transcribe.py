"""The transcriber hears what was said, when it was said, and nothing where nothing was said."""

import io
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decibus.confinement import Limits
from decibus.errors import BadAudio, Superseded, Unsupported
from decibus.messages import AudioFormat, Checkpoint, Segment, TranscribeOptions, Transcript
from decibus.progress import Progress
from decibus.sandbox import Sandbox
from decibus.settings import load as load_settings
from services.transcriber.decode import Samples, decoded, decoded_in
from services.transcriber.draft import Draft, Tongue
from services.transcriber.model import DEMO, Model, ModelError, load
from services.transcriber.settings import Settings
from services.transcriber.transcribe import transcribe
from services.transcriber.windows import Place, Window, cut, merged
from tests import speech
from tests.speech import digits, noise, say, silence, wav, with_pauses, word_errors

ROOT: Final = Path(__file__).parents[2]
DEMO_DIRECTORY: Final = ROOT / "services/transcriber/demo_model"
PROC_STATUS: Final = Path("/proc/self/status")


@pytest.fixture(scope="module")
def model() -> Model:
    return load(DEMO, workers=2)


def heard(file: BinaryIO, model: Model, language: str | None = None) -> Transcript:
    options = TranscribeOptions(language=language, max_duration_s=3600.0)
    return transcribe(file, options, Progress(), model=model)


class Listener(Progress):
    """Takes down what it is told, and what is kept."""

    def __init__(self, kept: tuple[Checkpoint, ...] = ()) -> None:
        super().__init__(kept)
        self.told: list[float] = []
        self.new: list[tuple[Segment, ...]] = []
        self.kept_now: list[Checkpoint] = []

    def __call__(self, fraction: float, new: tuple[Segment, ...] = ()) -> None:
        super().__call__(fraction, new)
        self.told.append(fraction)
        if new:
            self.new.append(new)

    def keep(self, checkpoint: Checkpoint) -> None:
        super().keep(checkpoint)
        self.kept_now.append(checkpoint)


# What was said.


@pytest.mark.espeak
@pytest.mark.parametrize("language", ["en", "de", "es"])
def test_digits_are_heard_and_their_language_is_detected(model: Model, language: str) -> None:
    said = [digits(language, 5, seed=speaker) for speaker in range(len(speech.HELD_OUT))]
    files = [
        wav(silence(0.4), say(words, language, speaker=speaker), silence(0.4))
        for speaker, words in enumerate(said)
    ]

    transcripts = [heard(file, model) for file in files]

    errors = sum(word_errors(words, t.text) for words, t in zip(said, transcripts, strict=True))
    assert errors <= 3, [t.text for t in transcripts]  # of 35
    assert {t.language for t in transcripts} == {language}
    assert all((t.language_probability or 0) > 0.5 for t in transcripts)
    assert {t.model for t in transcripts} == {"decibus-demo"}


@pytest.mark.espeak
def test_a_language_that_was_asked_for_is_not_detected(model: Model) -> None:
    transcript = heard(wav(say("sieben acht neun", "de")), model, language="de")

    assert transcript.text == "sieben acht neun"
    assert (transcript.language, transcript.language_probability) == ("de", None)


@pytest.mark.espeak
def test_one_of_two_channels_is_enough(model: Model) -> None:
    words = say("one two three")

    transcript = heard(wav(np.stack([words, np.zeros_like(words)])), model)

    assert transcript.text == "one two three"
    assert transcript.audio.channels == 2


# When it was said.


@pytest.mark.espeak
def test_long_speech_keeps_its_order_and_its_time_line(model: Model) -> None:
    said = [digits("en", 4, seed=100 + number) for number in range(12)]
    pauses_s = [0.7, 1.1, 2.2, 0.9, 5.0, 0.8, 20.0, 1.3, 0.7, 1.9, 0.8, 1.0]
    samples, starts = with_pauses([say(words) for words in said], pauses_s)
    assert samples.size > 45 * speech.RATE_HZ

    transcript = heard(wav(samples), model)

    assert word_errors(" ".join(said), transcript.text) <= 4, transcript.text  # of 48
    assert [segment.id for segment in transcript.segments] == [*range(len(transcript.segments))]
    right = 0
    for segment in transcript.segments:
        nearest = int(np.argmin(np.abs(np.array(starts) - segment.start)))
        assert abs(segment.start - starts[nearest]) < 0.5
        assert segment.start < segment.end <= transcript.audio.duration
        right += said[nearest].startswith(segment.text.split()[0])
    assert right >= 10
    spans = [(segment.start, segment.end) for segment in transcript.segments]
    assert spans == sorted(spans)


RATE_HZ: Final = 16_000
LONGEST: Final = 2 * RATE_HZ


@pytest.mark.parametrize("at_s", [0.25, 1.0, 2.49])
def test_resampling_moves_nothing_and_loses_no_end(at_s: float) -> None:
    click = silence(2.5)
    click[round(at_s * speech.RATE_HZ)] = 1.0

    with decoded(wav(click), TranscribeOptions(), lambda _: None) as audio:
        samples = np.concatenate(list(audio.blocks()))

    assert abs(samples.size - 2.5 * RATE_HZ) <= 1
    assert abs(int(np.argmax(samples)) - at_s * RATE_HZ) <= 1


def loud(samples: Samples) -> list[tuple[int, int]]:
    """Find what is not zero, in stretches of no more than `LONGEST`."""
    edges = np.flatnonzero(np.diff(samples != 0, prepend=False, append=False))
    return [
        (start, min(start + LONGEST, int(end)))
        for first, end in edges.reshape(-1, 2)
        for start in range(int(first), int(end), LONGEST)
    ]


@settings(max_examples=30, deadline=None)
@given(
    turns=st.lists(st.tuples(st.floats(0.1, 6.0), st.floats(0.1, 6.0)), min_size=1, max_size=8),
    block=st.integers(RATE_HZ // 10, 20 * RATE_HZ),
)
def test_windows_hold_all_speech_once_and_are_never_too_long(
    turns: list[tuple[float, float]], block: int
) -> None:
    pieces = [
        np.full(round(seconds * RATE_HZ), value, np.float32)
        for turn in turns
        for seconds, value in zip(turn, (0.0, 1.0), strict=True)
    ]
    samples = np.concatenate(pieces)
    samples *= np.arange(1, samples.size + 1)  # each is told by its value (exact below 2**24)

    blocks = np.split(samples, range(block, samples.size, block))

    windows = list(cut(blocks, loud, longest=LONGEST))

    assert all(window.samples.size <= LONGEST for window in windows)
    assert all(
        np.array_equal(window.samples, samples[window.start : window.end]) for window in windows
    )
    in_windows = np.concatenate([window.samples for window in windows])
    assert np.array_equal(in_windows[in_windows != 0], samples[samples != 0])
    again = list(cut([samples], loud, longest=LONGEST))
    assert [window.start for window in windows] == [window.start for window in again]
    assert [window.searched for window in windows] == [window.searched for window in again]
    stretches = list(merged(chain.from_iterable(window.speech for window in windows)))
    assert stretches == list(merged(loud(samples)))


@settings(max_examples=20, deadline=None)
@given(
    turns=st.lists(st.tuples(st.floats(0.1, 6.0), st.floats(0.1, 6.0)), min_size=2, max_size=8),
    blocks=st.tuples(*[st.integers(RATE_HZ // 10, 20 * RATE_HZ)] * 2),
    data=st.data(),
)
def test_behind_any_window_the_same_ones_follow(
    turns: list[tuple[float, float]], blocks: tuple[int, int], data: st.DataObject
) -> None:
    samples = np.concatenate(
        [
            np.full(round(seconds * RATE_HZ), value, np.float32)
            for turn in turns
            for seconds, value in zip(turn, (0.0, 1.0), strict=True)
        ]
    )
    first, second = (np.split(samples, range(block, samples.size, block)) for block in blocks)
    windows = list(cut(first, loud, longest=LONGEST))
    done = data.draw(st.integers(1, len(windows)))
    behind = Place(windows[done - 1].searched, windows[done - 1].end)

    rest = list(cut(second, loud, longest=LONGEST, behind=behind))

    assert [(w.start, w.end, w.searched) for w in rest] == [
        (w.start, w.end, w.searched) for w in windows[done:]
    ]


# Where it is decoded.


@pytest.mark.espeak
def test_what_is_decoded_in_a_sandbox_is_heard_as_well(model: Model) -> None:
    file = wav(with_pauses([say("one two three")] * 2, [2.0] * 2)[0])
    step, warm = "services.transcriber.decode:stream", "services.transcriber.decode:warm"
    sandbox = Sandbox(step, warm=warm, returns=AudioFormat, limits=Limits())
    listener = Listener()

    with closing(sandbox), tempfile.TemporaryFile() as there:
        there.write(file.getvalue())
        transcript = transcribe(
            there,
            TranscribeOptions(),
            listener,
            model=model,
            decode=partial(decoded_in, sandbox),
        )

    assert transcript == heard(file, model)
    assert listener.told == sorted(listener.told)


@pytest.mark.parametrize("lie", ["headless", "uneven", "infinite"])
def test_what_a_broken_child_says_is_not_heard(model: Model, lie: str) -> None:
    step, warm = "tests.steps:pour", "tests.steps:warm"
    sandbox = Sandbox(step, warm=warm, returns=AudioFormat, limits=Limits())

    with closing(sandbox), tempfile.TemporaryFile() as file:
        file.write(lie.encode())
        with pytest.raises(BadAudio, match="broken"):
            transcribe(
                file,
                TranscribeOptions(),
                Progress(),
                model=model,
                decode=partial(decoded_in, sandbox),
            )


# Where nothing was said.


@pytest.mark.parametrize(
    "samples",
    [
        silence(0.001),
        silence(0.09),
        silence(40.0),
        noise(0.09, level=0.1),
        noise(20.0, level=0.003),
        noise(20.0, level=0.1),
        noise(20.0, level=0.5),
    ],
    ids=lambda samples: f"{samples.size / speech.RATE_HZ:.3f} s of {samples.std():.3f}",
)
def test_no_words_without_speech(model: Model, samples: Samples) -> None:
    transcript = heard(wav(samples), model)

    assert (transcript.text, transcript.segments) == ("", ())
    assert (transcript.language, transcript.language_probability) == (None, None)
    assert transcript.audio.duration == pytest.approx(samples.size / speech.RATE_HZ)


# What the caller can do.


@pytest.mark.parametrize("language", ["xx", "fr", "EN", ""])
def test_a_language_that_the_model_lacks_is_refused_by_name(model: Model, language: str) -> None:
    with pytest.raises(Unsupported, match=r"decibus-demo hears: de, en, es"):
        heard(wav(silence(1.0)), model, language=language)


@pytest.mark.espeak
def test_progress_only_grows_and_reaches_the_end(model: Model) -> None:
    samples, _ = with_pauses([say("one two three")] * 8, [4.0] * 8)  # a window each
    listener = Listener()

    transcribe(wav(samples), TranscribeOptions(), listener, model=model)

    assert listener.told == sorted(listener.told)
    assert listener.told[0] == 0.0
    assert 0.9 < listener.told[-1] <= 1.0
    assert len(set(listener.told)) >= 8
    assert listener.audio_s == pytest.approx(samples.size / speech.RATE_HZ, abs=0.01)


@pytest.mark.espeak
def test_what_is_heard_is_told_as_it_comes_and_once(model: Model) -> None:
    samples, _ = with_pauses([say("one two three")] * 8, [2.0] * 8)
    listener = Listener()

    found = transcribe(wav(samples), TranscribeOptions(), listener, model=model)

    assert len(listener.new) > 1
    assert tuple(chain.from_iterable(listener.new)) == found.segments


@pytest.mark.espeak
def test_what_progress_raises_stops_the_work(model: Model) -> None:
    samples, _ = with_pauses([say("one two three")] * 8, [2.0] * 8)

    class Impatient(Progress):
        def __call__(self, fraction: float, new: tuple[Segment, ...] = ()) -> None:
            super().__call__(fraction, new)
            if fraction > 0.3:
                self.stop()

    with pytest.raises(Superseded):
        transcribe(wav(samples), TranscribeOptions(), Impatient(), model=model)


def test_silence_can_be_stopped_too(model: Model) -> None:
    class Impatient(Listener):
        def __call__(self, fraction: float, new: tuple[Segment, ...] = ()) -> None:
            super().__call__(fraction, new)
            if len(self.told) == 5:
                self.stop()

    with pytest.raises(Superseded):
        transcribe(wav(silence(20.0)), TranscribeOptions(), Impatient(), model=model)


# What another attempt goes on behind.


@pytest.fixture(scope="module")
def long_talk() -> bytes:
    """Some windows, and a silence that is longer than what is looked at in one go."""
    phrases = [say(digits("en", 3, seed=number), speaker=number) for number in range(9)]
    return wav(with_pauses(phrases, [0.6, 3.5, 0.9, 1.4, 14.0, 0.7, 3.8, 0.6, 4.0])[0]).getvalue()


@pytest.mark.espeak
@pytest.mark.parametrize("multilingual", [False, True])
def test_an_attempt_goes_on_where_another_has_stopped_as_if_nothing_had_happened(
    model: Model, long_talk: bytes, *, multilingual: bool
) -> None:
    options = TranscribeOptions(words=not multilingual, multilingual=multilingual)
    quiet = Listener()
    whole = transcribe(io.BytesIO(long_talk), options, quiet, model=model)
    kept = tuple(quiet.kept_now)
    assert len(kept) >= 4
    assert whole.segments

    for done in (len(kept) // 2, len(kept)):
        heir = Listener(kept[:done])
        again = transcribe(io.BytesIO(long_talk), options, heir, model=model)

        assert again == whole
        assert heir.kept_now == quiet.kept_now[done:], "what was kept is not heard again"
        assert heir.told[0] > 0.0
        taken_over = sum(len(checkpoint.segments) for checkpoint in kept[:done])
        assert heir.take().taken_over == taken_over
        assert tuple(chain.from_iterable(heir.new)) == whole.segments[taken_over:]


def test_what_another_model_or_release_has_kept_is_worth_nothing(model: Model) -> None:
    mine = Draft(model.name)
    samples = np.zeros(RATE_HZ, np.float32)
    mine.add(Window(0, samples, ((0, RATE_HZ),)), Tongue("en"), [], by_window=False)
    listener = Listener()
    mine.keep(listener)
    (good,) = listener.kept_now
    foreign = [bytes(good.state).replace(b"decibus-demo", b"small"), b'{"of another": "release"}']

    assert Draft.of([good], model).place == Place(0, RATE_HZ)
    for state in foreign:
        bad = msgspec.structs.replace(good, number=1, state=msgspec.Raw(state))
        assert Draft.of([good, bad], model).place == Place(0, 0)


@pytest.mark.espeak
def test_what_is_short_is_not_kept(model: Model) -> None:
    listener = Listener()

    transcribe(wav(say("one two three")), TranscribeOptions(), listener, model=model)

    assert listener.new
    assert listener.kept_now == []


@pytest.mark.espeak
def test_each_window_has_its_language_when_asked(model: Model) -> None:
    said = [("en", "one two three"), ("de", "sieben acht neun"), ("es", "uno dos tres")]
    phrases = [say(words, language) for language, words in said]
    talk = wav(with_pauses(phrases, [0.5, 4.0, 4.0])[0])

    found = transcribe(talk, TranscribeOptions(multilingual=True), Progress(), model=model)

    assert [segment.language for segment in found.segments] == ["en", "de", "es"]
    assert found.text == "one two three sieben acht neun uno dos tres"
    assert found.language in {"en", "de", "es"}
    assert 0.0 < (found.language_probability or 0.0) < 1.0


@pytest.mark.espeak
def test_where_there_was_speech_is_told_on_the_uploads_time_line(model: Model) -> None:
    phrase = say("one two three")
    samples, starts = with_pauses([phrase] * 3, [2.0, 5.0, 20.0])

    found = heard(wav(samples), model)

    assert len(found.speech) == 3
    for (start, end), true in zip(found.speech, starts, strict=True):
        assert start == pytest.approx(true, abs=0.5)
        assert end == pytest.approx(true + phrase.size / speech.RATE_HZ, abs=0.5)


@pytest.mark.espeak
def test_jobs_side_by_side_hear_what_they_hear_alone(model: Model) -> None:
    files = []
    for language in ("en", "de", "es"):
        phrases = [say(digits(language, 3, seed=seed), language) for seed in range(3)]
        files.append(wav(with_pauses(phrases, [0.8] * 3)[0]).getvalue())
    alone = [heard(io.BytesIO(file), model) for file in files]

    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda file: heard(io.BytesIO(file), model), files))

    assert together == alone
    assert all(transcript.text for transcript in alone)


@pytest.mark.espeak
@pytest.mark.skipif(not PROC_STATUS.exists(), reason="only Linux tells a process's own peak")
def test_ten_minutes_need_no_more_memory_than_half_a_minute(tmp_path: Path) -> None:
    turn, _ = with_pauses([say("one two three")], [18.0])
    turns = np.resize(turn, 600 * speech.RATE_HZ)
    (tmp_path / "short.wav").write_bytes(wav(turns[: 30 * speech.RATE_HZ]).getvalue())
    (tmp_path / "long.wav").write_bytes(wav(turns).getvalue())

    found = run_python(
        "import sys",
        "from pathlib import Path",
        "from decibus.messages import TranscribeOptions",
        "from decibus.progress import Progress",
        "from decibus.telemetry import configure_logs",
        "from services.transcriber.model import load",
        "from services.transcriber.transcribe import transcribe",
        "configure_logs('test')",
        "model = load('demo', workers=1)",
        "options = TranscribeOptions(max_duration_s=3600.0)",
        "for name in sys.argv[1:]:",
        "    with open(name, 'rb') as file:",
        "        found = transcribe(file, options, Progress(), model=model)",
        # Not ru_maxrss: a child starts with its parent's.
        "    peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]",
        "    print(len(found.segments), peak)",
        arguments=[str(tmp_path / "short.wav"), str(tmp_path / "long.wav")],
    )

    (few, before_kib), (many, after_kib) = (map(int, line.split()) for line in found[-2:])
    assert 1 <= few < 5
    assert many > 20
    assert after_kib - before_kib < 60_000


# The model.


def run_python(
    *lines: str, variables: dict[str, str] | None = None, arguments: list[str] | None = None
) -> list[str]:
    """Run a program in a process of its own, and return what it printed."""
    assignments = [f"{name}={value}" for name, value in (variables or {}).items()]
    command = [sys.executable, "-c", "\n".join(lines), *(arguments or [])]
    done = subprocess.run(
        ["env", *assignments, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout.splitlines()


LOAD: Final = (
    "import sys",
    "from services.transcriber.model import load",
    "model = load(sys.argv[1], workers=1)",
    "print(model.name)",
)


def hub_at(endpoint: str, *, cache: Path) -> dict[str, str]:
    return {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint}


@pytest.mark.parametrize("spec", ["small", "owner/name"])
def test_without_a_hub_the_demo_model_steps_in_and_says_so(tmp_path: Path, spec: str) -> None:
    variables = hub_at("http://127.0.0.1:1", cache=tmp_path)

    printed = run_python(*LOAD, variables=variables, arguments=[spec])

    assert printed[-1] == "decibus-demo"
    assert sum("demo_model_used" in line and "refused" in line for line in printed) == 1


def test_a_hub_that_does_not_answer_is_not_waited_for_long(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        variables = hub_at(f"http://127.0.0.1:{silent.getsockname()[1]}", cache=tmp_path)
        started = time.monotonic()

        printed = run_python(*LOAD, variables=variables, arguments=["small"])

    assert time.monotonic() - started < 10.0
    assert printed[-1] == "decibus-demo"
    assert any("demo_model_used" in line for line in printed)


def cache_model(cache: Path, *, without: str = "") -> None:
    """Put the demo model where the hub's client keeps `small`."""
    cached = cache / "models--Systran--faster-whisper-small"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("0" * 40)
    ignored = shutil.ignore_patterns("decibus.json", "README.md", without)
    shutil.copytree(DEMO_DIRECTORY, cached / "snapshots" / ("0" * 40), ignore=ignored)


def test_a_model_in_the_cache_needs_no_hub(tmp_path: Path) -> None:
    cache_model(tmp_path)
    variables = hub_at("http://127.0.0.1:1", cache=tmp_path)

    printed = run_python(*LOAD, variables=variables, arguments=["small"])

    assert printed[-1] == "small"
    assert not any("demo_model_used" in line for line in printed)


def test_half_a_model_in_the_cache_is_none(tmp_path: Path) -> None:
    cache_model(tmp_path, without="model.bin")
    variables = hub_at("http://127.0.0.1:1", cache=tmp_path) | {"HF_HUB_OFFLINE": "1"}

    printed = run_python(*LOAD, variables=variables, arguments=["small"])

    assert printed[-1] == "decibus-demo"


@pytest.mark.parametrize("spec", ["/nowhere/model", "./nowhere", "nowhere", "~/nowhere/at/all"])
def test_a_path_that_is_not_there_is_an_error_and_no_reason_for_the_demo_model(spec: str) -> None:
    with pytest.raises(ModelError, match=r"nowhere.* is neither a directory nor"):
        load(spec, workers=1)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_DIRECTORY, tmp_path / "my-model"))


def test_a_model_is_named_after_its_directory(copy: Path) -> None:
    (copy / "decibus.json").unlink()

    model = load(str(copy), workers=1)

    assert (model.name, model.window_s) == ("my-model", 30.0)
    assert sorted(model.languages) == ["de", "en", "es"]


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_missing_file_is_named_before_anything_is_loaded(copy: Path, name: str) -> None:
    (copy / "model.bin").write_text("loading this would fail")
    (copy / name).unlink()

    with pytest.raises(ModelError, match=rf"my-model lacks {name}"):
        load(str(copy), workers=1)


def test_a_vocabulary_of_another_model_is_found_before_anything_is_loaded(copy: Path) -> None:
    (copy / "model.bin").write_text("loading this would fail")
    vocabulary = msgspec.json.decode((copy / "vocabulary.json").read_bytes(), type=list[str])
    vocabulary[300], vocabulary[301] = vocabulary[301], vocabulary[300]
    (copy / "vocabulary.json").write_bytes(msgspec.json.encode(vocabulary))

    with pytest.raises(ModelError, match=r"token 30[01] is '.*' in tokenizer.json, '.*' in the v"):
        load(str(copy), workers=1)


def test_a_shorter_vocabulary_is_found_before_anything_is_loaded(copy: Path) -> None:
    (copy / "model.bin").write_text("loading this would fail")
    vocabulary = msgspec.json.decode((copy / "vocabulary.json").read_bytes(), type=list[str])
    (copy / "vocabulary.json").write_bytes(msgspec.json.encode(vocabulary[:-1]))

    last = rf"token {len(vocabulary) - 1} is '<\|30.00\|>' in tokenizer.json, None"
    with pytest.raises(ModelError, match=last):
        load(str(copy), workers=1)


def test_a_vocabulary_may_be_a_text_file(copy: Path) -> None:
    vocabulary = msgspec.json.decode((copy / "vocabulary.json").read_bytes(), type=list[str])
    (copy / "vocabulary.json").unlink()
    (copy / "vocabulary.txt").write_text("".join(f"{token}\n" for token in vocabulary))

    assert load(str(copy), workers=1).name == "decibus-demo"


def test_languages_without_their_ids_are_found(copy: Path) -> None:
    (copy / "config.json").write_text('{"suppress_ids": [], "suppress_ids_begin": []}')

    with pytest.raises(ModelError, match=r"config\.json: lang_ids is empty"):
        load(str(copy), workers=1)


def test_mel_bands_of_another_model_are_found(copy: Path) -> None:
    (copy / "preprocessor_config.json").write_text('{"feature_size": 128}')

    with pytest.raises(ModelError, match=r"80 mel bands, but preprocessor_config\.json .* 128"):
        load(str(copy), workers=1)


def test_damaged_weights_are_found(copy: Path) -> None:
    (copy / "model.bin").write_bytes((DEMO_DIRECTORY / "model.bin").read_bytes()[:100_000])

    with pytest.raises(ModelError, match=r"my-model: "):
        load(str(copy), workers=1)


def test_the_demo_model_is_asked_for_by_name_and_the_default_is_a_real_one() -> None:
    assert load_settings(Settings, {}).model == "small"
    assert load_settings(Settings, {"DECIBUS_MODEL": "demo"}).model == DEMO
