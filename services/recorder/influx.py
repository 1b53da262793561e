"""InfluxDB over HTTP: written to, set up, and asked. Alone knows influxdb-client; blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import structlog
import urllib3.exceptions
from influxdb_client import (
    BucketRetentionRules,
    InfluxDBClient,
    TaskCreateRequest,
    TaskUpdateRequest,
    WritePrecision,
)
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from decibus.errors import DecibusError, Unavailable
from services.recorder import flux
from services.recorder.settings import Settings

log = structlog.get_logger()

_WRITTEN: Final = 204
_LINES_ARE_WRONG: Final = (400, 413, 422)
_TOO_MANY: Final = 429
_NO_BUCKET: Final = 404
_KEPT_HOURLY: Final = timedelta(days=400)
_MAX_WORDS: Final = 300


class LinesRefused(DecibusError):
    """One of the lines, or all of them together, is not what InfluxDB takes."""


class Away(Unavailable):
    """InfluxDB does not take anything now; `retry_after` is when it said that it would."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Influx:
    """One InfluxDB 2; of any other that takes line protocol at `/api/v2/write`, `write` works."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = InfluxDBClient(
            url=settings.influxdb_url,
            token=settings.influxdb_token,
            org=settings.influxdb_org,
            timeout=int(settings.influxdb_timeout_s * 1000),
            enable_gzip=True,
        )
        self._writing = WriteService(self._client.api_client)
        self._is_set_up = False

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def write(self, lines: bytes) -> None:
        """Write lines, all of them; raises `LinesRefused` or `Away`."""
        with _translated():
            if not self._is_set_up:
                self._set_up()
                self._is_set_up = True
            status = self._post(lines)
        if status != _WRITTEN:  # some proxy's page
            raise Away(f"InfluxDB: answered {status} instead of {_WRITTEN}")

    def _post(self, lines: bytes) -> int:
        settings = self._settings
        try:
            _, status, _ = self._writing.post_write_with_http_info(
                settings.influxdb_org,
                settings.influxdb_bucket,
                lines,
                precision=WritePrecision.NS,
                _return_http_data_only=False,
            )
        except ApiException as error:
            if error.status == _NO_BUCKET:
                self._is_set_up = False
            raise
        return int(status)

    def ask(self, question: str) -> list[dict[str, Any]]:
        """Ask in Flux; returns the rows, each with the `result` that it belongs to."""
        with _translated():
            tables = self._client.query_api().query(question)
        return [record.values for table in tables for record in table.records]

    def _set_up(self) -> None:
        """Create what is missing: the bucket, the one for the hours, and the task between them."""
        settings = self._settings
        hourly = f"{settings.influxdb_bucket}_1h"
        try:
            org_id = self._keep(settings.influxdb_bucket, timedelta(days=settings.influxdb_days))
            self._keep(hourly, _KEPT_HOURLY)
            self._schedule(flux.hourly(settings.influxdb_bucket, hourly), org_id)
        except InfluxDBError as error:
            status = error.status if isinstance(error, ApiException) else None
            if status is not None and not 400 <= status < _TOO_MANY:  # noqa: PLR2004 - HTTP
                raise
            # No InfluxDB 2, or a token that may only write: then somebody else has set it up.
            log.warning("influxdb_not_set_up", status=status, reason=_words(error.message))

    def _keep(self, name: str, age: timedelta) -> str:
        """Have a bucket that forgets what is older; returns whose it is."""
        buckets = self._client.buckets_api()
        rule = BucketRetentionRules(type="expire", every_seconds=int(age.total_seconds()))
        found = buckets.find_bucket_by_name(name)
        if found is None:
            found = buckets.create_bucket(bucket_name=name, retention_rules=[rule])
            log.info("influxdb_bucket_created", bucket=name, days=age.days)
        elif [each.every_seconds for each in found.retention_rules] != [rule.every_seconds]:
            found.retention_rules = [rule]
            buckets.update_bucket(bucket=found)
        return str(found.org_id)

    def _schedule(self, script: str, org_id: str) -> None:
        tasks = self._client.tasks_api()
        found = tasks.find_tasks(name=flux.TASK_NAME)
        if not found:
            request = TaskCreateRequest(flux=script, org_id=org_id, status="active")
            tasks.create_task(task_create_request=request)
        elif found[0].flux != script:
            tasks.update_task_request(found[0].id, TaskUpdateRequest(flux=script))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        words = f"InfluxDB: {error.status} {_words(error.body)}"
        if error.status in _LINES_ARE_WRONG:
            raise LinesRefused(words) from error
        raise Away(words, _retry_after(error)) from error
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise Away(f"InfluxDB: {type(error).__name__}") from error


def _retry_after(error: ApiException) -> timedelta | None:
    text = str((error.headers or {}).get("Retry-After", ""))
    return timedelta(seconds=int(text)) if text.isdecimal() else None


def _words(body: bytes | str | None) -> str:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    return " ".join(text.split())[:_MAX_WORDS]
