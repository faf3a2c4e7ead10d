"""Vectors of Olm: whole conversations whose every byte follows from the secrets named, and messages that are refused.

The library writes all messages that are accepted, and reads each again. Only what it draws at random is put in its
place: the step that makes a session's keys of a secret is done here, by the specification.
"""

from __future__ import annotations

import hashlib
from typing import Any

from interop.vectors.generate._vodozemac import (
    CONFIG,
    MAC_BYTES,
    PICKLE_KEY,
    State,
    account_pickle,
    active_sender,
    agree,
    derive,
    encrypt_cbc,
    freeze,
    mac,
    pad,
    public,
    thaw,
)
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError

SESSION = b"olm"
SESSIONS = VodozemacSessions()
Case = dict[str, Any]


def secret(name: str) -> bytes:
    """A secret that follows from its name."""
    return hashlib.sha256(f"railgun/vectors/{name}".encode()).digest()


class Speaker:
    """One end: its account, its session once there is one, and the secrets that it will draw, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity_secret = secret(f"{name} identity")
        self.fallback_secrets = (secret(f"{name} fallback 2"), secret(f"{name} fallback 1"))
        self.account = account_pickle(self.identity_secret, self.fallback_secrets)
        self.identity_key = public(self.identity_secret)
        self.session_id = b""
        self.pickle = b""
        self.drawn: list[bytes] = []

    def draw(self) -> bytes:
        self.drawn.append(secret(f"{self.name} draw {len(self.drawn)}"))
        return self.drawn[-1]

    def start(self, other: Speaker, fallback: int) -> None:
        """Draws the base secret, then the ratchet's."""
        base = self.draw()
        theirs = public(other.fallback_secrets[fallback])
        shared = agree(self.identity_secret, theirs) + agree(base, other.identity_key) + agree(base, theirs)
        both = derive(shared, "OLM_ROOT", 64)
        keys = (self.identity_key, public(base), theirs)
        self.session_id = hashlib.sha256(b"".join(keys)).digest()
        names = ("identity_key", "base_key", "one_time_key")
        state: State = {
            "session_keys": {name: list(key) for name, key in zip(names, keys, strict=True)},
            "sending_ratchet": active_sender(both[:32], self.draw(), both[32:]),
            "receiving_chains": {"inner": []},
            "config": CONFIG,
        }
        self.pickle = freeze(SESSION, self.session_id, state)

    def say(self, plaintext: bytes) -> tuple[bytes, bool]:
        state = thaw(SESSION, self.pickle)
        sender = state["sending_ratchet"]
        if sender["type"] == "inactive":
            drawn = self.draw()
            secret_of_both = agree(drawn, bytes(sender["ratchet_key"]))
            both = derive(secret_of_both, "OLM_RATCHET", 64, bytes(sender["root_key"]["key"]))
            state["sending_ratchet"] = active_sender(both[:32], drawn, both[32:])
        encrypted = SESSIONS.olm_encrypt(freeze(SESSION, self.session_id, state), PICKLE_KEY, plaintext)
        self.pickle = encrypted.pickle
        return encrypted.message, encrypted.is_first

    def hear(self, message: bytes, is_first: bool, author: bytes) -> bytes | None:
        """The plaintext, or None where the library refuses."""
        try:
            if self.pickle:
                opened = SESSIONS.olm_decrypt(self.pickle, PICKLE_KEY, message, is_first=is_first)
            else:
                opened = SESSIONS.olm_accept(self.account, PICKLE_KEY, author, message)
        except CryptoError:
            return None
        self.session_id, self.pickle = opened.session.session_id, opened.session.pickle
        return opened.plaintext

    def described(self) -> Case:
        secrets = [fallback.hex() for fallback in self.fallback_secrets]
        return {
            "identity_secret": self.identity_secret.hex(),
            "fallback_secrets": secrets,
            "draws": [drawn.hex() for drawn in self.drawn],
        }


class Conversation:
    """Anna starts a session with Bert; what is said and heard is written down."""

    def __init__(self, fallback: int = 0) -> None:
        self.ends = {"anna": Speaker("anna"), "bert": Speaker("bert")}
        self.ends["anna"].start(self.ends["bert"], fallback)
        self.fallback = fallback
        self.messages: list[tuple[bytes, bool, bytes]] = []
        self.steps: list[Case] = []

    def say(self, name: str, plaintext: bytes) -> int:
        """Its number."""
        message, is_first = self.ends[name].say(plaintext)
        self.messages.append((message, is_first, plaintext))
        self.steps.append({"say": name, "plaintext": plaintext.hex(), "first": is_first, "message": message.hex()})
        return len(self.messages) - 1

    def hear(self, name: str, number: int, opens: bool = True) -> None:
        message, is_first, plaintext = self.messages[number]
        heard = self.ends[name].hear(message, is_first, self.ends["anna"].identity_key)
        if heard != (plaintext if opens else None):
            raise RuntimeError(f"the library does otherwise with message {number}")
        self.steps.append({"hear": name, "number": number, "opens": opens})

    def case(self, name: str) -> Case:
        return {
            "name": name,
            "operation": "conversation",
            "anna": self.ends["anna"].described(),
            "bert": self.ends["bert"].described(),
            "fallback": self.fallback,
            "session_id": self.ends["anna"].session_id.hex(),
            "steps": self.steps,
        }


def _turns() -> Conversation:
    talk = Conversation()
    for turn in range(8):
        name, other = ("anna", "bert") if turn % 2 == 0 else ("bert", "anna")
        for length in (0, 15, 16, 229):
            talk.hear(other, talk.say(name, bytes(range(length)) + bytes([turn])))
    return talk


def _disordered() -> Conversation:
    talk = Conversation(fallback=1)
    said = [talk.say("anna", f"one {number}".encode()) for number in range(5)]
    for number in (said[3], said[0], said[4]):
        talk.hear("bert", number)
    back = [talk.say("bert", f"two {number}".encode()) for number in range(3)]
    talk.hear("anna", back[2])
    later = [talk.say("anna", f"three {number}".encode()) for number in range(2)]
    for number in (later[1], said[1]):
        talk.hear("bert", number)
    for number in (said[1], said[3], later[1]):
        talk.hear("bert", number, opens=False)
    for number in (back[0], back[1]):
        talk.hear("anna", number)
    talk.hear("anna", back[0], opens=False)
    for number in (later[0], said[2]):
        talk.hear("bert", number)
    return talk


def _forgotten() -> Conversation:
    talk = Conversation()
    said = [talk.say("anna", bytes([number])) for number in range(45)]
    talk.hear("bert", said[44])
    talk.hear("bert", said[3], opens=False)
    talk.hear("bert", said[4])
    talk.hear("bert", said[43])
    talk.hear("bert", said[4], opens=False)
    return talk


def _old_chains() -> Conversation:
    talk = Conversation()
    missing = []
    for turn in range(7):
        missing.append(talk.say("anna", f"missing {turn}".encode()))
        talk.hear("bert", talk.say("anna", b"heard"))
        talk.hear("anna", talk.say("bert", b"turn"))
    for number in missing[:2]:
        talk.hear("bert", number, opens=False)
    for number in missing[2:]:
        talk.hear("bert", number)
    return talk


# --- refused ---------------------------------------------------------------------------------------


def field(tag: int, value: bytes, *, long: bool = False) -> bytes:
    """A string of bytes, at will with its length in one byte more than it takes."""
    length = bytearray()
    rest = len(value)
    while rest >= 0x80:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length += bytes((rest | 0x80, 0)) if long else bytes((rest,))
    return bytes((tag,)) + bytes(length) + value


class Forger:
    """Writes messages by the specification under keys that it knows, with one thing wrong."""

    def __init__(self) -> None:
        self.bert = Speaker("bert")
        self.identity, self.base, self.ratchet = (
            secret("forger identity"),
            secret("forger base"),
            secret("forger ratchet"),
        )
        theirs = public(self.bert.fallback_secrets[0])
        shared = agree(self.identity, theirs) + agree(self.base, self.bert.identity_key) + agree(self.base, theirs)
        self._chain = derive(shared, "OLM_ROOT", 64)[32:]

    def inner(
        self, index: int = 0, body: bytes | None = None, ciphertext: bytes | None = None, version: int = 3
    ) -> bytes:
        """A message with a right MAC over whatever stands in it."""
        chain = self._chain
        for _ in range(index):
            chain = mac(chain, b"\x02")
        keys = derive(mac(chain, b"\x01"), "OLM_KEYS", 80)
        ciphertext = encrypt_cbc(keys, pad(b"forged")) if ciphertext is None else encrypt_cbc(keys, ciphertext)
        fields = self.fields(index, ciphertext) if body is None else body + field(0x22, ciphertext)
        whole = bytes((version,)) + fields
        return whole + mac(keys[32:64], whole)[: 32 if version == 4 else MAC_BYTES]

    def fields(self, index: int, ciphertext: bytes) -> bytes:
        digits = bytearray()
        while index >= 0x80:
            digits.append(index & 0x7F | 0x80)
            index >>= 7
        digits.append(index)
        return field(0x0A, public(self.ratchet)) + b"\x10" + bytes(digits) + field(0x22, ciphertext)

    def first(
        self, inner: bytes, *, base: bytes | None = None, identity: bytes | None = None, long: bool = False
    ) -> bytes:
        return (
            b"\x03"
            + field(0x0A, public(self.bert.fallback_secrets[0]), long=long)
            + field(0x12, base or public(self.base))
            + field(0x1A, identity or public(self.identity))
            + field(0x22, inner)
        )


def _forged() -> list[tuple[str, bytes, bytes]]:
    """(what is wrong, who is said to have written it, message)"""
    forger = Forger()
    good, who = forger.first(forger.inner()), public(forger.identity)
    key, ratchet = field(0x0A, public(forger.ratchet)), public(forger.ratchet)
    other_key = good.replace(public(forger.bert.fallback_secrets[0]), secret("no such key"))
    cases = [
        ("nothing", b""),
        ("one byte", b"\x03"),
        ("version 2", b"\x02" + good[1:]),
        ("version 4", b"\x04" + good[1:]),
        ("a message of Olm's other version in it", forger.first(forger.inner(version=4))),
        ("cut by a byte", good[:-1]),
        ("a byte too many", good + b"\0"),
        ("a field behind", good + b"\x28\0"),
        ("another MAC", good[:-1] + bytes((good[-1] ^ 1,))),
        ("a fallback key that nobody has", other_key),
        ("a length in two bytes that fits in one", forger.first(forger.inner(), long=True)),
        ("an index in two bytes that fits in one", forger.first(forger.inner(body=key + b"\x10\x80\x00"))),
        ("no index", forger.first(forger.inner(body=key))),
        ("the index before the key", forger.first(forger.inner(body=b"\x10\x00" + key))),
        ("two indices", forger.first(forger.inner(body=key + b"\x10\x00\x10\x00"))),
        ("an unknown field", forger.first(forger.inner(body=key + b"\x10\x00\x18\x01"))),
        ("an index of more than 64 bits", forger.first(forger.inner(body=key + b"\x10" + b"\xff" * 9 + b"\x7f"))),
        ("the largest index of 64 bits", forger.first(forger.inner(body=key + b"\x10" + b"\xff" * 9 + b"\x01"))),
        ("a ratchet key of 31 bytes", forger.first(forger.inner(body=field(0x0A, ratchet[:31]) + b"\x10\x00"))),
        ("2,001 messages missing before it", forger.first(forger.inner(2_001))),
        ("no ciphertext", forger.first(forger.inner(ciphertext=b""))),
        ("padding of 0 bytes", forger.first(forger.inner(ciphertext=bytes(16)))),
        ("padding of 17 bytes", forger.first(forger.inner(ciphertext=bytes([17]) * 32))),
        ("padding whose bytes differ", forger.first(forger.inner(ciphertext=bytes(13) + b"\x02\x03\x03"))),
        ("a base key of small order", forger.first(forger.inner(), base=bytes(32))),
    ]
    named = [(name, who, message) for name, message in cases]
    small = b"\x01" + bytes(31)
    return [
        *named,
        ("said to be by another", forger.bert.identity_key, good),
        ("an identity key of small order", small, forger.first(forger.inner(), identity=small)),
    ]


def _refused() -> list[Case]:
    cases = []
    for name, author, message in _forged():
        bert = Speaker("bert")
        if bert.hear(message, True, author) is not None:
            raise RuntimeError(f"the library accepts {name}")
        cases.append(
            {
                "name": name,
                "operation": "accept",
                "account": bert.described(),
                "author": author.hex(),
                "message": message.hex(),
                "code": "crypto",
            }
        )
    return cases


def _forged_and_accepted() -> list[Case]:
    """What a forger gets wrong in nothing is accepted: otherwise the refusals above might have another reason."""
    forger = Forger()
    cases = []
    for name, index in (("written by hand", 0), ("2,000 messages missing before it", 2_000)):
        bert, message = Speaker("bert"), forger.first(forger.inner(index))
        if bert.hear(message, True, public(forger.identity)) != b"forged":
            raise RuntimeError("the library refuses what is written by hand")
        session_id = SESSIONS.olm_session_id(message).hex()
        cases.append(
            {
                "name": name,
                "operation": "accept",
                "account": bert.described(),
                "author": public(forger.identity).hex(),
                "message": message.hex(),
                "expected": {"plaintext": b"forged".hex(), "session_id": session_id},
            }
        )
    return cases


def vectors() -> dict[str, Any]:
    """The file."""
    return {
        "description": "Olm (docs/spec/sessions.md). Draws are the secrets that an end makes, in order: whoever starts "
        "a session draws its base key's and its ratchet key's, later each end a ratchet key's when it takes its turn.",
        "accepted": [
            _turns().case("turns, at lengths around a block's"),
            _disordered().case("out of order, repeated, and under the older fallback key"),
            _forgotten().case("more missing than keys are kept"),
            _old_chains().case("more chains than are kept"),
            *_forged_and_accepted(),
        ],
        "refused": _refused(),
    }
