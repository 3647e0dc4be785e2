import type { CommandAction } from "../command.ts";
import { UsageError } from "../errors.ts";
import { loadOperators } from "../settings/load-settings.ts";
import { askOperators, filterQuery } from "./operators-client.ts";

/** Removes what is cached from a running mirror. */
export const prune: CommandAction = async (invocation, context) => {
  const query = filterQuery(invocation);
  if (query.size === 0 && !invocation.flag("all")) throw new UsageError("say what, or --all");
  const { body } = await askOperators(await loadOperators(invocation, context), `/entries?${query}`, {
    method: "DELETE",
    signal: context.stop.forced,
  });
  const { removed } = body as { readonly removed: number };
  context.stdout.write(invocation.flag("json") ? `${JSON.stringify(body)}\n` : `${removed} entries removed\n`);
  return 0;
};
