/**
 * Orders about a session's keys, as the data path carries them out. One invariant: a key that an
 * order installs for receiving has a window of its own, so its packet ids begin anew.
 */

import type { Order } from "./control/orders.ts";
import type { Plane } from "./plane.ts";
import { windowFor } from "./replay-sizing.ts";

/** Carries an order out if it is about keys; whether it was. */
export function carryOutKeyOrder(plane: Plane, order: Order): boolean {
  switch (order.kind) {
    case "installKey": {
      const { open, seal } = order;
      const session = plane.sessions.at(order.index);
      session?.installKey(order.keyId, { open, seal, window: windowFor(plane, session) });
      return true;
    }
    case "installEpochs":
      plane.sessions.at(order.index)?.installEpochs(order.keyId);
      return true;
    case "receiveEpoch": {
      const { epoch, open } = order;
      const session = plane.sessions.at(order.index);
      session?.receiveEpoch(order.keyId, { epoch, open, window: windowFor(plane, session) });
      return true;
    }
    case "sendEpoch": {
      const session = plane.sessions.at(order.index);
      session?.sendEpoch(order.keyId, order.epoch, order.seal);
      if (order.isNow) session?.advanceEpoch(order.keyId);
      return true;
    }
    case "retireKey":
      plane.sessions.at(order.index)?.retireKey(order.keyId);
      return true;
    default:
      return false;
  }
}
