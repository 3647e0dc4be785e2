import { cacheCommands } from "../../cache-commands.ts";
import type { CommandAction } from "../../command.ts";
import { UsageError } from "../../errors.ts";

/** Reached only without one of the group's commands. */
export const cacheGroup: CommandAction = async ({ operands }) => {
  const names = cacheCommands.map(({ name }) => name.replace(/^cache /, "")).join(", ");
  const said =
    operands[0] === undefined ? "fleetfoot cache needs a command." : `fleetfoot cache has no "${operands[0]}".`;
  throw new UsageError(said, { cure: `It has: ${names}. fleetfoot cache --help explains them.` });
};
