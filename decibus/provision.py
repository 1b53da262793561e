"""
What `topology` names, made and kept on the server.

Old servers silently ignore fields that they do not know, so that everything is read back.
"""

from collections.abc import Iterable
from typing import Final

import nats.js.errors
from nats.js import JetStreamContext, api

from decibus.errors import DecibusError
from decibus.topology import (
    ANALYSES,
    BUCKETS,
    JOURNALS,
    LOGS,
    STORES,
    Bucket,
    Journal,
    Log,
    ObjectStore,
    Queue,
    Quota,
    Reader,
    partitions_in,
    partitions_text,
)

# Room for revisions that a writer did not live to erase, until the record itself is erased.
_HISTORY: Final = 8


class Mismatch(DecibusError):
    """The server's stream or consumer is not the declared one, and cannot be made so."""


async def partitions_of(js: JetStreamContext) -> int | None:
    """Return into how many partitions the queues on this server are split; None without any."""
    try:
        return partitions_in((await js.stream_info(ANALYSES.stream)).config.description)
    except nats.js.errors.NotFoundError:
        return None


def agree(ours: int, theirs: int | None) -> None:
    """Raise `Mismatch` where the queues on the server are split into another number than here."""
    if theirs not in {None, ours}:
        raise Mismatch(
            f"PARTITIONS is {ours} here, and {theirs} for the jobs on this server: give every"
            " service the same number, or change the server's with python -m decibus.bootstrap"
        )


async def declare(
    js: JetStreamContext,
    *,
    replicas: int,
    queues: Iterable[Queue],
    partitions: int = 1,
    repartition: bool = False,
) -> None:
    """
    Create what is missing, change what differs; `Mismatch` where that cannot be.

    With `repartition` the number of partitions may differ, too.
    """
    records = _bucket_stream(ANALYSES)
    records.description = partitions_text(partitions)
    if not repartition:
        theirs = await partitions_of(js)
        agree(partitions, theirs)
        if theirs is None:
            # Said first of all, and by a request that changes nothing: of two who begin on an empty
            # server with different numbers, one is refused, and finds the other's next time.
            await js.add_stream(_kept(records, replicas))
    await _declare_stream(js, records, replicas)
    for part in (part for queue in queues for part in queue.split(partitions)):
        await _declare_stream(js, _queue_stream(part), replicas)
        await _declare_consumer(js, part.stream, _queue_consumer(part))
    for kept in LOGS:
        await _declare_stream(js, _log_stream(kept), replicas)
        for reader in kept.readers:
            await _declare_consumer(js, reader.stream, _log_consumer(reader))
    for journal in JOURNALS:
        await _declare_stream(js, _journal_stream(journal), replicas)
    for bucket in BUCKETS:
        if bucket is not ANALYSES:
            await _declare_stream(js, _bucket_stream(bucket), replicas)
    for store in STORES:
        await _declare_stream(js, _object_stream(store), replicas)
        await _declare_stream(js, _seal_stream(store), replicas)


async def declare_quota(js: JetStreamContext, quota: Quota, *, replicas: int) -> None:
    """Create the stream that counts requests, or bring it to these limits."""
    await _declare_stream(js, _quota_stream(quota), replicas)


def _kept(wanted: api.StreamConfig, replicas: int) -> api.StreamConfig:
    wanted.num_replicas = replicas
    wanted.storage = wanted.storage or api.StorageType.FILE
    return wanted


async def _declare_stream(js: JetStreamContext, wanted: api.StreamConfig, replicas: int) -> None:
    _kept(wanted, replicas)
    try:
        found = (await js.stream_info(str(wanted.name))).config
    except nats.js.errors.NotFoundError:
        found = (await js.add_stream(wanted)).config
    if drift := _drift(wanted, found):
        try:
            found = (await js.update_stream(wanted)).config
        except nats.js.errors.APIError as error:
            raise Mismatch(f"stream {wanted.name} has {', '.join(drift)}") from error
    if drift := _drift(wanted, found):
        raise Mismatch(f"stream {wanted.name} has {', '.join(drift)}")


async def _declare_consumer(js: JetStreamContext, stream: str, wanted: api.ConsumerConfig) -> None:
    # Asked for first: who may only look is content with what is there.
    try:
        found = (await js.consumer_info(stream, str(wanted.durable_name))).config
    except nats.js.errors.NotFoundError:
        found = (await js.add_consumer(stream, wanted)).config
    if _drift(wanted, found):
        found = (await js.add_consumer(stream, wanted)).config
    if drift := _drift(wanted, found):
        raise Mismatch(f"consumer {wanted.durable_name} has {', '.join(drift)}")


def _drift(wanted: api.Base, found: api.Base) -> list[str]:
    """Name the fields in which the server has not what was asked for."""
    asked = {field: value for field, value in vars(wanted).items() if value is not None}
    return [
        f"{field} {getattr(found, field)!r} instead of {value!r}"
        for field, value in asked.items()
        if getattr(found, field) != value
    ]


def _queue_stream(queue: Queue) -> api.StreamConfig:
    return api.StreamConfig(
        name=queue.stream,
        subjects=[queue.subjects],
        retention=api.RetentionPolicy.WORK_QUEUE,
        discard=api.DiscardPolicy.NEW,
        discard_new_per_subject=True,
        max_msgs_per_subject=1,
        max_msgs=queue.max_msgs,
        max_age=queue.max_age.total_seconds(),
        duplicate_window=120.0,
    )


def _queue_consumer(queue: Queue) -> api.ConsumerConfig:
    return api.ConsumerConfig(
        durable_name=queue.consumer,
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=queue.ack_wait.total_seconds(),
        max_deliver=queue.max_deliver,
        max_ack_pending=queue.max_ack_pending,
    )


def _log_stream(log: Log) -> api.StreamConfig:
    return api.StreamConfig(
        name=log.stream,
        subjects=list(log.subjects),
        discard=api.DiscardPolicy.OLD,
        max_age=log.max_age.total_seconds(),
        max_msgs=log.max_msgs,
        max_bytes=log.max_bytes,
        duplicate_window=log.duplicate_window.total_seconds(),
    )


def _journal_stream(journal: Journal) -> api.StreamConfig:
    return api.StreamConfig(
        name=journal.stream,
        subjects=[journal.subjects],
        discard=api.DiscardPolicy.NEW,
        max_age=journal.max_age.total_seconds(),
        max_bytes=journal.max_bytes,
        duplicate_window=120.0,
    )


def _log_consumer(reader: Reader) -> api.ConsumerConfig:
    return api.ConsumerConfig(
        durable_name=reader.consumer,
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=reader.ack_wait.total_seconds(),
        max_ack_pending=reader.max_ack_pending,
        filter_subject=reader.subjects,
    )


def _bucket_stream(bucket: Bucket) -> api.StreamConfig:
    return api.StreamConfig(
        name=bucket.stream,
        subjects=[bucket.subject(">")],
        discard=api.DiscardPolicy.NEW,
        max_msgs_per_subject=_HISTORY,
        max_age=bucket.ttl.total_seconds(),
        max_bytes=bucket.max_bytes,
        allow_rollup_hdrs=True,
        # From the leader only: a compare-and-set must not be based on a follower's old value.
        allow_direct=False,
        duplicate_window=120.0,
        republish=api.RePublish(src=bucket.subject(">"), dest=bucket.events)
        if bucket.events
        else None,
    )


def _quota_stream(quota: Quota) -> api.StreamConfig:
    return api.StreamConfig(
        name=quota.stream,
        subjects=[quota.subjects],
        # A restart of the server forgives what had been counted; a fsync a request would cost more.
        storage=api.StorageType.MEMORY,
        discard=api.DiscardPolicy.NEW,
        discard_new_per_subject=True,
        max_msgs_per_subject=quota.limit,
        max_age=quota.window.total_seconds(),
        max_bytes=quota.max_bytes,
        duplicate_window=min(120.0, quota.window.total_seconds()),
    )


def _object_stream(store: ObjectStore) -> api.StreamConfig:
    return api.StreamConfig(
        name=store.stream,
        subjects=[f"$O.{store.name}.C.>", f"$O.{store.name}.M.>"],
        discard=api.DiscardPolicy.NEW,
        max_age=store.ttl.total_seconds(),
        max_bytes=store.max_bytes,
        allow_rollup_hdrs=True,
        allow_direct=True,  # for chunks, which never change
        duplicate_window=120.0,
    )


def _seal_stream(store: ObjectStore) -> api.StreamConfig:
    return api.StreamConfig(
        name=store.seals,
        subjects=[store.seal_subjects],
        discard=api.DiscardPolicy.NEW,
        max_age=store.ttl.total_seconds(),
        max_bytes=store.max_seal_bytes,
        allow_direct=False,  # from the leader only: what was erased is gone
        duplicate_window=120.0,
    )
