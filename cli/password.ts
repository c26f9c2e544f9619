/** `fairlead password`: a line of the list of users that `security.userPassSecretRef` names. */

import process from "node:process";
import { hashPassword, parseUsers } from "../authority/password.ts";
import { ExitStatus } from "./exit-status.ts";
import { UsageError } from "./process-state.ts";
import { askNewSecret } from "./terminal.ts";

/** Prints the line. */
export async function run(name: string): Promise<ExitStatus> {
  const password = await askNewSecret(`Password of ${name}`);
  if (password === "") throw new UsageError("an empty password is none");
  const line = `${name}:${await hashPassword(password)}`;
  const [problem] = parseUsers(line).problems;
  if (problem !== undefined)
    throw new UsageError(`${name}: a name has no space, colon or leading #`);
  process.stdout.write(`${line}\n`);
  return ExitStatus.Fine;
}
