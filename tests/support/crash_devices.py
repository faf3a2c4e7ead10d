"""A second device of somebody in a story of `crash_scenarios`: the link between both, and beginning anew after a crash.

Owns: what the person with both devices in hand does. Must not know: where somebody dies, what is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from railgun.core.device_link import DeviceCertified, DeviceConsented, LinkCodeShown, LinkEnd, RoomLinked
from railgun.core.device_link_host import HostLink
from railgun.core.device_link_new import NewDevice, NewDeviceLink
from railgun.core.effects import Notification
from railgun.core.own_devices import admit_device
from railgun.crypto.identity import RootIdentity
from railgun.crypto.network_ids import network_id
from railgun.errors import RailGunError
from railgun.runtime.identity import linked_writes
from railgun.runtime.member_store import load_member
from railgun.wire.device_link import DeviceLink

if TYPE_CHECKING:
    from tests.support.crash_members import App, Life
    from tests.support.crash_scenario import CrashRun

CERTIFICATE_SECONDS = 10**8
LOOK_SECONDS = 0.5


class DeviceStory:
    """``host`` links ``phone``. Links live in memory: after a crash the person begins anew."""

    def __init__(self, run: CrashRun, host: str, phone: str, root: RootIdentity) -> None:
        self._run = run
        self._host, self._phone = host, phone
        self._root = root
        self._link: DeviceLink | None = None
        self._ends: dict[str, tuple[Life, LinkEnd]] = {}
        self._codes: dict[str, tuple[int, int, int]] = {}
        self._met: Life | None = None
        """The phone's life that the link was made for: the host talks to the first who answers, and to nobody else."""

    def step(self, number: int, app: App, life: Life) -> None:
        """Look how far it is; ``host``'s and ``phone``'s part alike."""
        run = self._run
        phone = run.apps[self._phone].life
        if phone is not None and phone.room is not None:
            run.sure(number, app)
            return
        if app.name == self._host and life.room is not None:
            self._host_begins(app, life)
        elif app.name == self._phone:
            self._phone_begins(app, life)
        run.later(number, app, LOOK_SECONDS)

    def _host_begins(self, app: App, life: Life) -> None:
        room, end = life.room, self._ends.get(self._host)
        phone = self._run.apps[self._phone].life
        is_under_way = end is not None and end[0] is life and not end[1].is_over
        if room is None or phone is None or (is_under_way and self._met is phone):
            return
        self._met = phone
        self._end_last(app, life)
        self._link = DeviceLink(
            network_id(life.tools.network), life.tools.entropy.random_bytes(32), self._run.contacts[:1]
        )
        self._codes.clear()
        host = HostLink(self._link, self._root, life.tools.network, life.tools.sessions, now=self._run.world.now)
        self._begin(app, life, host)

    def _phone_begins(self, app: App, life: Life) -> None:
        end, link, tools = self._ends.get(self._phone), self._link, life.tools
        if link is None or tools.prekey is None:
            return
        if end is not None and end[0] is life and end[1].link == link:
            return
        self._end_last(app, life)
        account = tools.sessions.olm_account(tools.me.account, tools.pickle_key)
        device = NewDevice(tools.me, tools.prekey, account.identity_key, "phone")
        now, wall = self._run.world.now, self._run.wall(life)
        keep = lambda grant: linked_writes(grant.certificate)  # noqa: E731
        self._begin(app, life, NewDeviceLink(link, device, tools.network, tools.sessions, keep, now=now, wall=wall))

    def _end_last(self, app: App, life: Life) -> None:
        last = self._ends.pop(app.name, None)
        if last is not None and last[0] is life:
            ended = last[1].room_id
            self._run.do(app, lambda now: life.client.remove_room(ended))

    def _begin(self, app: App, life: Life, end: HostLink | NewDeviceLink) -> None:
        self._codes.pop(app.name, None)
        self._ends[app.name] = (life, end)
        self._run.do(app, lambda now: life.client.add_room(end, now))

    def notified(self, app: App, notification: Notification, soon: Callable[[Callable[[], None]], None]) -> None:
        """What a machine tells of a link."""
        found = self._ends.get(app.name)
        life = app.life
        if found is None or life is None or found[0] is not life:
            return
        match notification:
            case LinkCodeShown(_, code, _):
                self._codes[app.name] = code
                if len(self._codes) == 2 and len(set(self._codes.values())) == 1:
                    self._run.world.act(self._run.world.now, self._confirm_both)
            case DeviceConsented():
                soon(lambda: self._hand_over(app, life, notification))
            case DeviceCertified():
                pass
            case RoomLinked(_, linked):
                soon(lambda: self._serve(app, life, linked))

    def _confirm_both(self) -> None:
        for name in (self._host, self._phone):
            app = self._run.apps[name]
            life, end = self._ends[name]
            if app.life is life:
                self._run.world.application(lambda app=app, life=life, end=end: self._confirm(app, life, end))  # type: ignore[misc]

    def _confirm(self, app: App, life: Life, end: LinkEnd) -> None:
        now, wall = self._run.world.now, self._run.wall(life)
        if isinstance(end, HostLink) and life.room is not None:
            outcome = end.confirm([life.room.room_id], int(wall) + CERTIFICATE_SECONDS, now, wall)
        elif isinstance(end, NewDeviceLink):
            outcome = end.confirm(now, wall)
        else:
            return
        self._run.apply(app, life, end, outcome)

    def _hand_over(self, app: App, life: Life, consented: DeviceConsented) -> None:
        """As `railgun.runtime.peer_linking`."""
        end = self._ends[self._host][1]
        if not isinstance(end, HostLink) or life.room is None:
            return
        wall = self._run.wall(life)
        keys = end.sending_keys(wall)
        for room_id, proof in consented.proofs:
            if keys is None or room_id != life.room.room_id:
                continue
            try:
                handed = admit_device(life.room, consented.certificate, proof, consented.record, keys, wall)
            except RailGunError as error:
                self._run.violations.append(f"a room was not handed over: {error}")
                return
            self._run.apply(app, life, life.room, handed.outcome)
            self._run.apply(app, life, end, end.hand_over(room_id, handed.chunks, self._run.world.now))

    def _serve(self, app: App, life: Life, room_id: object) -> None:
        if life.room is not None:
            return
        member = load_member(self._run.store_of(app.name), life.tools, room_id, self._run.world.now)  # type: ignore[arg-type]
        wall = self._run.wall(life)
        self._run.do(
            app,
            lambda now: [*life.client.add_room(member, now), *life.client.apply(member, member.resume(wall), now)],
        )
