"""Hostile peers on a member's direct links, one member of a real room at a time."""

from __future__ import annotations

import pytest

from railgun.core.client import ClientMachine
from railgun.core.direct import DIRECT_KEEP_SECONDS
from railgun.core.direct_tag import DirectTag
from railgun.core.effects import Disconnect, Effect, SendFrame
from railgun.core.events import FrameMalformed, FrameReceived, PeerConnected
from railgun.core.held_envelopes import HeldEnvelopes
from railgun.core.room_notifications import MessageReceived
from railgun.crypto.contact_sealing import seal_contact
from railgun.crypto.direct import (
    DirectSelf,
    contact_payload,
    open_sealed_contact,
    read_contact,
    seal_own_contact,
    sign_direct,
    verify_direct,
)
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.sealing import envelope_id, seal_envelope
from railgun.crypto.signing import public_key_of
from railgun.errors import CryptoError, RefusalCode
from railgun.limits import (
    DIRECT_FAILED_OPENS_MAX,
    DIRECT_FRAMES_BURST,
    DIRECT_HELD_BYTES_MAX,
    DIRECT_LINKS_MAX,
    DIRECT_WANTED_MAX,
)
from railgun.sim.rotation import Rotation
from railgun.types import Address, DeviceKey, EnvelopeId, EnvelopeKind, PeerKey, SizeClass, Tag
from railgun.wire.frames import DirectHold, DirectOpen, Frame, SeatPull, SeatPush
from tests.support.direct_world import direct_rotation, room_of, sending_keys

LOCAL = PeerKey(public_key_of(b"local key of ours, 32 bytes long"))
STRANGER = PeerKey(public_key_of(b"stranger's link key, 32 bytes at"))
NONCE = bytes(12)


class Lab:
    """member-0 of a room of three, all served by relays, at one moment; what it wants done is not done."""

    def __init__(self) -> None:
        self.run: Rotation = direct_rotation(peers=3, rooms=1, seconds=60)
        self.run.world.run(36.0)
        self.now = self.run.world.now
        self.machine: ClientMachine = self.run.world.machine("member-0")
        self.keys: EpochKeys = sending_keys(self.run, self.machine)
        friend = self.run.world.machine("member-1").direct.own
        assert isinstance(friend, DirectSelf)
        self.friend = friend

    def connect(self, peer: PeerKey) -> list[Effect]:
        return self.machine.handle(PeerConnected(peer, LOCAL, False, True, 0.0, 0.02), self.now)

    def say(self, peer: PeerKey, frame: Frame) -> list[Effect]:
        return self.machine.handle(FrameReceived(peer, frame), self.now)

    def opening(self, me: DirectSelf, *, towards: PeerKey = LOCAL) -> DirectOpen:
        proof = sign_direct(self.keys, me.link_key, towards)
        return DirectOpen(self.keys.tag, proof, seal_own_contact(self.keys, me, NONCE))

    def envelope(self, body: bytes = b"said directly") -> bytes:
        return seal_envelope(self.keys, EnvelopeKind.GROUP, bytes(8), body, SizeClass.SMALL, NONCE)

    @property
    def opened(self) -> int:
        return self.machine.direct.serves(self.keys.tag)

    def has(self, envelope: bytes) -> bool:
        tag = self.machine.tags.get(self.keys.tag)
        assert tag is not None
        return tag.intake.has_seen(envelope_id(envelope))


def closed(effects: list[Effect], peer: PeerKey) -> RefusalCode | None:
    return next((item.code for item in effects if isinstance(item, Disconnect) and item.peer == peer), None)


def test_a_member_is_let_in_and_its_envelope_taken() -> None:
    lab = Lab()
    lab.connect(lab.friend.link_key)
    answers = lab.say(lab.friend.link_key, lab.opening(lab.friend))
    assert lab.opened == 1
    assert any(isinstance(item, SendFrame) and isinstance(item.frame, DirectOpen) for item in answers)
    envelope = lab.envelope()
    answers = lab.say(lab.friend.link_key, SeatPush(envelope))
    assert lab.has(envelope)
    told = [item.frame for item in answers if isinstance(item, SendFrame) and isinstance(item.frame, DirectHold)]
    assert told == [DirectHold(lab.keys.tag, (envelope_id(envelope),), False)]
    # What came past the seats is brought to them: members without direct links may lack it.
    assert sum(isinstance(item, SendFrame) and type(item.frame).__name__ == "Publish" for item in answers) == 2
    pulled = lab.say(lab.friend.link_key, SeatPull(lab.keys.tag, (envelope_id(envelope),)))
    assert [item.frame for item in pulled if isinstance(item, SendFrame)] == [SeatPush(envelope)]


def test_what_is_here_is_named_after_the_own_proof_and_once_more() -> None:
    """What comes before the proof is not heeded, and frames have no order."""
    lab = Lab()
    lab.machine.direct._held.add(lab.keys.tag, envelope_id(lab.envelope()), lab.envelope())
    held = tuple(lab.machine.direct._held.ids(lab.keys.tag))
    lab.connect(lab.friend.link_key)
    effects = lab.say(lab.friend.link_key, lab.opening(lab.friend))
    frames = [effect.frame for effect in effects if isinstance(effect, SendFrame)]
    assert [type(frame) for frame in frames] == [DirectOpen, DirectHold]
    assert frames[1] == DirectHold(lab.keys.tag, held, True)
    again = []
    for _ in range(20):
        lab.now += 0.5
        effects = []
        lab.machine.direct.look(lab.now, effects)
        again += [effect.frame for effect in effects if isinstance(effect, SendFrame)]
    assert [frame for frame in again if isinstance(frame, DirectHold)] == [DirectHold(lab.keys.tag, held, False)]


def test_wrong_proofs_and_unknown_tags_end_alike() -> None:
    lab = Lab()
    for frame in (
        DirectOpen(lab.keys.tag, bytes(64), bytes(730)),
        DirectOpen(Tag(bytes(32)), bytes(64), bytes(730)),
    ):
        lab.connect(STRANGER)
        for _ in range(DIRECT_FAILED_OPENS_MAX - 1):
            assert lab.say(STRANGER, frame) == []
        assert closed(lab.say(STRANGER, frame), STRANGER) is RefusalCode.BAD_PROOF
        assert not lab.machine.direct.has_link(STRANGER)
    assert lab.opened == 0


def test_a_proof_is_good_on_its_own_link_only() -> None:
    lab = Lab()
    lab.connect(lab.friend.link_key)
    lab.say(lab.friend.link_key, lab.opening(lab.friend, towards=STRANGER))
    assert lab.opened == 0
    lab.connect(STRANGER)
    lab.say(STRANGER, lab.opening(lab.friend))
    assert lab.opened == 0
    assert not verify_direct(lab.keys.tag, LOCAL, lab.friend.link_key, lab.opening(lab.friend).proof)


def test_who_holds_the_epoch_key_and_is_not_in_the_room_stays_out() -> None:
    lab = Lab()
    seed = b"a device that nobody has let in."
    intruder = DirectSelf(DeviceKey(public_key_of(seed)), seed, STRANGER, bytes(32), (Address("10.9.9.9", 9),))
    lab.connect(STRANGER)
    lab.say(STRANGER, lab.opening(intruder))
    assert lab.opened == 0
    contact = read_contact(lab.keys, intruder.device, contact_payload(lab.keys, intruder))
    room = room_of(lab.machine)
    lab.machine.learn_contacts(room.room_id, {intruder.device: contact}, lab.now)
    assert intruder.device not in lab.machine.direct.contacts(room.room_id)


def test_a_contact_in_anothers_name_is_refused() -> None:
    lab = Lab()
    seed = b"a device that nobody has let in."
    liar = DirectSelf(lab.friend.device, seed, STRANGER, bytes(32), (Address("10.9.9.9", 9),))
    with pytest.raises(CryptoError):
        read_contact(lab.keys, liar.device, contact_payload(lab.keys, liar))
    lab.connect(STRANGER)
    lab.say(STRANGER, lab.opening(liar))
    assert lab.opened == 0
    for sealed in (b"", bytes(730), seal_contact(lab.keys, b"short", NONCE)):
        with pytest.raises(CryptoError):
            open_sealed_contact(lab.keys, sealed)


def test_nothing_is_taken_from_who_has_proved_nothing() -> None:
    lab = Lab()
    lab.connect(STRANGER)
    envelope = lab.envelope()
    assert lab.say(STRANGER, SeatPush(envelope)) == []
    assert lab.say(STRANGER, DirectHold(lab.keys.tag, (EnvelopeId(bytes(16)),), True)) == []
    assert lab.say(STRANGER, SeatPull(lab.keys.tag, (envelope_id(envelope),))) == []
    assert not lab.has(envelope)


def test_forged_envelopes_end_the_link() -> None:
    lab = Lab()
    lab.connect(lab.friend.link_key)
    lab.say(lab.friend.link_key, lab.opening(lab.friend))
    envelope = lab.envelope()
    forged = envelope[:-1] + bytes([envelope[-1] ^ 1])
    effects = lab.say(lab.friend.link_key, SeatPush(forged))
    assert closed(effects, lab.friend.link_key) is RefusalCode.BAD_SIGNATURE
    assert not lab.has(forged)
    assert lab.opened == 0


def test_a_member_that_signs_nonsense_delivers_nothing() -> None:
    lab = Lab()
    lab.connect(lab.friend.link_key)
    lab.say(lab.friend.link_key, lab.opening(lab.friend))
    effects = lab.say(lab.friend.link_key, SeatPush(lab.envelope(b"no Megolm message")))
    assert not any(isinstance(getattr(item, "notification", None), MessageReceived) for item in effects)
    assert closed(effects, lab.friend.link_key) is None


@pytest.mark.parametrize("malformed", [True, False])
def test_frames_that_no_member_sends_end_the_link(malformed: bool) -> None:
    from railgun.wire.frames import Digest

    lab = Lab()
    lab.connect(STRANGER)
    if malformed:
        effects = lab.machine.handle(FrameMalformed(STRANGER, "not canonical"), lab.now)
    else:
        effects = lab.say(STRANGER, Digest(lab.keys.tag, 1, (EnvelopeId(bytes(16)),)))
    assert closed(effects, STRANGER) is RefusalCode.MALFORMED


def test_whoever_knows_nobody_dials_nobody_and_keeps_nothing_of_it() -> None:
    lab = Lab()
    room_id = room_of(lab.machine).room_id
    lab.machine.direct.forget_room(room_id)
    out: list[Effect] = []
    lab.machine.direct._dial(room_id, lab.now, out)
    assert out == []
    assert set(lab.machine.direct.state_sizes().values()) == {0}


def test_who_says_nothing_is_let_go() -> None:
    lab = Lab()
    lab.connect(STRANGER)
    lab.now += DIRECT_KEEP_SECONDS - 0.1
    out: list[Effect] = []
    lab.machine.direct.look(lab.now, out)
    assert closed(out, STRANGER) is None
    lab.now += 0.2
    lab.machine.direct.look(lab.now, out)
    assert closed(out, STRANGER) is RefusalCode.IDLE


def test_strangers_do_not_keep_a_member_out() -> None:
    lab = Lab()
    for index in range(DIRECT_LINKS_MAX + 20):
        lab.connect(PeerKey(index.to_bytes(32, "big")))
    assert len(lab.machine.direct) == DIRECT_LINKS_MAX
    lab.connect(lab.friend.link_key)
    lab.say(lab.friend.link_key, lab.opening(lab.friend))
    assert lab.opened == 1
    assert len(lab.machine.direct) == DIRECT_LINKS_MAX


def test_a_flood_of_invented_ids_is_bounded() -> None:
    lab = Lab()
    lab.connect(lab.friend.link_key)
    lab.say(lab.friend.link_key, lab.opening(lab.friend))
    standing = lab.machine.direct._open[lab.keys.tag]
    frames = 0
    for burst in range(int(DIRECT_FRAMES_BURST) + 100):
        ids = tuple(EnvelopeId((burst * 16 + index).to_bytes(16, "big")) for index in range(16))
        frames += bool(lab.say(lab.friend.link_key, DirectHold(lab.keys.tag, ids, False)))
    assert len(standing._wanted) <= DIRECT_WANTED_MAX // 8
    assert lab.machine.direct.has_link(lab.friend.link_key)


def test_a_device_has_one_link() -> None:
    lab = Lab()
    lab.connect(lab.friend.link_key)
    lab.say(lab.friend.link_key, lab.opening(lab.friend))
    again = DirectSelf(lab.friend.device, lab.friend.device_seed, STRANGER, bytes(32), ())
    lab.connect(STRANGER)
    lab.say(STRANGER, lab.opening(again))
    standing = lab.machine.direct._open[lab.keys.tag]
    assert isinstance(standing, DirectTag)
    assert list(standing.open) == [STRANGER]
    assert len(standing.devices) == 1


def test_who_takes_no_part_lets_nobody_in() -> None:
    lab = Lab()
    lab.machine.direct.own = None
    assert closed(lab.connect(STRANGER), STRANGER) is RefusalCode.BUSY


def test_what_is_held_is_bounded_and_forgotten_with_its_tag() -> None:
    held, size = HeldEnvelopes(), 65_536
    tags = [Tag(bytes([index]) * 32) for index in range(2)]
    count = DIRECT_HELD_BYTES_MAX // size + 10
    for index in range(count):
        held.add(tags[index % 2], EnvelopeId(index.to_bytes(16, "big")), bytes(size))
    assert len(held) == DIRECT_HELD_BYTES_MAX // size
    assert held.get(tags[0], EnvelopeId(bytes(16))) is None
    assert held.get(tags[(count - 1) % 2], EnvelopeId((count - 1).to_bytes(16, "big"))) == bytes(size)
    held.keep_only({tags[0]})
    assert held.ids(tags[1]) == []
    held.keep_only(())
    assert len(held) == 0


def test_the_device_seed_is_never_shown() -> None:
    lab = Lab()
    assert lab.friend.device_seed.hex() not in repr(lab.friend)
    assert repr(lab.friend.device_seed) not in repr(lab.friend)
