"""The public API on real links: what a bot's author may rely on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import railgun
from railgun import DiscoveryError, MalformedInput, NotMember, Peer, UsageError
from railgun.limits import PENDING_SENDS_MAX
from railgun.links.pool import WebRtcLinks
from railgun.runtime.room_mail import SENDS_IN_FLIGHT_MAX
from railgun.storage.tables import TABLES
from railgun.types import MessageId
from railgun.wire.contacts import format_contact
from railgun.wire.content import TextContent, TypingContent
from railgun.wire.invites import parse_invite
from tests.support.api_lab import WAIT_SECONDS, Lab, lab, network_of, settled, texts, texts_of


async def test_everything_a_room_offers(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        receipt = await here.send("hello")
        assert (receipt.receipts, receipt.of) == (2, 3) or receipt.receipts == 3
        assert 0 < receipt.latency_ms < 5_000
        reader = there.messages()
        heard = await anext(reader)
        assert (heard.text, heard.kind, heard.is_own, heard.message_id) == ("hello", "text", False, receipt.message_id)
        assert heard.author_name == "anna"
        await there.reply(heard.message_id, "hello yourself")
        await there.react(heard.message_id, "\N{THUMBS UP SIGN}")
        await there.set_typing(True)
        await there.set_typing(False)
        back = here.messages()
        reply, reaction = await anext(back), await anext(back)
        assert (reply.kind, reply.text, reply.target) == ("reply", "hello yourself", heard.message_id)
        assert (reaction.kind, reaction.text, reaction.target) == ("reaction", "\N{THUMBS UP SIGN}", heard.message_id)
        async with asyncio.timeout(WAIT_SECONDS):
            signs = [await here.typing(), await here.typing()]
        assert sorted(sign.is_active for sign in signs) == [False, True]
        assert {sign.device_key for sign in signs} == {bert.identity.device_key}
        assert texts(here.history()) == ["hello", "hello yourself", "\N{THUMBS UP SIGN}"]
        assert [message.is_own for message in here.history()] == [True, False, False]
        assert here.history()[0].author_name == "anna"
        assert texts(here.history(1)) == ["\N{THUMBS UP SIGN}"]
        assert texts(here.history(1, before=reaction.message_id)) == ["hello yourself"]
        assert {(member.name, member.is_admin, member.is_self) for member in there.members()} == {
            ("anna", True, False),
            ("bert", False, True),
        }
        assert "hello" not in repr(here)
        assert here == anna.room("ops") == anna.room(here.room_id.hex()[:8])
        assert len({here, anna.room("ops")}) == 1


async def test_long_text_travels_in_parts_and_its_receipt_is_for_all_of_them(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        text = "".join(chr(0x4E00 + index % 2_000) for index in range(43_000))
        receipt = await here.send(text)
        assert receipt.receipts >= 2
        assert await texts_of(there, 1) == [text]
        with pytest.raises(UsageError, match="cannot be sent"):
            await here.send(2 * text)
        with pytest.raises(UsageError, match="cannot be sent"):
            await here.send("\ud800")
        with pytest.raises(UsageError, match="16 bytes"):
            await here.react(MessageId(bytes(15)), "x")
        with pytest.raises(UsageError, match="set_typing"):
            await here.send(TypingContent(True))


async def test_unacknowledged_messages_come_again_and_others_do_not(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        for number in range(4):
            await here.send(str(number))
        await there.send("own messages are not read back")
        reader = there.messages()
        assert [(await anext(reader)).text for _ in range(3)] == ["0", "1", "2"]
        await bert.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(reader)
        bert = await net.connect("bert")
        again = bert.room("ops")
        assert await texts_of(again, 2) == ["2", "3"]
        assert sorted(texts(again.history())) == ["0", "1", "2", "3", "own messages are not read back"]


async def test_a_reader_survives_its_own_timeout_and_gives_way_to_a_newer_one(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        reader = there.messages()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(reader)
        waiting = asyncio.create_task(reader.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="waiting already"):
            await anext(reader)
        await here.send("one")
        assert (await waiting).text == "one"
        # A newer reader takes over what the older one has not acknowledged; the older is told.
        newer = there.messages()
        assert (await anext(newer)).text == "one"
        with pytest.raises(UsageError, match="another reader"):
            await anext(reader)
        third, newer_waits = there.messages(), asyncio.create_task(newer.__anext__())
        await asyncio.sleep(0)
        third_waits = asyncio.create_task(third.__anext__())
        with pytest.raises(UsageError, match="another reader"):
            await newer_waits
        await here.send("two")
        assert (await third_waits).text == "two"


async def test_a_send_that_is_cancelled_arrives_all_the_same_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        sending = asyncio.create_task(here.send("cancelled"))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await texts_of(there, 1) == ["cancelled"]
        mail = anna._rooms._mail[here.room_id]
        assert not mail._sending
        assert not mail._by_part
        assert mail._slots._value == SENDS_IN_FLIGHT_MAX


async def test_many_sends_at_once_take_their_turns_in_order(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        count = 4 * SENDS_IN_FLIGHT_MAX
        sends = [asyncio.create_task(here.send(f"{number}")) for number in range(count)]
        await asyncio.sleep(0)
        assert len(anna._rooms._mail[here.room_id]._sending) <= SENDS_IN_FLIGHT_MAX
        receipts = await asyncio.gather(*sends)
        assert len({receipt.message_id for receipt in receipts}) == count
        assert sorted(map(int, await texts_of(there, count))) == list(range(count))
        assert texts(here.history(500)) == [str(number) for number in range(count)]


async def test_what_is_said_offline_is_kept_bounded_and_goes_out_later(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        await anna.shared.links.aclose()  # no link will come up again for this process
        with pytest.raises(DiscoveryError, match="kept and goes on"):
            await here.send("said offline", timeout=0.1)
        machine = anna.member_room(here.room_id)
        sends = [
            asyncio.create_task(here.send(str(number), timeout=0.5)) for number in range(2 * SENDS_IN_FLIGHT_MAX)
        ]
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert sum(isinstance(result, DiscoveryError) for result in results) >= SENDS_IN_FLIGHT_MAX
        assert all(isinstance(result, DiscoveryError | UsageError) for result in results)
        waiting = len(machine.conversation.outbox)
        for _ in range(PENDING_SENDS_MAX - waiting):
            anna.apply(machine, machine.send(TextContent("fill"), 0, anna.wall()))
        with pytest.raises(UsageError, match="wait for relays already"):
            await here.send("too much")
        under_way = asyncio.create_task(anna.wait())
        await anna.aclose()
        await under_way
        anna = await net.connect("anna")
        assert "said offline" in await texts_of(there, 1)
        assert await anna.wait_until(lambda: not anna.member_room(here.room_id).conversation.outbox, WAIT_SECONDS)


async def test_closing_ends_everything_that_waits(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, _ = await net.room_of(anna, bert)
        link = here.invite()
        await bert.aclose()
        cara = await net.connect("cara")
        asking = asyncio.create_task(cara.join(link, timeout=None))
        await anna.aclose()  # nobody is there to let her in
        waiting = asyncio.create_task(cara.wait())
        room = await cara.create_room("alone")
        typing = asyncio.create_task(room.typing())
        reading = asyncio.create_task(room.messages().__anext__())
        until = asyncio.create_task(cara.wait_until(lambda: False, 60))
        sending = asyncio.create_task(room.send("x"))
        await asyncio.sleep(0)
        await asyncio.gather(cara.aclose(), cara.aclose())
        await cara.aclose()
        await waiting
        results = await asyncio.gather(asking, typing, reading, until, sending, return_exceptions=True)
        assert [type(result) for result in results] == [
            UsageError,
            UsageError,
            StopAsyncIteration,
            UsageError,
            UsageError,
        ]
        for action in (
            lambda: room.send("x"),
            lambda: room.set_typing(True),
            lambda: cara.join(link),
            lambda: cara.create_room("y"),
            room.leave,
            cara.rotate_prekey,
        ):
            with pytest.raises(UsageError, match="closed"):
                await action()
        for read in (room.history, room.invite):
            with pytest.raises(UsageError, match="closed"):
                read()
        # What was under way is kept; the request to join goes on at the next start.
        cara = await net.connect("cara")
        assert [view.name for view in cara.status().rooms] == [None, "alone"] or [
            view.name for view in cara.status().rooms
        ] == ["alone", None]
        assert texts(cara.room("alone").history()) == ["x"]
        anna = await net.connect("anna")
        assert (await cara.join(link)).name == "ops"
        await settled(cara, cara.room("ops"), 3)


async def test_close_survives_the_cancellation_of_whoever_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()
    start = WebRtcLinks.start

    async def start_and_hang(links: WebRtcLinks) -> None:
        await start(links)
        started.set()
        await asyncio.Event().wait()

    async with lab(tmp_path) as net:
        anna = await net.connect("anna")
        closing = asyncio.create_task(anna.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await anna.aclose()
        anna = await net.connect("anna")  # the profile is free
        assert not anna.is_closed
        # A connect that is cancelled frees it as well.
        await anna.aclose()
        with monkeypatch.context() as patches:
            patches.setattr(WebRtcLinks, "start", start_and_hang)
            connecting = asyncio.create_task(open_soon(net))
            await started.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        await (await net.connect("anna")).aclose()


async def open_soon(net: Lab) -> Peer:
    return await railgun.connect(net.profile("anna"), network=net.network, bootstrap=net.bootstrap)


async def test_joining_is_refused_for_what_cannot_work_and_taken_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, lab(tmp_path / "other", relays=1, network=network_of(name="another")) as other:
        anna, zoe = await net.connect("anna"), await other.connect("zoe")
        room = await anna.create_room("ops", committee_size=3)
        foreign = (await zoe.create_room("far away")).invite()
        with pytest.raises(UsageError, match="another network"):
            await anna.join(foreign)
        link = room.invite()
        mistyped = link[:40] + ("A" if link[40] != "A" else "B") + link[41:]
        with pytest.raises(MalformedInput):
            await anna.join(mistyped)
        assert await anna.join(link) == room  # already in
        await anna.aclose()
        bert = await net.connect("bert")
        with pytest.raises(DiscoveryError, match="nobody has let us in"):
            await bert.join(link, timeout=0.2)
        assert bert.rooms() == []
        assert [view.name for view in bert.status().rooms] == [None]
        asking = asyncio.create_task(bert.join(link))
        await asyncio.sleep(0)
        await bert.leave(room.room_id)
        with pytest.raises(NotMember, match="taken back"):
            await asking
        assert bert.status().rooms == ()
        assert not bert.shared.store.load("rooms")
        with pytest.raises(NotMember):
            await bert.leave(room.room_id)


async def test_a_newer_link_replaces_the_one_that_was_asked_with(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        room = await anna.create_room("ops", committee_size=3)
        first, second = room.invite(), room.invite()
        await anna.aclose()
        with pytest.raises(DiscoveryError):
            await bert.join(first, timeout=0.1)
        asking = asyncio.create_task(bert.join(second))
        await asyncio.sleep(0)
        await bert.aclose()
        with pytest.raises(UsageError):
            await asking
        bert = await net.connect("bert")
        asked = bert.machine.rooms[room.room_id]
        assert asked.invite == parse_invite(second)  # type: ignore[attr-defined]
        await net.connect("anna")
        assert (await bert.join(second)).name == "ops"


async def test_rooms_of_one_name_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=1) as net:
        anna = await net.connect("anna")
        one, two = await anna.create_room("ops"), await anna.create_room("ops")
        with pytest.raises(UsageError, match="2 rooms are called 'ops'"):
            anna.room("ops")
        assert anna.room(one.room_id.hex()[:8]) == one
        assert anna.room(two.room_id) == two
        with pytest.raises(NotMember, match="no room"):
            anna.room("nowhere")
        for name in ("", "  ", "a\nb", "\x1b[2J", "x" * 129):
            with pytest.raises(UsageError):
                await anna.create_room(name)
        with pytest.raises(UsageError):
            await anna.create_room("ops", committee_size=8)
        for uses, seconds in ((0, 10.0), (1, -1.0), (1, float("nan")), (1, 1e12), (10**9, 10.0)):
            with pytest.raises(UsageError):
                one.invite(uses, seconds)
        for limit in (0, -1):
            with pytest.raises(UsageError):
                one.history(limit)
        with pytest.raises(UsageError, match="no such message"):
            one.history(1, before=MessageId(bytes(16)))


async def test_who_leaves_keeps_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        other = await bert.create_room("another")
        there.invite()
        await there.send("so long")
        await here.send("bye")
        await texts_of(there, 1)
        await there.leave()
        assert bert.rooms() == [other]
        rows = [
            (table, key)
            for table in TABLES
            for key, value in bert.shared.store.load(table)
            if here.room_id in key or here.room_id in value
        ]
        assert rows == []
        with pytest.raises(NotMember):
            await there.leave()
        with pytest.raises(NotMember):
            there.name  # noqa: B018
        with pytest.raises(UsageError, match="closed"):
            await there.send("too late")
        assert await anna.wait_until(lambda: len(here.members()) == 1, WAIT_SECONDS)
        await bert.aclose()
        bert = await net.connect("bert")
        assert [room.name for room in bert.rooms()] == ["another"]


async def test_who_is_removed_is_told_and_stays_out(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert, cara = [await net.connect(name) for name in ("anna", "bert", "cara")]
        here, there, elsewhere = await net.room_of(anna, bert, cara)
        link = here.invite()
        await here.send("before")
        await texts_of(elsewhere, 1)
        reader = there.messages()
        assert (await anext(reader)).text == "before"
        waiting = asyncio.create_task(reader.__anext__())
        with pytest.raises(NotMember, match="only an admin"):
            await there.remove(cara.identity.device_key)
        with pytest.raises(UsageError, match="your own"):
            await here.remove(anna.identity.device_key)
        with pytest.raises(UsageError, match="at least"):
            await here.remove("")
        with pytest.raises(NotMember, match="0 members fit"):
            await here.remove("ffffffff" if not bert.identity.device_key.hex().startswith("ffffffff") else "00000000")
        with pytest.raises(UsageError, match="at least 8 digits"):
            await here.remove(bert.identity.device_key.hex()[:7])
        assert len(here.members()) == 3
        await here.remove(bert.identity.device_key.hex()[:8])
        with pytest.raises(StopAsyncIteration):
            async with asyncio.timeout(WAIT_SECONDS):
                await waiting
        assert not there.is_member
        with pytest.raises(NotMember):
            await there.send("let me back in")
        with pytest.raises(NotMember):
            await there.set_typing(True)
        with pytest.raises(NotMember):
            there.invite()
        with pytest.raises(NotMember, match="stays out"):
            await bert.join(link)
        assert texts(there.history()) == ["before"]
        await here.send("without him")
        assert await texts_of(elsewhere, 2) == ["before", "without him"]
        await bert.aclose()
        bert = await net.connect("bert")
        again = bert.room("ops")
        assert [view.is_member for view in bert.status().rooms] == [False]
        with pytest.raises(NotMember):
            await again.send("hello?")
        with pytest.raises(StopAsyncIteration):
            await anext(again.messages())
        await again.leave()
        assert bert.rooms() == []
        # With nothing left of the room it asks like a stranger, and is shown why nobody lets it in.
        with pytest.raises(NotMember, match="stays out"):
            await bert.join(here.invite())
        assert bert.status().rooms == ()


async def test_connect_takes_contacts_as_text_and_remembers_network_and_relays(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        texts_of_contacts = [format_contact(relay.contact) for relay in net.relays]
        with pytest.raises(UsageError, match="no network yet"):
            await railgun.connect(net.profile("anna"))
        async with railgun.connect(net.profile("anna"), network=net.network, bootstrap=texts_of_contacts[:1]) as anna:
            assert await anna.wait_until(lambda: anna.status().relays_linked > 0, WAIT_SECONDS)
            with pytest.raises(UsageError, match=r"process \d+"):
                await railgun.connect(net.profile("anna"))
        assert anna.is_closed
        async with railgun.connect(net.profile("anna")) as anna:
            assert anna.network == net.network
            assert await anna.wait_until(lambda: anna.status().relays_known == 3, WAIT_SECONDS)
        with pytest.raises(UsageError, match="another profile"):
            await railgun.connect(net.profile("anna"), network=network_of(name="another"))
        with pytest.raises(UsageError, match="no profile"):
            await railgun.connect(tmp_path / "nobody")


async def test_relays_given_are_kept_though_none_had_time_to_answer(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=1) as net:
        async with railgun.connect(net.profile("anna"), network=net.network, bootstrap=net.bootstrap) as anna:
            room = await anna.create_room("ops")
        async with railgun.connect(net.profile("anna")) as anna:
            assert parse_invite(anna.room(room.room_id).invite()).contacts == tuple(net.bootstrap)
            assert await anna.wait_until(lambda: anna.status().relays_linked > 0, WAIT_SECONDS)
