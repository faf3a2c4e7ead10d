"""The network outlives those through whom it began."""

from __future__ import annotations

from railgun.errors import DiscoveryError
from railgun.types import Address
from tests.unit.dht.support import Lab, address_of, in_lab, record_of
from tests.unit.dht.test_exchange import wait

JOIN_SECONDS_MAX = 3.0


def test_whoever_knows_any_living_node_joins_in_three_seconds() -> None:
    async def main(lab: Lab) -> None:
        await lab.network_of(20)
        for number in (0, 1):
            lab.network.kill(address_of(number))
        await wait(0.1)
        for number in range(2, 20):
            newcomer = lab.make(100 + number)
            await newcomer.start()
            started = lab.loop.time()
            assert await newcomer.join([address_of(0), address_of(number), address_of(1)]) >= 10
            assert lab.loop.time() - started < JOIN_SECONDS_MAX

    in_lab(main, delay_min_seconds=0.02, delay_max_seconds=0.06)


def test_whoever_remembers_peers_rejoins_in_three_seconds() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(20)
        state = nodes[9].export_state()
        await nodes[9].aclose()
        for number in (0, 1, *range(12, 20)):  # the first two, and half of the others
            lab.network.kill(address_of(number))
        again = lab.make(9)
        await again.start()
        started = lab.loop.time()
        assert await again.join(state=state) >= 8
        assert lab.loop.time() - started < JOIN_SECONDS_MAX
        signed = record_of()
        assert await again.put(signed) >= 8

    in_lab(main, delay_min_seconds=0.02, delay_max_seconds=0.06)


def test_a_joiner_gets_through_heavy_loss() -> None:
    async def main(lab: Lab) -> None:
        joined = 0
        nodes = [lab.make(number) for number in range(20)]
        for number, node in enumerate(nodes):
            await node.start()
            if number:
                try:
                    await node.join([address_of(one) for one in range(min(number, 3))])
                except DiscoveryError:
                    continue
                joined += 1
        assert joined >= 18
        await wait(300)
        assert min(len(node.table) for node in nodes) >= 15

    in_lab(main, loss=0.2)


def test_two_halves_find_together_again() -> None:
    async def main(lab: Lab) -> None:
        nodes = await lab.network_of(24)
        low = {address_of(number) for number in range(12)}

        def is_cut(source: Address, to: Address) -> bool:
            return (source in low) != (to in low)

        lab.network.partition(is_cut)
        ours, theirs = record_of("ours"), record_of("theirs")
        await nodes[3].publish(ours)
        await nodes[20].publish(theirs)
        assert (await nodes[20].get(ours.record.kind, ours.record.author)).records == ()
        lab.network.partition(None)
        await wait(1)
        assert (await nodes[20].get(ours.record.kind, ours.record.author)).records == (ours,)
        assert (await nodes[3].get(theirs.record.kind, theirs.record.author)).records == (theirs,)

    in_lab(main)
