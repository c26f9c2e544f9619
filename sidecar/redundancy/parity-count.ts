/**
 * How much parity a block gets. One invariant: never more than asked, and at least one packet for a
 * block that has any, so that the first loss after a quiet hour finds some.
 */

/** A block may stay incomplete this rarely when parity follows the loss. */
const INCOMPLETE_MAX = 0.001;

/**
 * Parity of a full block at a measured loss: the least for which fewer than one block in a thousand
 * loses more packets than that, if losses are independent.
 */
export function parityForLoss(
  lossPermille: number,
  dataPackets: number,
  parityPackets: number,
): number {
  const loss = Math.min(Math.max(lossPermille / 1000, 0), 1);
  for (let parity = 1; parity < parityPackets; parity++) {
    if (chanceOfMore(parity, dataPackets + parity, loss) < INCOMPLETE_MAX) return parity;
  }
  return parityPackets;
}

/** Parity of a block of `count` packets, in proportion and rounded up. */
export function parityOfShort(parity: number, count: number, dataPackets: number): number {
  // HOT PATH
  return Math.ceil((parity * count) / dataPackets);
}

/** The chance that more than `most` of `total` packets are lost. */
function chanceOfMore(most: number, total: number, loss: number): number {
  if (loss >= 1) return 1;
  let chance = (1 - loss) ** total;
  let sum = chance;
  for (let lost = 1; lost <= most; lost++) {
    chance *= ((total - lost + 1) / lost) * (loss / (1 - loss));
    sum += chance;
  }
  return 1 - sum;
}
