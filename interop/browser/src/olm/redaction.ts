/**
 * What holds secrets tells nothing but its kind when it is printed, inspected or made JSON of.
 *
 * Owns: that. Must not know: which secrets. Secrets stand in private fields besides, which no inspection reads.
 */

/** Node's name for the method that `util.inspect` and `console.log` ask; nothing elsewhere. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** Give an object of kind `name` the answers of one that has secrets, and return it. */
export function redact<T extends object>(holder: T, name: string): T {
  const answer = (): string => `${name}(<redacted>)`;
  for (const key of ["toString", "toJSON", INSPECT]) {
    Object.defineProperty(holder, key, { value: answer, enumerable: false });
  }
  return holder;
}
