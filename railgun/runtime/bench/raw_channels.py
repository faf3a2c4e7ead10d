"""Plain WebRTC data channels over loopback: the measure that Rail Gun's links are held against.

Owns: connections of stock aiortc, as a program would make them. Must not know: envelopes, rooms, Rail Gun's links.
With the two raw workers the only modules outside `railgun.links` that may use aiortc.
"""

from __future__ import annotations

import asyncio

from aioice import ice
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

LABEL = "frames"


def use_loopback() -> None:
    """Let aioice gather 127.0.0.1, which it leaves out, so that both sides of the comparison take the same way."""
    ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


def new_connection() -> RTCPeerConnection:
    """A connection that asks no server on the internet for its address."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def offer(connection: RTCPeerConnection) -> str:
    """The SDP of an offer with all candidates."""
    await connection.setLocalDescription(await connection.createOffer())
    return connection.localDescription.sdp


async def answer(connection: RTCPeerConnection, offered: str) -> str:
    """The SDP of the answer to ``offered``."""
    await connection.setRemoteDescription(RTCSessionDescription(offered, "offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    return connection.localDescription.sdp


async def accept(connection: RTCPeerConnection, answered: str) -> None:
    """Take the answer to our offer."""
    await connection.setRemoteDescription(RTCSessionDescription(answered, "answer"))


async def opened(channel: RTCDataChannel) -> None:
    """Until the channel is open."""
    if channel.readyState == "open":
        return
    event = asyncio.Event()
    channel.once("open", event.set)
    await event.wait()
