"""How the virtual network treats what is sent over it: delay, loss, reordering, duplication.

Owns: the parameters and the sampling from one seed. Must not know: nodes, links or frames.
Spec: design, simulation.

The `frames` channel stands for SCTP, reliable and unordered: a loss costs time, never the frame. The `pulse`
channel is unreliable: a loss is a loss.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from railgun.errors import ConfigurationError
from railgun.limits import DIAL_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkModel:
    """The parameters of a virtual network; probabilities are 0 to 1.

    Attributes:
        delay_min_seconds, delay_max_seconds: one way; each pair of nodes has a fixed delay drawn between them.
        jitter_ratio: what is sent takes up to this part of the delay longer; so does reordering come about.
        loss: of one datagram, one way.
        fast_retransmit: of a lost frame being resent after one round trip, since others followed it;
            otherwise it waits for the retransmission timeout, which doubles.
        retransmit_timeout_seconds: the least such timeout (SCTP: 1 s).
        reorder: of a frame being held back by up to ``reorder_seconds`` more.
        frame_duplication: of a frame arriving twice. SCTP never does this; a hostile or buggy link layer might.
        pulse_duplication: of a pulse arriving twice.
        dial_seconds: a dial that found nobody ends after this.
        silence_seconds: a link over which nothing passes is given up by the transport after this (ICE consent).
        held_frames_max: frames that wait on a link over which nothing passes; more are refused (SendBlocked).
        delays_seconds: one-way delay of a pair of node names (in ascending order), instead of the drawn one.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    delay_min_seconds: float = 0.005
    delay_max_seconds: float = 0.060
    jitter_ratio: float = 0.2
    loss: float = 0.0
    fast_retransmit: float = 0.5
    retransmit_timeout_seconds: float = 1.0
    reorder: float = 0.0
    reorder_seconds: float = 0.05
    frame_duplication: float = 0.0
    pulse_duplication: float = 0.0
    dial_seconds: float = DIAL_SECONDS
    silence_seconds: float = 30.0
    held_frames_max: int = 256
    delays_seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.delay_min_seconds <= self.delay_max_seconds:
            raise ConfigurationError("delay_min_seconds must be above 0 and at most delay_max_seconds")
        for name in ("loss", "fast_retransmit", "reorder", "frame_duplication", "pulse_duplication"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} is a probability: 0 to 1")
        if self.loss > 0.9:
            raise ConfigurationError("loss must be at most 0.9: nothing would ever arrive")
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, (int, float)) and not 0 <= value < float("inf"):
                raise ConfigurationError(f"{item.name} must be a number from 0 on")
        if any(not delay > 0 or first > second for (first, second), delay in self.delays_seconds.items()):
            raise ConfigurationError("delays_seconds: pairs of names in ascending order, delays above 0")


class NetworkSampler:
    """Draws what happens to each thing sent, from one seed and in the order of the asking."""

    def __init__(self, seed: int, model: NetworkModel) -> None:
        self._seed = seed
        self._random = random.Random(f"railgun network {seed}")
        self.random = self._random.random
        self.use(model)

    def use(self, model: NetworkModel) -> None:
        """Go on with other parameters; the delays of links that stand are kept."""
        self.model = model
        self.loss = model.loss
        self.jitter = model.jitter_ratio
        self.is_odd = bool(model.reorder or model.frame_duplication)

    def pair_delay_seconds(self, one: str, other: str) -> float:
        """The one-way delay between two nodes: hash-derived, so that it depends on no other pair's history."""
        first, second = sorted((one, other))
        given = self.model.delays_seconds.get((first, second))
        if given is not None:
            return given
        text = f"{self._seed}\0{first}\0{second}".encode()
        fraction = int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big") / 2**48
        return self.model.delay_min_seconds + fraction * (self.model.delay_max_seconds - self.model.delay_min_seconds)

    def retransmitted_seconds(self, delay: float) -> float:
        """How long a frame takes, one way, whose first transmission was lost; ``delay`` is the link's."""
        model = self.model
        took = 0.0
        timeout = max(model.retransmit_timeout_seconds, 4 * delay)
        while True:
            if took == 0.0 and self.random() < model.fast_retransmit:
                took += 2 * delay * (1 + self.jitter * self.random())
            else:
                took += timeout
                timeout *= 2
            if self.random() >= model.loss:
                return took + delay * (1 + self.jitter * self.random())

    def held_back_seconds(self) -> float:
        """What reordering adds to a frame's delay; 0 for most."""
        if self.random() < self.model.reorder:
            return self.random() * self.model.reorder_seconds
        return 0.0

    def handshake_seconds(self, delay: float) -> float:
        """How long a dial takes until both ends are up: one and a half round trips, and 1 s for each flight lost."""
        took = 3 * delay
        for _ in range(3):
            if self.random() < self.model.loss:
                took += self.model.retransmit_timeout_seconds
        return took
