"""The keys under which two nodes MAC what they send each other.

Owns: the agreement between two node keys, the two directional keys, how many are remembered.
Must not know: what is MACed.

Spec: docs/spec/dht.md. Static X25519 between the node keys, converted to Curve25519: it needs no round trip of its own,
so the first datagram to a node whose key is known proves itself. What is MACed is public, so nothing is lost to
whoever gets hold of a key later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from railgun.crypto.hashing import keyed_hash
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import DHT_SESSION_KEYS_MAX
from railgun.types import NodeKey

MAC_LABEL: Final = "railgun/dht/mac/v1"

Agree: TypeAlias = Callable[[NodeKey], bytes]
"""From another node's key to 32 bytes that only the two can work out. Raises MalformedInput for a key that is none."""


class NodeAgreement:
    """X25519 between this node's key and others'."""

    def __init__(self, signing_key: bytes) -> None:
        """``signing_key`` is the node's, secret, 64 bytes."""
        self._secret = bytes(bindings.crypto_sign_ed25519_sk_to_curve25519(signing_key))

    def __repr__(self) -> str:
        return "NodeAgreement(redacted)"

    def __call__(self, node_key: NodeKey) -> bytes:
        """32 secret bytes. Raises MalformedInput for keys of small order and for what is no key."""
        try:
            point = bindings.crypto_sign_ed25519_pk_to_curve25519(node_key)
            return bytes(bindings.crypto_scalarmult(self._secret, point))
        except (SodiumError, ValueError, TypeError, RuntimeError) as error:
            raise MalformedInput("not a node's key", RefusalCode.BAD_SIGNATURE) from error


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """Two keys of 32 bytes, secret, one a direction, so that nothing can be sent back to its sender as an answer."""

    sending: bytes = field(repr=False)
    receiving: bytes = field(repr=False)


class SessionKeyring:
    """Keys of the peers met last."""

    def __init__(self, own_key: NodeKey, agree: Agree) -> None:
        self._own_key = own_key
        self._agree = agree
        self._keys: OrderedDict[NodeKey, SessionKeys] = OrderedDict()

    def knows(self, peer: NodeKey) -> bool:
        """Whether the peer's keys are at hand, so that a check costs next to nothing."""
        return peer in self._keys

    def keys_for(self, peer: NodeKey, *, remember: bool = True) -> SessionKeys:
        """The keys for a peer. Raises MalformedInput for what is no key.

        ``remember`` is False for peers that have proved nothing: they must not push others out.
        """
        known = self._keys.get(peer)
        if known is not None:
            self._keys.move_to_end(peer)
            return known
        shared = self._agree(peer)
        keys = SessionKeys(
            sending=keyed_hash(shared, MAC_LABEL, self._own_key + peer),
            receiving=keyed_hash(shared, MAC_LABEL, peer + self._own_key),
        )
        if remember:
            self.remember(peer, keys)
        return keys

    def remember(self, peer: NodeKey, keys: SessionKeys) -> None:
        """Keep ``keys``; those used longest ago go first."""
        self._keys[peer] = keys
        if len(self._keys) > DHT_SESSION_KEYS_MAX:
            self._keys.popitem(last=False)
