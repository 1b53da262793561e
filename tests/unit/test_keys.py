"""API keys: the file's format, which key is whose, and the command that makes one."""

from pathlib import Path

import pytest

from decibus.errors import Unauthorized
from decibus.settings import SettingsError
from services.gateway.keys import BadKeys, Keyring, digest, main, owner, read_keys, shown

ALICE, BOB = "a" * 40, "b" * 40
LINES = [f"alice:{digest(ALICE).hex()}", "", "  # the second one", f"bob:{digest(BOB).hex()} # b"]


def test_blank_lines_and_comments_are_not_keys() -> None:
    keys = read_keys(LINES)

    assert [name for name, _ in keys] == ["alice", "bob"]


def test_each_key_is_its_owners_and_no_other_is_anybodys() -> None:
    keys = read_keys(LINES)

    assert owner(keys, ALICE) == "alice"
    assert owner(keys, BOB) == "bob"
    assert owner(keys, ALICE[:-1]) is None
    assert owner(keys, "") is None
    assert owner(keys, "\udcff☃") is None
    assert owner((), ALICE) is None


def test_two_keys_may_have_one_name_while_one_replaces_the_other() -> None:
    keys = read_keys([f"alice:{digest(key).hex()}" for key in (ALICE, BOB)])

    assert owner(keys, ALICE) == owner(keys, BOB) == "alice"


@pytest.mark.parametrize("line", ["alice", f"alice:{ALICE}", f"a b:{'0' * 64}", f":{'0' * 64}"])
def test_a_wrong_line_is_told_by_its_number_alone(line: str) -> None:
    with pytest.raises(BadKeys, match="entry 2 ") as raised:
        read_keys([LINES[0], line])

    assert line not in str(raised.value)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"x-api-key": "k"}, "k"),
        ({"api-key": "k"}, "k"),
        ({"authorization": "Basic k"}, None),
        ({"authorization": "Bearer"}, None),
        ({"x-api-key": ""}, None),
        ({}, None),
    ],
)
def test_a_key_is_shown_in_one_of_three_headers(headers: dict[str, str], key: str | None) -> None:
    assert shown(headers) == key


def test_without_keys_everybody_may_ask() -> None:
    ring = Keyring.load(api_keys="", api_keys_file="")

    assert ring.is_open
    assert ring.name_of(None) is None
    assert ring.name_of("anything") is None


def test_with_keys_nobody_else_may_ask(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\n".join(LINES[1:]))

    ring = Keyring.load(api_keys=LINES[0], api_keys_file=str(tmp_path / "keys"))

    assert (ring.name_of(ALICE), ring.name_of(BOB)) == ("alice", "bob")
    for key in (None, "", "c" * 40):
        with pytest.raises(Unauthorized):
            ring.name_of(key)


@pytest.mark.parametrize("content", [None, b"", b"# none yet\n", b"\xff", b"alice:secret\n"])
def test_a_file_that_cannot_be_used_at_start_does_not_open_the_door(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)

    with pytest.raises(SettingsError, match="API_KEYS_FILE") as raised:
        Keyring.load(api_keys="", api_keys_file=str(tmp_path / "keys"))

    assert "secret" not in str(raised.value)


def test_the_command_makes_a_key_that_its_line_lets_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "alice"]) == 0

    key, line = (told.split(": ")[1].strip() for told in capsys.readouterr().out.splitlines())
    assert len(key) >= 43, "32 random bytes"
    assert owner(read_keys([line]), key) == "alice"


@pytest.mark.parametrize("arguments", [[], ["new"], ["new", "a:b"], ["old", "alice"]])
def test_the_command_says_how_it_is_used(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    assert "new NAME" in capsys.readouterr().err
