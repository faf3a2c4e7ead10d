"""Who joins and talks at once is heard whole, and hears all, with two relays and clocks as far apart as is allowed."""

from __future__ import annotations

import pytest

from railgun.sim.network_model import NetworkModel
from tests.support.joining_world import NETWORK, JoiningWorld

HALF_OVERLAP = 0.95 * NETWORK.overlap_seconds / 2
SKEWS = {"anna": HALF_OVERLAP, "bert": -HALF_OVERLAP, "cara": 0.0}
MODELS = {
    "good": NetworkModel(),
    "lossy": NetworkModel(loss=0.05, reorder=0.3, reorder_seconds=0.5),
    "slow": NetworkModel(delay_max_seconds=0.5, loss=0.1),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", range(4))
def test_what_is_said_right_after_a_join_reaches_everyone(seed: int, model: str) -> None:
    """Joins, bundles and boundaries fall in other places with each seed."""
    world = JoiningWorld(seed, SKEWS, model=MODELS[model])
    dice = world.dice
    world.run(dice.uniform(0, NETWORK.epoch_seconds))
    for name in SKEWS:
        world.come(name)
        world.run(dice.uniform(0, 1))
    world.run(dice.uniform(0, NETWORK.epoch_seconds))
    world.create("anna")
    invite = world.invite("anna", 2)
    for name in dice.sample(["bert", "cara"], 2):
        world.join(name, invite)
        world.run(dice.choice([0.0, dice.uniform(0, 0.5)]))
    assert world.run_until(lambda: all(world.knows(name, 3) for name in SKEWS), 60)

    for number in range(8):
        for name in dice.sample(list(SKEWS), 3):
            world.say(name, f"{name} {number}")
            world.run(dice.uniform(0, 0.08))
    world.run_until(lambda: not world.missing(), 30)
    assert world.missing() == {}
