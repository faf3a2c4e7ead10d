"""The name of a network: the hash of its parameters.

Owns: the canonical form of the parameters. Must not know: files, peers. Spec: docs/spec/network.md.
"""

from __future__ import annotations

from railgun.crypto.hashing import keyed_hash
from railgun.errors import MalformedInput
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import NetworkId
from railgun.wire import cbor

NETWORK_LABEL = "railgun/network/v1"
NETWORK_BYTES_MAX = 320
"""A name of 64 characters takes up to 256 bytes."""


def network_content(network: NetworkParameters) -> bytes:
    """CBOR ``[name, 0 for public or 1 for lan, L, O, ad lifetime]``, times in seconds."""
    kind = 1 if network.kind is NetworkKind.LAN else 0
    return cbor.encode(
        [network.name, kind, network.epoch_seconds, network.overlap_seconds, network.ad_lifetime_seconds]
    )


def network_id(network: NetworkParameters) -> NetworkId:
    """32 bytes; peers with other parameters have another id and refuse each other by it."""
    return NetworkId(keyed_hash(None, NETWORK_LABEL, network_content(network)))


def read_network(content: bytes) -> NetworkParameters:
    """Parameters from `network_content`.

    Raises:
        MalformedInput: it is none.
        ConfigurationError: a value is out of its range.
    """
    value = cbor.decode(content, bytes_max=NETWORK_BYTES_MAX)
    match value:
        case [str(name), int(kind), int(epoch), int(overlap), int(lifetime)] if kind in (0, 1):
            kinds = (NetworkKind.PUBLIC, NetworkKind.LAN)
            return NetworkParameters(name, kinds[kind], epoch, overlap, lifetime)
        case _:
            raise MalformedInput("not a network's parameters")
