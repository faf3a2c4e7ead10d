"""Hostile peers against the machines: nothing raises, nothing grows, and nothing is left when they have gone."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from railgun.core.client import ClientMachine
from railgun.core.relay import RelayMachine
from tests.fuzz.machine_lab import MachineLab

steps = st.integers(0, 2**32 - 1)
scripts = st.lists(steps, max_size=60) | st.builds(
    lambda seed: [random.randrange(2**32) for random in [Random(seed)] for _ in range(120)], steps
)


@pytest.mark.parametrize("relay", [True, False], ids=["relay", "client"])
def test_a_machine_outlives_any_script_of_hostile_peers(relay: bool) -> None:
    @given(scripts)
    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def holds(script: list[int]) -> None:
        MachineLab(relay=relay).run(script)

    holds()


def test_scripts_reach_what_they_are_meant_to_reach() -> None:
    """Else the test above would hold of machines that refuse everything unread."""
    random = Random(3)
    relay, client = MachineLab(relay=True), MachineLab(relay=False)
    for lab in (relay, client):
        lab.run(random.randrange(2**32) for _ in range(800))
    assert isinstance(relay.machine, RelayMachine)
    assert isinstance(client.machine, ClientMachine)
    counters = relay.machine.counters
    assert min(counters.tags_opened, counters.envelopes_stored, counters.receipts_signed, counters.deliveries) > 0
    assert len(counters.refusals) >= 4
    assert min(client.machine.counters.envelopes_received, client.machine.counters.pulled) > 0
    assert client.machine.counters.published > 0
