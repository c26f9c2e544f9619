/** Whole sidecars in virtual time, as in planes.test.ts: the other hundreds of the seeds. */
import { testSeedsOfPlanes } from "./seeds-of-planes.ts";

testSeedsOfPlanes(1);
