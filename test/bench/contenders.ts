/** Everything that is compared; a new contender is one more line. */
import type { Contender } from "./contender.ts";
import { fairleadTap } from "./fairlead-contender.ts";
import { openvpnTap } from "./openvpn-contender.ts";

/** In the order in which they take turns. */
export const CONTENDERS: readonly Contender[] = [fairleadTap, openvpnTap];
