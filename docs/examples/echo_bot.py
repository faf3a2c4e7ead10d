"""A bot that says back what it is told, in every room that its profile is in.

    export RAILGUN_PROFILE_DIRECTORY=bot
    railgun init --name echo --no-passphrase           # once: a member of its own
    railgun join 'railgun://join/...'                  # once a room; or give the link below
    python docs/examples/echo_bot.py bot [LINK]

Every message is answered, also across crashes: one counts as read when the next is asked for.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import railgun

NO_ROOM = "I am in no room yet: give me an invite link as well"


async def echo(room: railgun.Room) -> None:
    """Answer until the room or the peer is closed."""
    async for message in room.messages():
        if message.kind != "text":
            continue
        try:
            await room.reply(message.message_id, f"{message.author_name} said: {message.text}")
        except railgun.DiscoveryError as error:
            print(error, file=sys.stderr)  # no relay just now; the answer is kept and goes out by itself


async def main(profile: Path, link: str | None) -> None:
    async with railgun.connect(profile) as peer:
        if link is not None:
            await peer.join(link)
        if not peer.rooms():
            sys.exit(NO_ROOM)
        print("ready", flush=True)
        tasks = [asyncio.create_task(echo(room)) for room in peer.rooms()]
        tasks.append(asyncio.create_task(peer.wait()))  # raises what ends the peer: a full disk, for one
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    except railgun.RailGunError as error:
        sys.exit(str(error))
