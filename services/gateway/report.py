"""The report, composed on reading from an upload and the jobs that answer it. Pure."""

from datetime import datetime
from importlib.metadata import version
from itertools import zip_longest
from typing import Final, TypeVar

import msgspec

from decibus.jobs import Job, State
from decibus.messages import (
    AudioFormat,
    Conversion,
    Fault,
    Loudness,
    Measurement,
    Peak,
    Segment,
    Silence,
    Stereo,
    TaskName,
    Transcript,
)
from decibus.references import References
from decibus.speech import Speech, measure_speech
from decibus.targets import Delivery
from decibus.verdict import Appraisal, Balance, Finding, appraise
from services.gateway.live import Jobs
from services.gateway.uploads import Upload
from services.gateway.waiting import Place

R = TypeVar("R", Measurement, Transcript, Conversion)

VERSION: Final = version("decibus")
STANDARDS: Final = ("ITU-R BS.1770-5", "EBU R 128", "EBU Tech 3341", "EBU Tech 3342")


class SpokenSegment(Segment, frozen=True, kw_only=True):
    """A segment, and how loud it is: the mean over its extent, not gated."""

    loudness_lufs: float | None = None


class ReportTranscript(msgspec.Struct, frozen=True, kw_only=True):
    """The words, and how sure the model is of the language."""

    language: str | None
    language_probability: float | None
    model: str
    segments: tuple[SpokenSegment, ...]


class TaskError(msgspec.Struct, frozen=True, kw_only=True):
    """Why one task has failed; the rest of the report stands."""

    task: TaskName
    code: str
    detail: str


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds. `queue_wait` is the longest of the tasks'; a cached result waited for nothing."""

    received: float
    queue_wait: float | None = None
    analyze: float | None = None
    transcribe: float | None = None
    transcode: float | None = None
    total: float | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A converted file; `unchanged`: the upload was in that format already, and is it."""

    download_url: str
    bytes: int
    sha256: str
    format: AudioFormat
    unchanged: bool


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What made the numbers."""

    decibus: str = VERSION
    decoder: str | None = None
    encoder: str | None = None
    model: str | None = None
    standards: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the user reads.

    `latency` is the time from the end of the upload to the last result in seconds, `audio_length`
    the duration of the decoded audio in seconds. What a task has not delivered is null, and so is
    `queue` when no task of it waits in a queue. `targets` is the one that was asked for, or all.
    `speech`, and the loudness of segments, need the results of both tasks. `output` is the file
    that a conversion has made.
    """

    token: str
    status: State
    progress: float
    queue: Place | None = None
    filename: str | None
    sha256: str
    bytes: int
    genre: str | None
    target: str | None
    created_at: datetime
    expires_at: datetime | None
    transcription: str | None = None
    audio_length: float | None = None
    latency: float | None = None
    audio: AudioFormat | None = None
    loudness: Loudness | None = None
    peak: Peak | None = None
    spectrum: Balance | None = None
    stereo: Stereo | None = None
    dc_offset: tuple[float, ...] | None = None
    silence: Silence | None = None
    targets: tuple[Delivery, ...] | None = None
    verdict: tuple[Finding, ...] | None = None
    transcript: ReportTranscript | None = None
    speech: Speech | None = None
    output: Output | None = None
    timings: Timings
    provenance: Provenance
    errors: tuple[TaskError, ...] = ()


class Reports(msgspec.Struct, frozen=True):
    """What several files in one request are answered with."""

    reports: tuple[Report, ...]


def compose(
    upload: Upload, jobs: Jobs, references: References, place: Place | None = None
) -> Report:
    """Put a report together from the jobs as they stand, and where they wait if they do."""
    by_task = {task: jobs.get(key) for task, key in upload.keys.items()}
    measurement = _result(by_task.get(TaskName.ANALYZE), Measurement)
    transcript = _result(by_task.get(TaskName.TRANSCRIBE), Transcript)
    appraisal = _appraise(upload, measurement, references) if measurement else None
    speech, loudness = (
        measure_speech(measurement, transcript) if measurement and transcript else (None, ())
    )
    conversion = _result(by_task.get(TaskName.TRANSCODE), Conversion)
    found = measurement or transcript or conversion
    timings = _timings(upload, by_task)
    return Report(
        token=upload.token,
        status=_status(by_task),
        progress=_progress(by_task),
        queue=place,
        filename=upload.filename,
        sha256=upload.sha256,
        bytes=upload.size,
        genre=upload.genre,
        target=upload.target,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        transcription=transcript.text if transcript else None,
        audio_length=found.audio.duration if found else None,
        latency=timings.total,
        audio=found.audio if found else None,
        loudness=measurement.loudness if measurement else None,
        peak=measurement.peak if measurement else None,
        spectrum=appraisal.spectrum if appraisal else None,
        stereo=measurement.stereo if measurement else None,
        dc_offset=measurement.dc_offset if measurement else None,
        silence=measurement.silence if measurement else None,
        targets=appraisal.targets if appraisal else None,
        verdict=appraisal.verdict if appraisal else None,
        transcript=_words(transcript, loudness) if transcript else None,
        speech=speech,
        output=_output(upload, conversion) if conversion else None,
        timings=timings,
        provenance=Provenance(
            decoder=found.decoder if found else None,
            encoder=conversion.encoder or None if conversion else None,
            model=transcript.model if transcript else None,
            standards=STANDARDS if measurement else (),
        ),
        errors=tuple(
            TaskError(task=task, code=fault.code, detail=fault.detail)
            for task, job in by_task.items()
            if (fault := fault_of(job)) is not None
        ),
    )


def fault_of(job: Job | None) -> Fault | None:
    """Return why a job has failed for good; None while it may still succeed."""
    if job is None:
        return Fault(code="not_found", detail="the result has expired or was deleted")
    return job.fault if job.state is State.FAILED else None


def refusal(jobs: Jobs) -> Fault | None:
    """Return what to answer instead of a report when every job has failed, refusals first."""
    faults = [fault_of(job) for job in jobs.values()]
    if not faults or any(fault is None for fault in faults):
        return None
    return min((fault for fault in faults if fault), key=lambda fault: not fault.refused)


def _status(by_task: dict[TaskName, Job | None]) -> State:
    states = {State.FAILED if job is None else job.state for job in by_task.values()}
    if states <= {State.DONE, State.FAILED}:
        return State.DONE if State.DONE in states else State.FAILED
    return State.QUEUED if states == {State.QUEUED} else State.RUNNING


def _progress(by_task: dict[TaskName, Job | None]) -> float:
    each = [1.0 if job is None or job.is_settled else job.progress for job in by_task.values()]
    return round(sum(each) / len(each), 4)


def _result(job: Job | None, kind: type[R]) -> R | None:
    return job.result if job is not None and isinstance(job.result, kind) else None


def _appraise(upload: Upload, measurement: Measurement, references: References) -> Appraisal:
    profile, target = references.asked(upload.genre, upload.target)
    return appraise(measurement, targets=references.targets, profile=profile, target=target)


def _words(transcript: Transcript, loudness: tuple[float | None, ...]) -> ReportTranscript:
    return ReportTranscript(
        language=transcript.language,
        language_probability=transcript.language_probability,
        model=transcript.model,
        segments=tuple(
            SpokenSegment(**msgspec.structs.asdict(segment), loudness_lufs=lufs)
            for segment, lufs in zip_longest(transcript.segments, loudness)
        ),
    )


def _output(upload: Upload, made: Conversion) -> Output:
    return Output(
        download_url=f"/outputs/{upload.token}",
        bytes=made.bytes,
        sha256=made.sha256,
        format=made.converted,
        unchanged=made.unchanged,
    )


def _timings(upload: Upload, by_task: dict[TaskName, Job | None]) -> Timings:
    known = [job for job in by_task.values() if job is not None]
    begun = [job.started_at for job in known if job.started_at]
    ended = [job.ended_at for job in known if job.ended_at]
    waits = [max(0.0, (start - upload.created_at).total_seconds()) for start in begun]
    is_over = bool(known) and all(job.is_settled for job in known)
    return Timings(
        received=upload.received_s,
        queue_wait=round(max(waits), 6) if waits else None,
        analyze=_work(by_task.get(TaskName.ANALYZE)),
        transcribe=_work(by_task.get(TaskName.TRANSCRIBE)),
        transcode=_work(by_task.get(TaskName.TRANSCODE)),
        # What was done before this upload came took this upload no time.
        total=round(max(0.0, (max(ended) - upload.created_at).total_seconds()), 6)
        if is_over and ended
        else None,
    )


def _work(job: Job | None) -> float | None:
    if job is None or job.started_at is None or job.ended_at is None:
        return None
    return round((job.ended_at - job.started_at).total_seconds(), 6)
