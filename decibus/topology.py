"""
Every name in NATS, in one place. `python -m decibus.topology` prints it.

    upload ──▶ OBJ audio, SEALS_audio           the bytes, until the last task has ended
           ──▶ KV reports                       one row an upload: which jobs it waits for
           ──▶ KV analyses ──▶ audio.evt.>      one record a job; every change is republished
           ──▶ JOBS_ANALYZE, JOBS_TRANSCRIBE,   one message a job, until a worker has settled it;
               JOBS_TRANSCODE                   each may be several streams, see `Queue.split`
                   ──▶ OBJ outputs              what the transcoder has made
           ──▶ CHECKPOINTS                      what is done of a job in hand, until it is settled
    request ─▶ RATE                             one message a request, until it counts no more
           ──▶ KV idempotency                   one row an Idempotency-Key, for a day
           ──▶ JOBS_DEAD                        one message a job that failed for good, and why
           ──▶ KV library, LIBRARY              the reports that are kept, and those to be
           ──▶ KV webhooks, WEBHOOKS            the reports that are to be posted
           ──▶ KV tickets                       one row an announced conversion, for a day
           ──▶ KV signing                       what signs links, where no setting does
    its end ─▶ METRICS ──▶ KV stats             one message a call; what the hour's calls come to

Only fields that nats-server 2.9 knows stand here: an older server silently ignores what it does
not know, so `broker.declare` also reads back what it created.
"""

import hashlib
from datetime import timedelta
from typing import Final

import msgspec

from decibus.messages import TaskName


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """
    A work-queue stream with one message per subject, and the one durable consumer that drains it.

    One message per subject means: one job in flight per key. `max_msgs` is the cap on the backlog;
    beyond it, publishing is refused. `ack_wait` is how long a silent worker keeps a job, `lease`
    is a little shorter so that a redelivery finds the lease expired. `max_deliver` is only a net
    under the attempts that `jobs` counts: as many deliveries as fit into `max_age`.

    A queue may be split into partitions, each a `Queue` with a stream of its own, and with it a
    Raft group and a file. `most_partitions` 1 is for those that never are.
    """

    task: str
    stream: str
    consumer: str
    max_msgs: int
    root: str = "jobs."
    max_age: timedelta = timedelta(hours=1)
    ack_wait: timedelta = timedelta(seconds=6)
    max_deliver: int = 600
    max_ack_pending: int = 1000
    most_partitions: int = 64
    partition: str = ""

    def split(self, partitions: int) -> "tuple[Queue, ...]":
        """
        Return the queues that this one becomes, in the order of the keys that they are for.

        Their names tell how many there are, so that no two numbers have a subject in common. Each
        has the whole `max_msgs`.
        """
        count = min(partitions, self.most_partitions)
        return tuple(self._partition(number, count) for number in range(count))

    def at(self, key: str, partitions: int) -> "Queue":
        """Return the partition of a key: keys begin with a SHA-256, whose first byte decides."""
        count = min(partitions, self.most_partitions)
        return self if count == 1 else self._partition(int(key[:2], 16) * count // 256, count)

    def _partition(self, number: int, count: int) -> "Queue":
        if count == 1:
            return self
        return msgspec.structs.replace(
            self, stream=f"{self.stream}_{number}OF{count}", partition=f"-{number}of{count}"
        )

    @property
    def subjects(self) -> str:
        """What the stream captures."""
        return self.subject(">")

    @property
    def lease(self) -> timedelta:
        """How long a claim holds without a heartbeat."""
        return self.ack_wait * 0.9

    @property
    def heartbeat(self) -> timedelta:
        """How often a worker says that it goes on: three may be lost before the lease is."""
        return self.ack_wait * 0.27

    def subject(self, key: str) -> str:
        """Return where the job's task is published."""
        return f"{self.root}{self.task}{self.partition}.{key}"

    def key(self, subject: str) -> str:
        """Return whose task was published there."""
        return subject.removeprefix(self.subject(""))

    def dead_subject(self, key: str) -> str:
        """Return where it is told that the job failed for good."""
        return f"{DEAD_PREFIX}{self.task}.{key}"


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A durable consumer of a log: reads what matches `subjects`, at a pace of its own."""

    stream: str
    consumer: str
    subjects: str
    ack_wait: timedelta = timedelta(seconds=30)
    max_ack_pending: int = 1000


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """
    A stream of what has happened, kept for whoever asks; at a limit the oldest goes.

    A `Nats-Msg-Id` is known for `duplicate_window`.
    """

    stream: str
    subjects: tuple[str, ...]
    max_age: timedelta
    max_msgs: int
    max_bytes: int
    duplicate_window: timedelta
    readers: tuple[Reader, ...]


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """
    A stream to which one worker a job adds, in order and by compare-and-set.

    Each life of a job, which its epoch names, has a subject of its own.
    """

    stream: str
    root: str
    max_age: timedelta
    max_bytes: int

    @property
    def subjects(self) -> str:
        """What the stream captures."""
        return f"{self.root}>"

    def subject(self, key: str, epoch: int | None = None) -> str:
        """Return where it is written how far a job is; without an epoch, those of all its lives."""
        return f"{self.root}{key}.{'*' if epoch is None else epoch}"


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """
    A key-value bucket that keeps the last revision.

    `ttl` 0 is for ever; `events`: where changes are republished.
    """

    name: str
    ttl: timedelta
    max_bytes: int
    events: str | None = None

    @property
    def stream(self) -> str:
        """The stream under the bucket."""
        return f"KV_{self.name}"

    def subject(self, key: str) -> str:
        """Return where a key lives."""
        return f"$KV.{self.name}.{key}"


class ObjectStore(msgspec.Struct, frozen=True, kw_only=True):
    """
    An object store in the layout of NATS ADR-20, and the seals of what `decibus.blobs` puts there.

    A seal is a message of 500 bytes with the key of an object; erasing it erases the object. They
    have a stream of their own, and a small one, as nats-server 2.10 and newer rewrite the whole
    block around what they overwrite: a block is a quarter of a small stream.
    """

    name: str
    ttl: timedelta
    max_bytes: int
    max_seal_bytes: int = 16 << 20

    @property
    def stream(self) -> str:
        """The stream under the store."""
        return f"OBJ_{self.name}"

    @property
    def seals(self) -> str:
        """The stream of the seals."""
        return f"SEALS_{self.name}"

    @property
    def seal_subjects(self) -> str:
        """What that captures."""
        return f"seals.{self.name}.*"


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """
    How many requests each sender may make in any `window`, counted by one stream for all gateways.

    A request is a message on its sender's subject. The stream keeps `limit` of them a subject,
    refuses one more, and drops each when it is `window` old: a sliding window, atomic and shared.
    """

    stream: str = "RATE"
    limit: int
    window: timedelta
    max_bytes: int = 64 << 20

    @property
    def subjects(self) -> str:
        """What the stream captures."""
        return "rate.*"

    def subject(self, sender: str) -> str:
        """Return where a sender's requests are counted; who it is cannot be read from it."""
        return f"rate.{hashlib.sha256(sender.encode()).hexdigest()[:32]}"


GIB: Final = 1 << 30

PARTITIONS: Final = (1, 2, 4, 8, 16, 32, 64)
"""How many streams a queue of jobs may be."""
ANALYZE: Final = Queue(
    task=TaskName.ANALYZE, stream="JOBS_ANALYZE", consumer="analyzer", max_msgs=500
)
TRANSCRIBE: Final = Queue(
    task=TaskName.TRANSCRIBE, stream="JOBS_TRANSCRIBE", consumer="transcriber", max_msgs=200
)
TRANSCODE: Final = Queue(
    task=TaskName.TRANSCODE, stream="JOBS_TRANSCODE", consumer="transcoder", max_msgs=500
)
QUEUES: Final = {TaskName(queue.task): queue for queue in (ANALYZE, TRANSCRIBE, TRANSCODE)}

_ERRAND_AGE: Final = timedelta(hours=26)
WEBHOOKS: Final = Queue(
    task="webhooks",
    root="",
    stream="WEBHOOKS",
    consumer="webhooks",
    max_msgs=10_000,
    max_age=_ERRAND_AGE,
    ack_wait=timedelta(seconds=30),
    max_deliver=-1,
    max_ack_pending=10_000,
    most_partitions=1,
)
"""`webhooks.<row key>`: a report to post. Waiting between two attempts counts as ack pending."""
SHELVE: Final = msgspec.structs.replace(
    WEBHOOKS, task="library", stream="LIBRARY", consumer="library"
)
"""`library.<row key>`: a report to keep, as soon as it is final."""
CALLS: Final = msgspec.structs.replace(WEBHOOKS, task="calls", stream="CALLS", consumer="calls")
"""`calls.<row key>`: a call that has not ended yet, of a gateway that was told to stop."""
ERRANDS: Final = (WEBHOOKS, SHELVE, CALLS)
"""What gateways do for each other, once the jobs of an upload are settled."""

ANALYSES: Final = Bucket(
    name="analyses", ttl=timedelta(hours=1), max_bytes=GIB, events="audio.evt.>"
)
"""
Key `<sha256>.<task digest>`: the record of a job. Lives at least as long as its task may.

The stream's description is `partitions_text`: what all services agree on, and each may look up.
"""
REPORTS: Final = Bucket(name="reports", ttl=timedelta(minutes=17), max_bytes=GIB // 4)
"""
Two minutes longer than a token works: the gateways erase what has expired, the ttl only lets go.

Key `<sha256 of the token>`: what an upload asked for and the jobs that answer it. For each of the
jobs a row `by.<job key>.<sha256 of the token>` says which reports share it.
"""
LEADERS: Final = Bucket(name="leaders", ttl=timedelta(hours=1), max_bytes=GIB // 1024)
"""Key: a duty that one replica has; value: which."""
LIBRARY: Final = Bucket(name="library", ttl=timedelta(), max_bytes=2 * GIB)
"""The same rows for uploads that are kept until somebody deletes them, with their reports."""
HOOKS: Final = Bucket(name="webhooks", ttl=_ERRAND_AGE, max_bytes=GIB // 4)
"""Key as in `reports`: where a final report is posted, and how often that was tried."""
IDEMPOTENCY: Final = Bucket(name="idempotency", ttl=timedelta(hours=24), max_bytes=GIB // 16)
"""Key `<sha256 of the sender and its Idempotency-Key>`: which reports that request has led to."""
STATS: Final = Bucket(name="stats", ttl=timedelta(days=31), max_bytes=GIB // 16)
"""Key: an hour, `2026-11-21T19`; value: what its calls came to, 50 kB at most."""
TICKETS: Final = Bucket(name="tickets", ttl=timedelta(hours=24), max_bytes=GIB // 16)
"""Key `<hash of the sender>.<id>`: a conversion that was announced, and what was sent for it."""
SIGNING: Final = Bucket(name="signing", ttl=timedelta(), max_bytes=GIB // 1024)
"""Key `key`: the key that links are signed with when no gateway was given any."""
BUCKETS: Final = (
    ANALYSES,
    REPORTS,
    LEADERS,
    LIBRARY,
    HOOKS,
    IDEMPOTENCY,
    STATS,
    TICKETS,
    SIGNING,
)

AUDIO: Final = ObjectStore(name="audio", ttl=timedelta(hours=1), max_bytes=4 * GIB)
"""Uploads, from the door until their last task has ended."""
OUTPUTS: Final = ObjectStore(name="outputs", ttl=timedelta(hours=1), max_bytes=GIB)
"""Converted files, from the end of their job until they were fetched."""
STORES: Final = (AUDIO, OUTPUTS)
UPLOAD_PREFIX: Final = "upload-"
"""How the names of our own objects begin; any other is a sender's, and left to `max_age`."""
SOURCE_PREFIX: Final = "source-"
"""Ditto, of what was sent for a ticket: it may wait for its start until `max_age`."""
OUTPUT_PREFIX: Final = "output-"
"""Ditto, of what a worker has made."""

CHECKPOINTS: Final = Journal(
    stream="CHECKPOINTS",
    root="checkpoints.",
    # As long as three times the longest audio takes; what it holds is erased with the job's end.
    max_age=timedelta(hours=6),
    max_bytes=GIB // 8,
)
"""`checkpoints.<job key>.<epoch>`: the parts of a job that are done, until the job is."""
JOURNALS: Final = (CHECKPOINTS,)

DEAD_PREFIX: Final = "jobs.dead."
_ADVISORY: Final = "$JS.EVENT.ADVISORY.CONSUMER."
DEAD_POINTS: Final = "metrics.dead"
"""Lines that InfluxDB refuses, beside the jobs that failed for good."""
REAPER: Final = Reader(
    stream="JOBS_DEAD", consumer="reaper", subjects=f"{_ADVISORY}MAX_DELIVERIES.>"
)
DEAD: Final = Log(
    stream=REAPER.stream,
    subjects=(
        f"{DEAD_PREFIX}>",
        DEAD_POINTS,
        f"{_ADVISORY}MAX_DELIVERIES.>",
        f"{_ADVISORY}MSG_TERMINATED.>",
    ),
    max_age=timedelta(days=7),
    max_msgs=10_000,
    max_bytes=GIB // 16,
    # As long as a task may be redelivered: its dead letter is written once.
    duplicate_window=timedelta(hours=1),
    readers=(REAPER,),
)
"""Why jobs failed for good, and what JetStream gave up or was told to."""

POINTS_PREFIX: Final = "metrics.call."
INFLUX: Final = Reader(
    stream="METRICS",
    consumer="influx",
    subjects=f"{POINTS_PREFIX}>",
    ack_wait=timedelta(seconds=60),
    max_ack_pending=20_000,
)
"""Behind by as long as InfluxDB has been away, or has not been configured."""
SKETCH: Final = Reader(
    stream=INFLUX.stream,
    consumer="sketch",
    subjects=INFLUX.subjects,
    ack_wait=timedelta(seconds=10),
    max_ack_pending=20_000,
)
METRICS: Final = Log(
    stream=INFLUX.stream,
    subjects=(INFLUX.subjects,),
    max_age=timedelta(days=7),
    max_msgs=-1,
    max_bytes=GIB // 4,
    duplicate_window=timedelta(minutes=5),
    readers=(INFLUX, SKETCH),
)
"""`metrics.call.<door>`: the points of one call each, in InfluxDB's line protocol."""
LOGS: Final = (DEAD, METRICS)

EVENTS_PREFIX: Final = "audio.evt."
"""Every change of a job's record, `audio.evt.<key>`; its JetStream sequence is the revision."""
PROCESS: Final = "audio.process"
"""Request-reply, the NATS door. In no stream: else the requester would get the stream's ack."""
STATS_ASKED: Final = "audio.stats"
"""Request-reply: what `GET /stats` answers."""
GATEWAYS: Final = "gateway"
"""The queue group that shares the requests."""
RECORDER: Final = "recorder"
"""The queue group, and the micro service, of those who write down the calls."""
INFLUX_ASKED: Final = "metrics.ask"
"""Request-reply: a gateway asks a recorder what InfluxDB says."""


_PARTITIONS_TEXT: Final = "PARTITIONS="


def partitions_text(partitions: int) -> str:
    """Say into how many partitions the queues of jobs are split."""
    return f"{_PARTITIONS_TEXT}{partitions}"


def partitions_in(text: str | None) -> int:
    """Read `partitions_text`; where it says nothing, there is one."""
    number = (text or "").removeprefix(_PARTITIONS_TEXT)
    return int(number) if number.isdecimal() else 1


def table() -> str:
    """Return the topology as text, one asset a line."""
    rows = [
        (queue.stream, queue.subjects, f"consumer {queue.consumer}, at most {queue.max_msgs}")
        for queue in (*QUEUES.values(), *ERRANDS)
    ]
    rows += [
        (
            bucket.stream,
            bucket.subject(">"),
            f"ttl {bucket.ttl or 'none'}"
            + (f", republished to {bucket.events}" if bucket.events else ""),
        )
        for bucket in BUCKETS
    ]
    for store in STORES:
        rows.append((store.stream, f"$O.{store.name}.>", f"ttl {store.ttl}"))
        rows.append((store.seals, store.seal_subjects, f"ttl {store.ttl}"))
    rows += [
        (journal.stream, journal.subjects, f"for {journal.max_age}, or until its job has ended")
        for journal in JOURNALS
    ]
    rows += [(log.stream, ", ".join(log.subjects), f"for {log.max_age}") for log in LOGS]
    rows += [("RATE", "rate.*", "as the gateway's settings say, in memory")]
    rows += [("(no stream)", PROCESS, f"queue group {GATEWAYS}")]
    rows += [("(no stream)", STATS_ASKED, f"queue group {GATEWAYS}")]
    rows += [("(no stream)", INFLUX_ASKED, f"queue group {RECORDER}")]
    return "\n".join(f"{name:<16}  {subject:<20}  {note}" for name, subject, note in rows)


if __name__ == "__main__":
    print(table())  # noqa: T201 - this is what the command is for
