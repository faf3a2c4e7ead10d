/**
 * Whose device is whose in a roster: devices that their own person let in, and out.
 *
 * Owns: what proves two devices to be one person's, which revocations stand. Must not know: admins' quarrels, invites.
 * Spec: docs/spec/rooms.md, a person's devices. It takes the device's own signature to agree to a root: else anyone
 * could make a certificate for anyone's device, and act as its person.
 */
import { equalBytes, toHex } from "../bytes.js";
import { compareText } from "../ordered.js";
import type { StoredEntry } from "./rosterEntries.js";
import { Chains, comparePins, shorterPin, type Pin, type Standing, type Tree } from "./rosterRemovals.js";

/** Devices that one device lets in for its person; they let in none themselves. */
export const OWN_DEVICES_PER_AUTHOR_MAX = 16;

interface Revocation {
  readonly pin: Pin;
  readonly stored: StoredEntry;
}

/** The root that vouches for an add in place of an invite; null where none does. Hexadecimal. */
export function ownRoot({ entry, certificate }: StoredEntry): string | null {
  if (entry.is !== "Add" || entry.request === null || certificate === null) return null;
  return equalBytes(entry.request.inviteKey, certificate.rootKey) ? toHex(certificate.rootKey) : null;
}

/** Certificates and consents of a whole roster, whether the entries that carry them count or not. */
class Persons {
  /** Devices that their own person let in. */
  readonly linked = new Set<string>();
  readonly #certified = new Map<string, Set<string>>();
  readonly #agreed = new Map<string, Set<string>>();

  constructor(creation: StoredEntry, tree: Tree) {
    this.#read(creation, creation.author, true);
    for (const byNumber of tree.values()) {
      for (const stored of [...byNumber.values()].flatMap((variants) => [...variants.values()])) {
        if (stored.entry.is !== "Add") continue;
        const device = toHex(stored.entry.device);
        this.#read(stored, device, stored.entry.request !== null);
        if (ownRoot(stored) !== null) this.linked.add(device);
      }
    }
  }

  #read({ certificate }: StoredEntry, device: string, agreed: boolean): void {
    if (certificate === null) return;
    const root = toHex(certificate.rootKey);
    addTo(this.#certified, device, root);
    if (agreed) addTo(this.#agreed, device, root);
  }

  /** Whether a root to which `target` agreed says that `author` is its device as well. */
  mayRevoke(author: string, target: string): boolean {
    const certified = this.#certified.get(author);
    return author !== target && [...(this.#agreed.get(target) ?? [])].some((root) => certified?.has(root) ?? false);
  }
}

/** What is settled once people's own revocations are, too. They never touch admins, so none of what admins did. */
export function withRevocations(standing: Standing, creation: StoredEntry, tree: Tree): Standing {
  const authors = [...tree.keys()].filter((author) => revocationsOf(standing.chains, author).length > 0);
  if (authors.length === 0) return standing;
  const persons = new Persons(creation, tree);
  // Who was there before its person's other devices were wins; then the smaller key.
  const rank = (author: string): number => (persons.linked.has(author) ? 1 : 0);
  authors.sort((left, right) => rank(left) - rank(right) || compareText(left, right));
  let pins = new Map(standing.pins);
  const stood = new Map<string, StoredEntry>();
  const revoked = new Set<string>();
  for (const author of authors) {
    for (const [target, { pin, stored }] of revocationsOf(new Chains(creation.id, tree, pins), author)) {
      const isFree = !standing.pins.has(target) && !standing.admins.has(target);
      if (!isFree || !persons.mayRevoke(author, target)) continue;
      const trial = new Map(pins).set(target, shorterPin(pins.get(target), pin));
      const earlier = stood.get(target);
      // It must not void what a stronger device of the person did by then.
      if (earlier !== undefined && !new Chains(creation.id, tree, trial).holds(earlier)) continue;
      pins = trial;
      revoked.add(target);
      const own = stood.get(author);
      if (own === undefined || stored.number > own.number) stood.set(author, stored);
    }
  }
  return { ...standing, pins, chains: new Chains(creation.id, tree, pins), revoked };
}

/** By target, ascending, the shortest pin that a counted revocation of `author` names, and that entry. */
function revocationsOf(chains: Chains, author: string): [string, Revocation][] {
  const found = new Map<string, Revocation>();
  for (const stored of chains.of(author)) {
    if (stored.entry.is !== "Revoke") continue;
    for (const { device, lastNumber, lastHash } of stored.entry.targets) {
      const pin = { number: lastNumber, id: toHex(lastHash) };
      const held = found.get(toHex(device));
      if (held === undefined || comparePins(pin, held.pin) < 0) found.set(toHex(device), { pin, stored });
    }
  }
  return [...found].sort(([left], [right]) => compareText(left, right));
}

function addTo(groups: Map<string, Set<string>>, name: string, item: string): void {
  const group = groups.get(name);
  if (group === undefined) groups.set(name, new Set([item]));
  else group.add(item);
}
