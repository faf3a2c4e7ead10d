/**
 * Sorted arrays: finding and inserting by halves.
 *
 * Owns: the two searches. Must not know: what is sorted.
 */

/** The first index at which `before` no longer holds; `before` holds for a beginning of `items` and nothing after. */
export function lowerBound<T>(items: readonly T[], before: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (before(items[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Put `item` after all that sort with or before it. */
export function insertSorted<T>(items: T[], item: T, compare: (left: T, right: T) => number): void {
  items.splice(lowerBound(items, (other) => compare(other, item) <= 0), 0, item);
}

/** By code units: for hexadecimal, the order of the bytes. */
export function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
