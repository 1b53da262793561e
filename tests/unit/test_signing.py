"""A signed link does what it was signed for, and nothing else."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from decibus.errors import Forbidden
from services.gateway.signing import Signer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIGNER = Signer((b"k" * 32,))
PATH = "/jobs/6f/source"
LINK = SIGNER.link("PUT", PATH, now=NOW, lifetime=HOUR, limit=1000)


def check(link: str, *, method: str = "PUT", now: datetime = NOW, signer: Signer = SIGNER) -> int:
    parts = urlsplit(link)
    query = parse_qs(parts.query, keep_blank_values=True)
    return signer.check(method, parts.path, query, now=now).limit


def refused(link: str, **more: object) -> str:
    with pytest.raises(Forbidden) as raised:
        check(link, **more)  # type: ignore[arg-type]
    return str(raised.value)


def test_a_link_works_until_it_expires() -> None:
    assert check(LINK) == 1000
    assert check(LINK, now=NOW + HOUR - timedelta(seconds=1)) == 1000
    refused(LINK, now=NOW + HOUR)


def test_no_bit_of_the_signature_may_be_flipped() -> None:
    link, _, signature = LINK.partition("&signature=")

    for bit in range(256):
        flipped = f"{int(signature, 16) ^ (1 << bit):064x}"
        refused(f"{link}&signature={flipped}")


def test_no_bit_of_the_rest_may_be_flipped_either() -> None:
    for place, letter in enumerate(LINK):
        for bit in range(7):
            other = LINK[:place] + chr(ord(letter) ^ (1 << bit)) + LINK[place + 1 :]
            if urlsplit(other).query and check_or_none(other) is not None:
                # Only what a URL parser takes for the same link may work.
                assert parse_qs(urlsplit(other).query) == parse_qs(urlsplit(LINK).query)
                assert urlsplit(other).path == PATH


def check_or_none(link: str) -> int | None:
    try:
        return check(link)
    except Forbidden:
        return None


@pytest.mark.parametrize(
    "link",
    [
        PATH,
        f"{PATH}?expires=99999999999&limit=1000",
        LINK + "&limit=9",
        LINK + "&more=1",
        LINK.replace("limit=1000", "limit=1001"),
        LINK.replace("limit=1000", "limit=01000x"),
        LINK.replace("limit=1000", "limit=\u0661"),
        LINK.replace("/6f/", "/70/"),
        LINK.upper(),
    ],
)
def test_what_was_not_signed_is_refused(link: str) -> None:
    refused(link)


def test_every_refusal_says_the_same() -> None:
    said = {
        refused(LINK, method="GET"),
        refused(LINK, now=NOW + HOUR),
        refused(LINK, signer=Signer((b"x" * 32,))),
        refused(LINK[:-1] + "0" if LINK[-1] != "0" else LINK[:-1] + "1"),
        refused(PATH),
    }

    assert len(said) == 1


def test_a_new_key_may_replace_an_old_one_without_a_gap() -> None:
    both = Signer((b"n" * 32, b"k" * 32))

    assert check(LINK, signer=both) == 1000
    new = both.link("PUT", PATH, now=NOW, lifetime=HOUR)
    assert check(new, signer=Signer((b"n" * 32,))) == 0
