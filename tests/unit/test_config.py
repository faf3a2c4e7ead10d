"""Configuration: what overrides what, and one line that says what to do for every mistake."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import ConfigurationError
from railgun.limits import CONFIGURATION_BYTES_MAX, LINKS_MAX
from railgun.runtime.config import (
    Configuration,
    LogFormat,
    LogLevel,
    check_configuration,
    environment_name,
    load_configuration,
    setting_names,
)
from railgun.types import Address, NodeKey, RelayContact, Role
from railgun.wire.contacts import format_contact

CONTACT = RelayContact(NodeKey(b"k" * 32), (Address("192.0.2.1", 9000),), b"c" * 32)
CONTACT_TEXT = format_contact(CONTACT)
HOME = {"HOME": "/home/ada"}


def write(directory: Path, text: str) -> Path:
    path = directory / "railgun.toml"
    path.write_text(text)
    return path


def refusal(path: Path | None, environ: dict[str, str] | None = None, **overrides: object) -> str:
    flags = {key.replace("__", "."): value for key, value in overrides.items()}
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path, HOME | (environ or {}), flags)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_defaults() -> None:
    configuration = load_configuration(None, HOME)
    assert configuration.profile.directory == Path("/home/ada/.local/share/railgun")
    assert configuration.profile.key_file is None
    assert configuration.network.file is None
    assert (configuration.network.bootstrap, configuration.network.stun, configuration.network.turn) == ((), (), ())
    assert (configuration.node.host, configuration.node.port) == ("0.0.0.0", 9000)
    assert configuration.node.roles == Role.RELAY
    assert configuration.node.links_max == LINKS_MAX
    assert configuration.log.level is LogLevel.INFO
    assert configuration.log.format is LogFormat.TEXT


def test_a_whole_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""
        [profile]
        directory = "state"
        key_file = "~/key"
        [network]
        file = "/etc/railgun/network.toml"
        bootstrap = ["{CONTACT_TEXT}"]
        stun = ["192.0.2.1:3478", "[2001:db8::1]:3478"]
        turn = ["192.0.2.2:5349"]
        [node]
        host = "::"
        port = 9001
        roles = ["relay", "fallback"]
        name = "north"
        links_max = 7
        [log]
        level = "debug"
        format = "json"
        """,
    )
    configuration = load_configuration(path, HOME)
    assert configuration.profile.directory == tmp_path / "state"
    assert configuration.profile.key_file == Path("/home/ada/key")
    assert configuration.network.file == Path("/etc/railgun/network.toml")
    assert configuration.network.bootstrap == (CONTACT,)
    assert configuration.network.stun == (Address("192.0.2.1", 3478), Address("2001:db8::1", 3478))
    assert configuration.network.turn == (Address("192.0.2.2", 5349),)
    assert configuration.node.host == "::"
    assert configuration.node.roles == Role.RELAY | Role.FALLBACK
    assert (configuration.node.port, configuration.node.name, configuration.node.links_max) == (9001, "north", 7)
    assert (configuration.log.level, configuration.log.format) == (LogLevel.DEBUG, LogFormat.JSON)


def test_environment_beats_file_and_flags_beat_both(tmp_path: Path) -> None:
    path = write(tmp_path, '[node]\nport = 1\nname = "file"\nhost = "192.0.2.1"')
    environ = HOME | {"RAILGUN_NODE_PORT": "2", "RAILGUN_NODE_NAME": "environment"}
    node = load_configuration(path, environ, {"node.port": 3, "node.host": None}).node
    assert (node.port, node.name, node.host) == (3, "environment", "192.0.2.1")


def test_lists_in_the_environment_have_commas() -> None:
    environ = HOME | {"RAILGUN_NODE_ROLES": "relay, fallback", "RAILGUN_NETWORK_BOOTSTRAP": CONTACT_TEXT}
    configuration = load_configuration(None, environ)
    assert configuration.node.roles == Role.RELAY | Role.FALLBACK
    assert configuration.network.bootstrap == (CONTACT,)


def test_members_listen_where_the_network_says_so_or_they_do() -> None:
    assert load_configuration(None, HOME).member.listen is None
    assert load_configuration(None, HOME | {"RAILGUN_MEMBER_LISTEN": "false"}).member.listen is False
    assert load_configuration(None, HOME, {"member.listen": True}).member.listen is True
    assert load_configuration(None, HOME | {"RAILGUN_MEMBER_LISTEN": "true"}, {"member.listen": None}).member.listen


def test_data_home_is_honoured() -> None:
    environ = {"HOME": "/home/ada", "XDG_DATA_HOME": "/data"}
    assert load_configuration(None, environ).profile.directory == Path("/data/railgun")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[node]\nprot = 1", ["railgun.toml", "node.prot", "did you mean node.port?"]),
        ("[nod]\nport = 1", ["railgun.toml", "[nod]", "did you mean node?"]),
        ("[zzz]", ["known are profile, network, rendezvous, node, member, files, log"]),
        ('[rendezvous]\nservers = ["https://a.example"]', ["rendezvous.servers", "wss://HOST or ws://HOST"]),
        ("[rendezvous]\nservers = " + str([f"wss://{n}" for n in range(5)]), ["expected at most 4 servers"]),
        ("node = 1", ["write [node] on a line of its own"]),
        ("[node]\nport = 65536", ["node.port", "from 0 to 65535"]),
        ('[member]\nlisten = "perhaps"', ["member.listen", "true or false"]),
        ("[member]\nlisten = 1", ["member.listen", "true or false"]),
        ("[node]\nport = true", ["node.port", "whole number"]),
        ("[node]\nport = 1.5", ["node.port", "whole number"]),
        ('[node]\nport = "99999999999999999999"', ["node.port", "whole number"]),
        ("[node]\nlinks_max = 0", ["node.links_max", f"from 1 to {LINKS_MAX}"]),
        ('[node]\nhost = "example.org"', ["node.host", "IP address"]),
        ("[node]\nhost = 1", ["node.host", "IP address"]),
        ('[node]\nroles = ["relais"]', ["node.roles", "relay, fallback"]),
        ("[node]\nroles = [1]", ["node.roles", "list of texts"]),
        ('[node]\nname = "a\\u0007"', ["node.name", "printable"]),
        ('[log]\nlevel = "loud"', ["log.level", "debug, info, warning, error"]),
        ("[log]\nformat = 1", ["log.format", "text, json"]),
        ('[network]\nbootstrap = ["railgun-relay:x@y"]', ["network.bootstrap", "railgun node"]),
        (f"[network]\nbootstrap = {['x'] * 65}", ["network.bootstrap", "at most 64"]),
        ('[profile]\ndirectory = ""', ["profile.directory", "expected a path"]),
        ("[node\n", ["railgun.toml", "not valid TOML", "line 1"]),
    ],
)
def test_a_mistake_in_the_file_is_explained_in_one_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    message = refusal(write(tmp_path, text))
    assert all(part in message for part in parts), message


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert "leave --config out" in refusal(tmp_path / "absent.toml")
    assert "leave --config out" in refusal(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert "not valid TOML" in refusal(binary)
    big = tmp_path / "big"
    big.write_bytes(b"#" * (CONFIGURATION_BYTES_MAX + 1))
    assert "no configuration" in refusal(big)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("RAILGUN_NODE_PROT", "RAILGUN_NODE_PORT"),
        ("RAILGUN_NOED_PORT", "RAILGUN_NODE_PORT"),
        ("RAILGUN_LOG_LEVLE", "RAILGUN_LOG_LEVEL"),
    ],
)
def test_a_mistyped_variable_is_named(variable: str, meant: str) -> None:
    message = refusal(None, {variable: "1"})
    assert variable in message
    assert f"did you mean {meant}?" in message


def test_other_programs_variables_are_left_alone() -> None:
    others = {"RAILGUN_PASSPHRASE": "x", "RAILGUN": "y", "PORT": "1"}
    assert load_configuration(None, HOME | others) == load_configuration(None, HOME)


def test_a_wrong_variable_value_names_the_variable() -> None:
    assert "RAILGUN_NODE_PORT: node.port: expected a whole number" in refusal(None, {"RAILGUN_NODE_PORT": "many"})


def test_a_wrong_override_names_the_command_line() -> None:
    assert refusal(None, node__port=-1).startswith("command line: node.port")
    assert "did you mean node.port?" in refusal(None, node__prot=1)


def test_a_contact_in_a_message_is_not_repeated() -> None:
    assert "a2tra2" not in refusal(None, {"RAILGUN_NETWORK_BOOTSTRAP": CONTACT_TEXT.replace(":9000", "")})


def test_every_setting_has_a_variable_of_its_own() -> None:
    names = [environment_name(setting) for setting in setting_names()]
    assert len(set(names)) == len(names)


def check(path: Path) -> Configuration:
    return check_configuration(path, HOME)


def test_check_looks_at_the_files(tmp_path: Path) -> None:
    key, network = tmp_path / "key", tmp_path / "network.toml"
    path = write(tmp_path, '[profile]\ndirectory = "state"\nkey_file = "key"\n[network]\nfile = "network.toml"')
    with pytest.raises(ConfigurationError, match=r"profile\.key_file: .*no such file"):
        check(path)
    key.write_bytes(b"k")
    key.chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"network\.file: .*no such file"):
        check(path)
    network.write_text("")
    with pytest.raises(ConfigurationError, match=r"others may read it; run `chmod 600"):
        check(path)
    key.chmod(0o600)
    assert check(path).profile.key_file == key
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"profile\.directory"):
        check(path)


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.text(max_size=8), st.lists(st.text()))))
def test_any_override_gives_a_configuration_or_the_one_error(overrides: dict[str, object]) -> None:
    named = dict(zip(setting_names(), overrides.values(), strict=False))
    for candidate in (overrides, named):
        try:
            configuration = load_configuration(None, HOME, candidate)
        except ConfigurationError:
            continue
        assert os.fspath(configuration.profile.directory)


def test_the_reference_lists_every_setting_with_its_variable() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| `(RAILGUN_[A-Z_]+)` \|", page, re.MULTILINE)
    assert rows == [(setting, environment_name(setting)) for setting in setting_names()]


def test_the_example_in_the_reference_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert load_configuration(write(tmp_path, example), HOME).node.port == 9001


@pytest.mark.parametrize("kind", ["stun", "turn"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("stun.example.org:3478", "literal IP address"),
        ("192.0.2.1", "an address is written 192.0.2.1:9000"),
        ("192.0.2.1:0", "a port from 1 to 65535"),
        (",".join(["192.0.2.1:3478"] * 9), "at most 8 servers"),
        (3478, "expected a list of texts"),
    ],
)
def test_servers_are_literal_addresses_and_few(kind: str, value: object, said: str) -> None:
    assert said in refusal(None, {}, **{f"network__{kind}": value})
    if isinstance(value, str):
        assert said in refusal(None, {f"RAILGUN_NETWORK_{kind.upper()}": value})
