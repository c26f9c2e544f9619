/** Working through a list in lanes: each takes the next item when it is done with one. */

/** Resolves when all items are done; they begin in their order. What `work` throws ends its lane. */
export async function inLanes<T extends object>(
  items: readonly T[],
  laneCount: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const lane = async (): Promise<void> => {
    // The iterator is shared, so that an item is taken once.
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: laneCount }, lane));
}
