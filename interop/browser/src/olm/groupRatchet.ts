/**
 * Megolm's ratchet: four parts that can be wound forward to any index in at most 1,020 steps, and never back.
 *
 * Owns: the winding. Must not know: what is encrypted. Spec: docs/spec/sessions.md, "Megolm".
 */
import { InvalidArgument } from "../errors.js";
import { hmacSha256, KEY_BYTES, wipe } from "./primitives.js";
import { redact } from "./redaction.js";

export const PARTS = 4;
export const RATCHET_BYTES = PARTS * KEY_BYTES;
export const INDEX_MAX = 0xffff_ffff;
/** Part j moves every 256^(3 - j) messages. */
const DIGIT_BITS = 8;
const PART_SEEDS = [Uint8Array.of(0), Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)] as const;

export class GroupRatchet {
  readonly #parts: Uint8Array;
  #index: number;

  /** Takes `parts` (128 bytes, secret) over. */
  constructor(parts: Uint8Array, index: number) {
    if (parts.length !== RATCHET_BYTES || !Number.isInteger(index) || index < 0 || index > INDEX_MAX) {
      throw new InvalidArgument("a ratchet has 128 bytes and an index of 32 bits");
    }
    this.#parts = parts;
    this.#index = index;
    redact(this, "GroupRatchet");
  }

  get index(): number {
    return this.#index;
  }

  /** All four, 128 bytes. Secret, and shared with this object. */
  get parts(): Uint8Array {
    return this.#parts;
  }

  copy(): GroupRatchet {
    return new GroupRatchet(this.#parts.slice(), this.#index);
  }

  /** Wind forward. Raises InvalidArgument for an index that lies behind. */
  advanceTo(target: number): void {
    if (!Number.isInteger(target) || target < this.#index || target > INDEX_MAX) {
      throw new InvalidArgument("a ratchet goes forward, within 32 bits");
    }
    for (let part = 0; part < PARTS; part += 1) {
      const shift = DIGIT_BITS * (PARTS - 1 - part);
      // Wherever a part of lower number moved, the index now stands at its step's start: this part counts from there.
      const steps = (target >>> shift) - (this.#index >>> shift);
      for (let step = 1; step < steps; step += 1) {
        this.#replace(part, part);
      }
      if (steps > 0) {
        // A last step sets the parts after this one anew. This part goes last: the others come from its old value.
        for (let later = PARTS - 1; later >= part; later -= 1) {
          this.#replace(later, part);
        }
        this.#index = ((target >>> shift) << shift) >>> 0;
      }
    }
  }

  /** Forget. The ratchet is of no use afterwards. */
  wipe(): void {
    wipe(this.#parts);
  }

  #replace(part: number, from: number): void {
    const seed = PART_SEEDS[part] ?? Uint8Array.of(part);
    const value = hmacSha256(this.#parts.subarray(from * KEY_BYTES, (from + 1) * KEY_BYTES), seed);
    this.#parts.set(value, part * KEY_BYTES);
    wipe(value);
  }
}
