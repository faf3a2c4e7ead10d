/**
 * Every frame that links carry, and the codec that knows them all.
 *
 * Owns: the frames' fields, bounds and kind numbers. Must not know: who may send which, and what follows from it.
 * Spec: docs/spec/frames.md.
 */
import { InvalidArgument, RefusalCode } from "../errors.js";
import {
  COMMITTEE_MAX,
  COMMITTEE_MIN,
  FRAME_BYTES_MAX,
  IDS_PER_FRAME_MAX,
  PULLS_PER_FRAME_MAX,
  PULSE_BYTES_MAX,
  PULSE_TAGS_MAX,
  RECEIPT_IDS_MAX,
  U32_MAX,
} from "../limits.js";
import { DHT_DECLINED, DHT_FIND, DHT_FOUND, DHT_HELD, DHT_PUT } from "./dhtFrames.js";
import { ADS_PUSH, ADS_REQUEST, DIRECTORY_IDS, DIRECTORY_RANGES } from "./directoryFrames.js";
import { array, BOOL, bytes, Codec, nested, oneOf, optional, structure, uint, type Coded, type Of } from "./schema.js";

export const SubscriptionMode = { AUDIT: 0, SECONDARY: 1, PRIMARY: 2 } as const;
export type SubscriptionMode = (typeof SubscriptionMode)[keyof typeof SubscriptionMode];

const KEY = bytes(32);
const ID = bytes(16);
const IDS = array(ID, IDS_PER_FRAME_MAX);
const SEATS_HASH = bytes(8);
const INCARNATION = bytes(8);
const SIGNATURE = bytes(64);
/** Wider than any envelope on purpose, so that a wrong size gets its own code. */
const ENVELOPE = bytes(1, 65_537);
const NUMBER = uint(U32_MAX);
export const SEALED_CONTACT_BYTES = 730;

/** What a seat must know of a tag, signed by r_e. */
export const TAG_DESCRIPTOR = structure(
  "TagDescriptor",
  { start: NUMBER, tag: KEY, committeeSize: uint(COMMITTEE_MAX), gate: uint(100), signature: SIGNATURE },
  ({ committeeSize }) => {
    if (committeeSize < COMMITTEE_MIN) throw new InvalidArgument("committee size out of range");
  },
);
export type TagDescriptor = Of<typeof TAG_DESCRIPTOR>;
const DESCRIPTOR = nested(TAG_DESCRIPTOR);

const SUBSCRIBE = structure("Subscribe", {
  descriptor: DESCRIPTOR,
  handle: ID,
  mode: oneOf(SubscriptionMode),
  proof: SIGNATURE,
  seatsHash: SEATS_HASH,
  incarnation: INCARNATION,
  fromNumber: NUMBER,
});
const SUBSCRIBED = structure("Subscribed", {
  tag: KEY,
  mode: oneOf(SubscriptionMode),
  seatsHash: SEATS_HASH,
  incarnation: INCARNATION,
  lastNumber: NUMBER,
});
const UNSUBSCRIBE = structure("Unsubscribe", { tag: KEY });
const PUBLISH = structure("Publish", { envelope: ENVELOPE, seatsHash: SEATS_HASH, otherEntry: optional(KEY) });
const OFFER = structure("Offer", { tag: KEY, ids: IDS, entry: KEY });
const RECEIPT = structure("Receipt", { tag: KEY, ids: array(ID, RECEIPT_IDS_MAX, 1), seat: KEY, signature: SIGNATURE });
const DELIVER = structure("Deliver", { number: NUMBER, envelope: ENVELOPE });
const DIGEST = structure("Digest", { tag: KEY, firstNumber: NUMBER, ids: IDS });
const PULL = structure("Pull", {
  tag: KEY,
  numbers: array(NUMBER, PULLS_PER_FRAME_MAX),
  ids: array(ID, PULLS_PER_FRAME_MAX),
});
const SEAT_OPEN = structure("SeatOpen", { descriptor: DESCRIPTOR, seatsHash: SEATS_HASH, reply: BOOL });
const SEAT_PUSH = structure("SeatPush", { envelope: ENVELOPE });
const SEAT_EXCHANGE = structure("SeatExchange", {
  tag: KEY,
  ids: IDS,
  urgent: BOOL,
  heldCount: NUMBER,
  heldFingerprint: bytes(16),
});
const SEAT_PULL = structure("SeatPull", { tag: KEY, ids: array(ID, PULLS_PER_FRAME_MAX) });
const SEAT_DOWN = structure("SeatDown", { tag: KEY, seat: KEY, isDead: BOOL });
const REFUSED = structure("Refused", {
  code: oneOf(RefusalCode),
  tag: optional(KEY),
  ids: optional(IDS),
  retryAfterMs: optional(uint(86_400_000)),
});
const DIRECT_OPEN = structure("DirectOpen", { tag: KEY, proof: SIGNATURE, contact: bytes(SEALED_CONTACT_BYTES) });
const DIRECT_HOLD = structure("DirectHold", { tag: KEY, ids: IDS, asks: BOOL });

export const FRAMES = new Codec(
  {
    Subscribe: [1, SUBSCRIBE],
    Subscribed: [2, SUBSCRIBED],
    Unsubscribe: [3, UNSUBSCRIBE],
    Publish: [4, PUBLISH],
    Offer: [5, OFFER],
    Receipt: [6, RECEIPT],
    Deliver: [7, DELIVER],
    Digest: [8, DIGEST],
    Pull: [9, PULL],
    SeatOpen: [10, SEAT_OPEN],
    SeatPush: [11, SEAT_PUSH],
    SeatExchange: [12, SEAT_EXCHANGE],
    SeatPull: [13, SEAT_PULL],
    SeatDown: [14, SEAT_DOWN],
    Refused: [15, REFUSED],
    DirectoryRanges: [20, DIRECTORY_RANGES],
    DirectoryIds: [21, DIRECTORY_IDS],
    AdsRequest: [22, ADS_REQUEST],
    AdsPush: [23, ADS_PUSH],
    DhtFind: [24, DHT_FIND],
    DhtPut: [25, DHT_PUT],
    DhtFound: [26, DHT_FOUND],
    DhtHeld: [27, DHT_HELD],
    DhtDeclined: [28, DHT_DECLINED],
    DirectOpen: [29, DIRECT_OPEN],
    DirectHold: [30, DIRECT_HOLD],
  } as const,
  FRAME_BYTES_MAX,
);
export type Frame = Coded<typeof FRAMES>;

/** The last number given out for a tag, repeated so that a lost frame is noticed. */
export const TAG_NUMBER = structure("TagNumber", { tag: KEY, lastNumber: NUMBER });

/** Sign of life on the unreliable channel. `echo` answers the remote's sequence number (0: none). */
const PULSE = structure("Pulse", {
  sequence: NUMBER,
  echo: NUMBER,
  wantsEcho: BOOL,
  numbers: array(nested(TAG_NUMBER), PULSE_TAGS_MAX),
});
export const PULSES = new Codec({ Pulse: [1, PULSE] } as const, PULSE_BYTES_MAX);
export type Pulse = Coded<typeof PULSES>;
