"""Scenario files: a network model and the faults that befall it, as data.

Owns: the faults' fields, their TOML form, their application to a world. Must not know: which machines run.
Form: docs/how-to/simulate.md.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from railgun.errors import ConfigurationError
from railgun.sim.network_model import NetworkModel
from railgun.sim.virtual_node import CrashPoint, LinksAfterCrash
from railgun.sim.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that happens to a world at a virtual second."""

    at_seconds: float

    def apply(self, world: World) -> None:
        """Do it now."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesFault(Fault):
    """A fault of all nodes whose names match one of the patterns (`*`, `?`)."""

    nodes: tuple[str, ...]

    def names(self, world: World) -> list[str]:
        """The nodes meant, in the order of their adding. Raises ConfigurationError when there is none."""
        found = [name for name in world.nodes if any(fnmatchcase(name, pattern) for pattern in self.nodes)]
        if not found:
            raise ConfigurationError(f"no node is called {', '.join(self.nodes)}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(NodesFault):
    """See `World.crash`."""

    links: LinksAfterCrash = LinksAfterCrash.SILENCE
    point: CrashPoint = CrashPoint.NOW

    def apply(self, world: World) -> None:
        for name in self.names(world):
            world.crash(name, links=self.links, at=self.point)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(NodesFault):
    """See `World.restart`."""

    def apply(self, world: World) -> None:
        for name in self.names(world):
            world.restart(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(Fault):
    """See `World.partition`."""

    groups: tuple[tuple[str, ...], ...]
    name: str = "partition"
    one_way: bool = False

    def apply(self, world: World) -> None:
        world.partition(self.groups, name=self.name, one_way=self.one_way)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal(Fault):
    """See `World.heal`; without a name all partitions end."""

    name: str | None = None

    def apply(self, world: World) -> None:
        world.heal(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump(NodesFault):
    """See `World.jump_clock`."""

    seconds: float

    def apply(self, world: World) -> None:
        for name in self.names(world):
            world.jump_clock(name, self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow(NodesFault):
    """See `World.slow_down`."""

    service_seconds: float

    def apply(self, world: World) -> None:
        for name in self.names(world):
            world.slow_down(name, self.service_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChange(Fault):
    """Some parameters of the network model change: loss, reordering, duplication."""

    change: dict[str, Any]

    KEYS: ClassVar[frozenset[str]] = frozenset({"loss", "fast_retransmit", "jitter_ratio", "reorder", "reorder_seconds",
                                                "frame_duplication", "pulse_duplication"})  # fmt: skip

    def apply(self, world: World) -> None:
        world.use_network(dataclasses.replace(world.sampler.model, **self.change))


KINDS: dict[str, type[Fault]] = {
    "crash": Crash,
    "restart": Restart,
    "partition": Partition,
    "heal": Heal,
    "clock_jump": ClockJump,
    "slow": Slow,
    "network": NetworkChange,
}


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What a scenario file says."""

    network: NetworkModel
    faults: tuple[Fault, ...]

    def schedule(self, world: World) -> None:
        """Let each fault happen at its time."""
        schedule_faults(world, self.faults)


def schedule_faults(world: World, faults: Sequence[Fault]) -> None:
    """Let each fault happen at its time; those already past happen now."""
    for fault in faults:
        world.act(fault.at_seconds, _applier(world, fault))


def _applier(world: World, fault: Fault) -> Any:
    return lambda: fault.apply(world)


def load_fault_plan(text: str) -> FaultPlan:
    """Read a scenario file's text.

    Raises:
        ConfigurationError: it is no TOML, or a key, kind or value is unknown or out of range; says which.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"scenario: {error}") from error
    unknown = sorted(set(document) - {"network", "fault"})
    if unknown:
        raise ConfigurationError(f"scenario: unknown key {unknown[0]}")
    network, faults = document.get("network", {}), document.get("fault", [])
    if not isinstance(network, dict) or not isinstance(faults, list) or not all(isinstance(f, dict) for f in faults):
        raise ConfigurationError("scenario: [network] is one table, and each fault a [[fault]]")
    model: NetworkModel = _build(NetworkModel, {**network, "delays_seconds": _delays(network)}, "network")
    return FaultPlan(model, tuple(_fault(item, number) for number, item in enumerate(faults, 1)))


def _delays(network: dict[str, Any]) -> dict[tuple[str, str], float]:
    delays = {}
    given = network.get("delays_seconds", {})
    if not isinstance(given, dict):
        raise ConfigurationError("network: delays_seconds is a table")
    for pair, seconds in given.items():
        first, bar, second = pair.partition("|")
        if not bar or not isinstance(seconds, (int, float)):
            raise ConfigurationError(f'network: delays_seconds: "{pair}" must be "one|other" = seconds')
        delays[min(first, second), max(first, second)] = float(seconds)
    return delays


def _fault(item: dict[str, Any], number: int) -> Fault:
    where = f"fault {number}"
    values = dict(item)
    kind = values.pop("kind", None)
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ConfigurationError(f"{where}: kind must be one of {', '.join(KINDS)}")
    if cls is NetworkChange:
        at = values.pop("at_seconds", None)
        unknown = sorted(set(values) - NetworkChange.KEYS)
        if unknown:
            raise ConfigurationError(f"{where}: unknown key {unknown[0]}")
        _build(NetworkModel, values, where)
        values = {"change": values} if at is None else {"at_seconds": at, "change": values}
    for key, make in (("links", LinksAfterCrash), ("point", CrashPoint)):
        if key in values:
            try:
                values[key] = make(values[key])
            except ValueError as error:
                raise ConfigurationError(f"{where}: {key} must be one of {', '.join(make)}") from error
    fault: Fault = _build(cls, {key: _tuples(value) for key, value in values.items()}, where)
    return fault


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _build(cls: type[Any], values: dict[str, Any], where: str) -> Any:
    """Construct from strictly the fields of ``cls``, each of its default's or annotated type."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(cls)}
    for key, value in values.items():
        if key not in fields:
            raise ConfigurationError(f"{where}: unknown key {key}")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if fields[key] in {"float", "int"} and not is_number:
            raise ConfigurationError(f"{where}: {key} must be a number")
        if fields[key].startswith("tuple") and not (isinstance(value, tuple) and value):
            raise ConfigurationError(f"{where}: {key} must be a list")
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigurationError(f"{where}: {error}") from error
