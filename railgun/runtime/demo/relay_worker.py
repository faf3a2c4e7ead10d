"""A worker: one relay of the demo.

Owns: starting it, and its account. Must not know: rooms, members.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from railgun.links.pool import ListenAt
from railgun.network import NetworkKind, NetworkParameters
from railgun.runtime.demo.evidence import RELAY, Recorder
from railgun.runtime.demo.resources import keep_sampling, take_sample
from railgun.runtime.dht_status import relay_dht_status
from railgun.runtime.profile import Profile, ProfileKind, create_profile, open_profile
from railgun.runtime.relay_host import RelayHost, RelayKeys
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.runtime.tasks import Supervisor, first_ended, running
from railgun.runtime.worker_main import Orders, main
from railgun.runtime.workers import Message
from railgun.wire.contacts import format_contact, parse_contact


def network_of(start: Message) -> NetworkParameters:
    """The network that the demo is in."""
    fields = start["network"]
    return NetworkParameters(
        fields["name"], NetworkKind.LAN, fields["epoch_seconds"], fields["overlap_seconds"]
    )  # fmt: skip


def _profile(path: Path) -> Profile:
    """The relay's own; in its first life it is made."""
    entropy = SystemEntropy()
    if not path.exists():
        made = RelayKeys.generate(entropy, SystemClock())
        create_profile(path, ProfileKind.RELAY, entropy, initial_writes=made.writes())
    return open_profile(path, entropy)


async def work(orders: Orders, start: Message) -> None:
    """Serve until the orders end."""
    with _profile(Path(start["profile"])) as profile:
        await _serve(orders, start, profile)


async def _serve(orders: Orders, start: Message, profile: Profile) -> None:
    clock, entropy = SystemClock(), SystemEntropy()
    host = await RelayHost.start(
        keys=RelayKeys.load(profile.store),
        network=network_of(start),
        listen=ListenAt(start["host"], start["port"]),
        bootstrap=[parse_contact(text) for text in start["bootstrap"]],
        clock=clock,
        entropy=entropy,
        store=profile.store,
    )
    sampling = Supervisor()
    try:
        with Recorder(lambda record: orders.tell("record", record=record), start.get("evidence")) as recorder:
            port = host.contact.addresses[0].port
            node = host.contact.node_key.hex()
            orders.tell("ready", contact=format_contact(host.contact), node=node, port=port)
            recorder.record(
                "process", role=RELAY, index=start["index"], name=start["name"], pid=os.getpid(), node=node, port=port
            )
            if start["samples"]:
                sampling.start("resources", keep_sampling(recorder, lambda: host.links.dialled_count))
            listening = _listen(orders, host, recorder, samples=start["samples"])
            async with running(failing=host.wait(), listening=listening) as both:
                await first_ended(*both)
    finally:
        await sampling.aclose()
        await host.aclose()


async def _listen(orders: Orders, host: RelayHost, recorder: Recorder, *, samples: bool) -> None:
    async for order in orders:
        counters = host.machine.counters
        match order["kind"]:
            case "begin":
                recorder.record("began", deliveries=counters.deliveries)
            case "count":
                orders.tell("count", deliveries=counters.deliveries)
            case "end" | "account":
                recorder.record(
                    "ended",
                    deliveries=counters.deliveries,
                    wrong_size_on_wire=counters.wrong_size_on_wire,
                    dht=relay_dht_status(host.dht),
                    relay=counters_as_json(host),
                )
                if samples and order["kind"] == "end":
                    take_sample(recorder, host.links.dialled_count, last=True)
                orders.tell("ended" if order["kind"] == "end" else "accounted")


def counters_as_json(host: RelayHost) -> Message:
    """All that the relay counted, for whoever reads the evidence."""
    counters = host.machine.counters
    plain = {name: getattr(counters, name) for name in counters.__slots__ if name != "refusals"}
    return plain | {"refusals": {code.name.lower(): count for code, count in counters.refusals.items()}}


if __name__ == "__main__":
    sys.exit(main(work))
