"""A ticket as its sender sees it: the bodies of `/jobs/`, and what they say. Pure."""

from datetime import datetime

import msgspec

from decibus.jobs import Job
from decibus.messages import Conversion, Fault, TranscodeOptions
from services.gateway.report import fault_of
from services.gateway.tickets import Ticket


class JobFormat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What to convert to, as the options of `POST /transcode` say it.

    A `bit_depth` is not read for what has no samples, a `bit_rate` not for what loses nothing: this
    door's clients name all of them, always.
    """

    extension: str
    sample_rate: int | None = None
    bit_rate: int | None = None
    bit_depth: int | None = None
    channels: int | None = None
    quality: float | None = None


class JobTranscode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done."""

    format: JobFormat


class NewJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /jobs/`."""

    transcode: JobTranscode


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a source is read, and where it is sent; null while, or as soon as, that cannot be."""

    download_url: str | None
    upload_url: str | None


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Where the file is read, once it is there. Workers alone store it: `upload_url` is null."""

    format: JobFormat
    download_url: str | None
    upload_url: str | None = None


class JobView(msgspec.Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """
    A ticket, as its sender sees it.

    `status` is created, started, completed or failed; `machine_id` names the worker that has run
    it, or does.
    """

    id: str
    status: str
    machine_id: str | None
    source: Place
    transcode: Made
    progress: float = 0.0
    created_at: datetime
    error: Fault | None = None


class JobViews(msgspec.Struct, frozen=True):
    """The newest first; `next` is the cursor of the next page."""

    data: tuple[JobView, ...]
    next: str | None


def status_of(ticket: Ticket, job: Job | None, now: datetime) -> tuple[str, Fault | None]:
    """Return how a ticket stands, by itself or by its job, and why it has failed if it has."""
    if ticket.ending is not None:
        fault = ticket.ending.fault
        return ("failed" if fault else "completed"), fault
    if ticket.upload is None:
        return ("started" if ticket.is_starting(now) else "created"), None
    if job is None or job.is_settled:
        fault = fault_of(job)
        return ("failed" if fault else "completed"), fault
    return "started", None


def machine_of(job: Job | None) -> str | None:
    """Return the name of the worker's machine; an owner is that, its process and its life."""
    if job is None:
        return None
    if isinstance(job.result, Conversion):
        return job.result.machine_id
    return job.owner.rsplit("-", 2)[0] if job.owner else None


def format_of(options: TranscodeOptions) -> JobFormat:
    """Return what was asked for, as it was asked."""
    given = msgspec.structs.asdict(options)
    return JobFormat(**{name: given[name] for name in JobFormat.__struct_fields__})
