/** Builds the image from the Dockerfile, the first step of the part `node`, and says how big it is. */
import { ensureImage } from "./container-image.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const { reference, bytes, path } = await ensureImage(say);
say(`${reference}: ${Math.round(bytes / 1e6)} MB in ${path}`);
