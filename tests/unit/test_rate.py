"""What a sender is told about its share, and who one sender is."""

from datetime import UTC, datetime, timedelta

import pytest

from decibus.topology import Quota
from services.gateway.rate import Standing, headers, network_of, seconds_until, standing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUOTA = Quota(limit=600, window=timedelta(seconds=60))


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def test_there_is_more_when_the_oldest_request_counts_no_more() -> None:
    stands = standing(QUOTA, 600, NOW - seconds(59.5), now=NOW)

    assert stands == Standing(0, NOW + seconds(0.5))
    assert seconds_until(stands.more_at, now=NOW) == 1


def test_a_server_with_another_clock_does_not_make_anybody_wait_longer() -> None:
    stands = standing(QUOTA, 600, NOW + seconds(3600), now=NOW)

    assert seconds_until(stands.more_at, now=NOW) == 60
    assert seconds_until(NOW - seconds(3600), now=NOW) == 1


def test_every_answer_tells_the_policy_and_what_is_left() -> None:
    told = headers(QUOTA, Standing(599, NOW + seconds(60)), now=NOW)

    assert told == {"RateLimit-Policy": '"default";q=600;w=60', "RateLimit": '"default";r=599;t=60'}


def test_who_has_not_asked_lately_has_all_of_its_share() -> None:
    full = '"default";r=600;t=60'

    assert headers(QUOTA, None, now=NOW)["RateLimit"] == full
    assert headers(QUOTA, Standing(0, NOW), now=NOW)["RateLimit"] == full


@pytest.mark.parametrize(
    ("host", "sender"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("unix socket", "unix socket"),
    ],
)
def test_one_sender_is_an_address_or_a_network_of_ipv6(host: str, sender: str) -> None:
    assert network_of(host) == sender


def test_a_subject_does_not_say_who_the_sender_is() -> None:
    assert QUOTA.subject("address 192.0.2.7").startswith("rate.")
    assert "192" not in QUOTA.subject("address 192.0.2.7")[:8]
    assert QUOTA.subject("key a b.*>").count(".") == 1
