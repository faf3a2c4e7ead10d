"""Putting a node's machines together: the one place where their parts are wired.

Owns: which part gets what. Must not know: where keys, clocks and dice come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from railgun.core.client import ClientMachine
from railgun.core.cover import CoverOptions
from railgun.core.directory import Directory
from railgun.core.gossip import Gossip
from railgun.core.node_directory import NodeDirectory
from railgun.core.own_ad import OwnAd
from railgun.core.relay import RelayMachine
from railgun.core.relay_limits import RelayLimits
from railgun.core.reputation import Reputation
from railgun.core.seen_envelopes import SeenEnvelopes
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.network import NetworkParameters
from railgun.ports import Entropy
from railgun.types import NodeKey, PeerKey, RelayContact, Role

if TYPE_CHECKING:
    from random import Random

INCARNATION_BYTES = 8


def build_relay(
    *,
    seed: bytes,
    contact: RelayContact,
    network: NetworkParameters,
    bootstrap: Sequence[RelayContact],
    entropy: Entropy,
    chooser: Random,
    roles: Role = Role.RELAY,
    relay_limits: RelayLimits | None = None,
) -> RelayMachine:
    """A relay's machine. ``seed``: of the node key, 32 bytes. ``contact`` is what its ad tells others."""
    node_key = NodeKey(public_key_of(seed))
    directory = Directory(network)
    own_ad = OwnAd(seed, address=contact.addresses[0], certificate_hash=contact.certificate_hash, roles=roles)
    node_directory = NodeDirectory(
        directory,
        own_key=PeerKey(node_key),
        own_ad=own_ad,
        bootstrap=bootstrap,
        chooser=chooser,
        gossip=Gossip(directory, PeerKey(node_key), chooser, is_relay=True),
    )
    return RelayMachine(
        node_key=node_key,
        signing_key=signing_key_of(seed),
        incarnation=entropy.random_bytes(INCARNATION_BYTES),
        network=network,
        directory=node_directory,
        relay_limits=relay_limits,
    )


def build_client(
    *,
    network: NetworkParameters,
    bootstrap: Sequence[RelayContact],
    entropy: Entropy,
    chooser: Random,
    cover: CoverOptions | None = None,
    reputation: Reputation | None = None,
    seen: SeenEnvelopes | None = None,
) -> ClientMachine:
    """A client's machine without rooms. ``reputation``: what it remembers of relays; ``seen``: of open tags."""
    directory = Directory(network)
    # A client has no key of its own towards relays; the gossip only compares it with others' to break ties.
    nobody = PeerKey(bytes(32))
    node_directory = NodeDirectory(
        directory,
        own_key=nobody,
        own_ad=None,
        bootstrap=bootstrap,
        chooser=chooser,
        gossip=Gossip(directory, nobody, chooser, is_relay=False),
    )
    return ClientMachine(
        network=network,
        directory=node_directory,
        entropy=entropy,
        chooser=chooser,
        cover=cover,
        reputation=reputation,
        seen=seen,
    )
