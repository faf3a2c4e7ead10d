/**
 * Items in a message: how frames share one data-channel message, and how a large frame is cut.
 *
 * Owns: the layout of a message on the reliable channel, the coalescing encoder, the bounded reassembler.
 * Must not know: what a frame says, or any channel. Spec: docs/spec/links.md, messages and items.
 */
import { concatBytes, readU16, readU32, u32 } from "../bytes.js";
import { InvalidArgument, MalformedInput, RefusalCode } from "../errors.js";
import {
  FRAGMENT_BYTES_MAX,
  FRAGMENTED_FRAMES_MAX,
  FRAME_BYTES_MAX,
  HANDSHAKE_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  U32_MAX,
} from "../limits.js";

export const ItemType = { FRAME: 0, FRAGMENT: 1, GOODBYE: 2, HANDSHAKE: 3 } as const;

/** A whole frame, a goodbye or a message of the proof. `retryAfterMs` null: none given. */
export type MessageItem =
  | { readonly type: typeof ItemType.FRAME; readonly data: Uint8Array }
  | { readonly type: typeof ItemType.GOODBYE; readonly code: RefusalCode; readonly retryAfterMs: number | null }
  | { readonly type: typeof ItemType.HANDSHAKE; readonly data: Uint8Array };

const ITEM_HEADER_BYTES = 3;
const FRAGMENT_HEADER_BYTES = 8;
const GOODBYE_BYTES = 5;
const NO_RETRY = U32_MAX;
const WHOLE_BYTES_MAX = MESSAGE_BYTES_MAX - ITEM_HEADER_BYTES;
const FRAGMENTS_MAX = Math.ceil(FRAME_BYTES_MAX / FRAGMENT_BYTES_MAX);

/** A message that holds one goodbye; a longer wait than 32 bits hold is cut to the longest. */
export function goodbyeMessage(code: RefusalCode, retryAfterMs: number | null): Uint8Array {
  const wait = retryAfterMs === null ? NO_RETRY : Math.max(0, Math.min(retryAfterMs, NO_RETRY - 1));
  return item(ItemType.GOODBYE, Uint8Array.of(code), u32(wait));
}

/** A message that holds one message of the proof. Raises InvalidArgument beyond HANDSHAKE_BYTES_MAX. */
export function handshakeMessage(data: Uint8Array): Uint8Array {
  if (data.length < 1 || data.length > HANDSHAKE_BYTES_MAX) {
    throw new InvalidArgument(`a handshake message has 1 to ${HANDSHAKE_BYTES_MAX} bytes`);
  }
  return item(ItemType.HANDSHAKE, data);
}

function item(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return concatBytes(Uint8Array.of(type, length >> 8, length & 255), ...parts);
}

/** Packs one link's frames into as few messages as hold them, in order. */
export class FrameEncoder {
  #nextTransfer = 0;

  /** Messages of at most MESSAGE_BYTES_MAX bytes. Raises InvalidArgument: a frame is empty or too long. */
  encode(frames: Iterable<Uint8Array>): Uint8Array[] {
    const messages: Uint8Array[] = [];
    let parts: Uint8Array[] = [];
    let room = MESSAGE_BYTES_MAX;
    for (const frame of frames) {
      for (const one of this.#items(frame)) {
        if (one.length > room) {
          messages.push(concatBytes(...parts));
          parts = [];
          room = MESSAGE_BYTES_MAX;
        }
        parts.push(one);
        room -= one.length;
      }
    }
    if (parts.length > 0) messages.push(concatBytes(...parts));
    return messages;
  }

  #items(frame: Uint8Array): Uint8Array[] {
    if (frame.length < 1 || frame.length > FRAME_BYTES_MAX) {
      throw new InvalidArgument(`a frame has 1 to ${FRAME_BYTES_MAX} bytes, not ${frame.length}`);
    }
    if (frame.length <= WHOLE_BYTES_MAX) return [item(ItemType.FRAME, frame)];
    const transfer = this.#nextTransfer;
    this.#nextTransfer = (transfer + 1) % (U32_MAX + 1);
    const count = Math.ceil(frame.length / FRAGMENT_BYTES_MAX);
    return Array.from({ length: count }, (_, index) => {
      const head = concatBytes(u32(transfer), Uint8Array.of(0, index, 0, count));
      const body = frame.subarray(index * FRAGMENT_BYTES_MAX, (index + 1) * FRAGMENT_BYTES_MAX);
      return item(ItemType.FRAGMENT, head, body);
    });
  }
}

interface Transfer {
  readonly parts: (Uint8Array | null)[];
  missing: number;
  heldBytes: number;
}

/**
 * Takes one link's messages apart and puts fragmented frames together again.
 *
 * Holds at most FRAGMENTED_FRAMES_MAX unfinished frames; the oldest is dropped.
 */
export class FrameDecoder {
  readonly #transfers = new Map<number, Transfer>();
  framesDropped = 0;

  /**
   * The items that `message` completes, in order. Their bytes are copies.
   *
   * Raises MalformedInput: the message is empty, too long, cut off, or holds an unknown or invalid item.
   */
  decode(message: Uint8Array): MessageItem[] {
    const total = message.length;
    if (total < 1 || total > MESSAGE_BYTES_MAX) throw new MalformedInput("message of an impossible length");
    const items: MessageItem[] = [];
    let position = 0;
    while (position < total) {
      const start = position + ITEM_HEADER_BYTES;
      if (start > total) throw new MalformedInput("truncated item");
      const end = start + readU16(message, position + 1);
      if (end > total || end === start) throw new MalformedInput("truncated or empty item");
      const found = this.#item(message[position] ?? 0, message.slice(start, end));
      if (found !== null) items.push(found);
      position = end;
    }
    return items;
  }

  #item(type: number, body: Uint8Array): MessageItem | null {
    switch (type) {
      case ItemType.FRAME:
        return { type, data: body };
      case ItemType.FRAGMENT:
        return this.#fragment(body);
      case ItemType.GOODBYE:
        return goodbye(body);
      case ItemType.HANDSHAKE:
        if (body.length > HANDSHAKE_BYTES_MAX) throw new MalformedInput("handshake message too long");
        return { type, data: body };
      default:
        throw new MalformedInput("unknown item type");
    }
  }

  #fragment(body: Uint8Array): MessageItem | null {
    if (body.length <= FRAGMENT_HEADER_BYTES) throw new MalformedInput("truncated fragment");
    const [id, index, count] = [readU32(body, 0), readU16(body, 4), readU16(body, 6)];
    const payload = body.subarray(FRAGMENT_HEADER_BYTES);
    if (count < 2 || count > FRAGMENTS_MAX || index >= count) throw new MalformedInput("impossible fragment number");
    const isLast = index === count - 1;
    if (payload.length > FRAGMENT_BYTES_MAX || (!isLast && payload.length !== FRAGMENT_BYTES_MAX)) {
      throw new MalformedInput("fragment of the wrong length");
    }
    const transfer = this.#transfers.get(id) ?? this.#begin(id, count);
    if (transfer.parts.length !== count || transfer.parts[index] !== null) {
      throw new MalformedInput("contradicting fragments");
    }
    transfer.parts[index] = payload;
    transfer.missing -= 1;
    transfer.heldBytes += payload.length;
    if (transfer.heldBytes > FRAME_BYTES_MAX) throw new MalformedInput("frame too long");
    if (transfer.missing > 0) return null;
    this.#transfers.delete(id);
    return { type: ItemType.FRAME, data: concatBytes(...transfer.parts.filter((part) => part !== null)) };
  }

  #begin(id: number, count: number): Transfer {
    const [oldest] = this.#transfers.keys();
    if (oldest !== undefined && this.#transfers.size >= FRAGMENTED_FRAMES_MAX) {
      this.#transfers.delete(oldest);
      this.framesDropped += 1;
    }
    const transfer: Transfer = { parts: new Array<Uint8Array | null>(count).fill(null), missing: count, heldBytes: 0 };
    this.#transfers.set(id, transfer);
    return transfer;
  }
}

function goodbye(body: Uint8Array): MessageItem {
  if (body.length !== GOODBYE_BYTES) throw new MalformedInput("goodbye of the wrong length");
  const code = Object.values(RefusalCode).find((known) => known === body[0]);
  if (code === undefined) throw new MalformedInput("unknown goodbye code");
  const wait = readU32(body, 1);
  return { type: ItemType.GOODBYE, code, retryAfterMs: wait === NO_RETRY ? null : wait };
}
