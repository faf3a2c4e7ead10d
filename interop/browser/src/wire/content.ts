/**
 * What a message says: the CBOR array under Megolm.
 *
 * Owns: content types, their fields and bounds, how much fits an envelope. Must not know: sessions, who said it, when.
 * Spec: docs/spec/messages.md, docs/spec/files.md. A type that is not known here is kept whole, as unsupported.
 */
import { InvalidArgument, MalformedInput } from "../errors.js";
import {
  CONTENT_BYTES_MAX,
  CONTENT_PARTS_MAX,
  DEVICE_NAME_BYTES_MAX,
  EMOJI_BYTES_MAX,
  FILE_BYTES_MAX,
  FILE_NAME_BYTES_MAX,
  FILE_WANT_RANGES_MAX,
  INVITE_LINK_CHARACTERS_MAX,
  MESSAGE_IDS_PER_CONTENT_MAX,
  MESSAGE_PARENTS_MAX,
  OWN_ROOMS_PER_CONTENT_MAX,
  ROSTER_ENTRY_BYTES_MAX,
  TEXT_BYTES_MAX,
} from "../limits.js";
import { decode, encode, type Value } from "./cbor.js";
import { PREKEY_FIELD } from "./roster.js";
import {
  array,
  BOOL,
  bytes,
  nested,
  packFields,
  structure,
  text,
  uint,
  unpackFields,
  type Item,
  type Structure,
} from "./schema.js";

const TYPE_MAX = 65_535;
/** The longest content whose Megolm message fits an envelope of each class, whatever its index. */
export const PLAINTEXT_BYTES_MAX = [31, 3_871, 65_311] as const;
const PART_BYTES_MAX = PLAINTEXT_BYTES_MAX[2] - 32;
const FILE_UNIT_BYTES = 3_840;
const FILE_UNITS_PER_PART_MAX = 17;
const FILE_UNITS_MAX = Math.ceil(FILE_BYTES_MAX / FILE_UNIT_BYTES);

const ID = bytes(16);
const IDS = array(ID, MESSAGE_IDS_PER_CONTENT_MAX);
const PARENTS = array(ID, MESSAGE_PARENTS_MAX);
const TEXT = text(TEXT_BYTES_MAX);

const UNIT_RANGE = structure(
  "UnitRange",
  { first: uint(FILE_UNITS_MAX - 1), count: uint(FILE_UNITS_MAX) },
  ({ first, count }) => {
    if (count < 1 || first + count > FILE_UNITS_MAX) throw new InvalidArgument("a range of units that no file has");
  },
);

/** Name to type number and fields. `Part` is a piece of longer content; `first` the id of part 0, empty in part 0. */
const TYPES = {
  Part: [0, structure(
    "Part",
    {
      index: uint(CONTENT_PARTS_MAX - 1),
      count: uint(CONTENT_PARTS_MAX),
      first: bytes(0, 16),
      data: bytes(1, PART_BYTES_MAX),
    },
    ({ index, count, first }) => {
      if (index >= count || count < 2 || first.length !== (index > 0 ? 16 : 0)) {
        throw new InvalidArgument("the parts do not add up");
      }
    },
  )],
  Text: [1, structure("Text", { text: TEXT, parents: PARENTS })],
  Reply: [2, structure("Reply", { target: ID, text: TEXT, parents: PARENTS })],
  Reaction: [3, structure("Reaction", { target: ID, emoji: text(EMOJI_BYTES_MAX) })],
  Typing: [4, structure("Typing", { active: BOOL })],
  Edit: [5, structure("Edit", { target: ID, text: TEXT, parents: PARENTS })],
  Delete: [6, structure("Delete", { target: ID, parents: PARENTS })],
  FileOffer: [7, structure("FileOffer", {
    name: text(FILE_NAME_BYTES_MAX, 1),
    mediaType: text(FILE_NAME_BYTES_MAX),
    sizeBytes: uint(),
    contentHash: bytes(32),
    parents: PARENTS,
  })],
  Roster: [8, structure("Roster", {
    entries: array(bytes(1, ROSTER_ENTRY_BYTES_MAX), 8),
    prekeys: array(PREKEY_FIELD, 8),
  })],
  Heads: [9, structure("Heads", { ids: IDS, leaves: IDS, roster: bytes(0, 8) })],
  Want: [10, structure("Want", { ids: IDS, trail: uint(MESSAGE_IDS_PER_CONTENT_MAX) })],
  OwnRooms: [11, structure("OwnRooms", {
    name: text(DEVICE_NAME_BYTES_MAX),
    asks: BOOL,
    invites: array(text(INVITE_LINK_CHARACTERS_MAX), OWN_ROOMS_PER_CONTENT_MAX),
  })],
  FilePart: [12, structure("FilePart", {
    file: ID,
    first: uint(FILE_UNITS_MAX - 1),
    data: bytes(1, FILE_UNITS_PER_PART_MAX * FILE_UNIT_BYTES),
  })],
  FileWant: [13, structure("FileWant", { file: ID, ranges: array(nested(UNIT_RANGE), FILE_WANT_RANGES_MAX, 1) })],
  Trail: [14, structure("Trail", { after: ID, ids: IDS })],
  Before: [15, structure("Before", { device: bytes(32), ids: IDS })],
} as const;

/** Content of a type that this version does not know. `data` is all of it, type included. */
export interface UnsupportedContent {
  readonly is: "Unsupported";
  readonly type: number;
  readonly data: Uint8Array;
}
export type KnownContent = Item<typeof TYPES>;
export type Content = KnownContent | UnsupportedContent;

type AnyType = readonly [number, Structure<unknown>];
const BY_NAME = TYPES as unknown as Readonly<Record<string, AnyType>>;
const BY_NUMBER: ReadonlyMap<number, readonly [string, Structure<unknown>]> =
  new Map(Object.entries(BY_NAME).map(([name, [number, inner]]) => [number, [name, inner]]));

/** The number by which a content travels. */
export function typeOf(content: Content): number {
  return content.is === "Unsupported" ? content.type : TYPES[content.is][0];
}

/** Raises InvalidArgument where a field does not fit, or all of it is over CONTENT_BYTES_MAX. */
export function encodeContent(content: Content): Uint8Array {
  if (content.is === "Unsupported") return content.data;
  const [number, inner] = BY_NAME[content.is] ?? unknownName();
  const data = encode([number, ...packFields(inner, content)]);
  if (data.length > CONTENT_BYTES_MAX) throw new InvalidArgument(`${data.length} bytes of content`);
  return data;
}

function unknownName(): never {
  throw new InvalidArgument("no such content");
}

/** Decode what a member said. Raises MalformedInput. */
export function decodeContent(data: Uint8Array): Content {
  const value = decode(data, CONTENT_BYTES_MAX);
  const [number, ...fields] = (Array.isArray(value) ? value : []) as readonly Value[];
  if (typeof number !== "number" || number < 0 || number > TYPE_MAX) {
    throw new MalformedInput("content is an array that starts with its type");
  }
  const known = BY_NUMBER.get(number);
  if (known === undefined) return { is: "Unsupported", type: number, data };
  const [is, inner] = known;
  if (fields.length !== inner.fields.length) throw new MalformedInput("content of the wrong length");
  return { is, ...(unpackFields(inner, fields) as object) } as KnownContent;
}

/** Pieces of encoded content; one, the whole, where it fits an envelope as it is. */
export function splitContent(data: Uint8Array): Uint8Array[] {
  if (data.length <= PLAINTEXT_BYTES_MAX[2]) return [data];
  const count = Math.ceil(data.length / PART_BYTES_MAX);
  return Array.from({ length: count }, (_, index) => data.slice(index * PART_BYTES_MAX, (index + 1) * PART_BYTES_MAX));
}
