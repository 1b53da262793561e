"""Trace context: continued where it can be read, begun where it cannot."""

import pytest

from decibus.telemetry import trace_id, traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_trace_is_continued_with_a_span_of_our_own() -> None:
    sent = f"00-{TRACE}-00f067aa0ba902b7-01"

    ours = traceparent(trace_id(sent))

    assert trace_id(ours) == TRACE
    assert ours != sent


@pytest.mark.parametrize(
    "sent",
    [None, "", "rubbish", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01"],
)
def test_what_cannot_be_read_begins_a_new_trace(sent: str | None) -> None:
    assert trace_id(sent) != trace_id(sent)
    assert len(trace_id(sent)) == 32
