import { readFile } from "node:fs/promises";
import { parse, TomlError } from "smol-toml";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import type { ListenAddress } from "./addresses.ts";
import { readSettings } from "./read-settings.ts";
import type { Settings } from "./read-settings.ts";

/**
 * Reads the settings that a command line, the environment and a file make together.
 *
 * @param options - `needsLogins`: whether the upstreams will be asked, so that their passwords must be there
 * @throws {UsageError} with everything that is wrong
 */
export async function loadSettings(
  invocation: Invocation,
  context: CliContext,
  { needsLogins = true }: { readonly needsLogins?: boolean } = {},
): Promise<Settings> {
  const path = invocation.text("config");
  const file = path === undefined ? {} : await readToml(path);
  const result = readSettings({
    flags: {
      listen: invocation.texts("listen"),
      operators: invocation.text("operators"),
      data: invocation.text("data"),
      upstream: invocation.text("upstream"),
      maxSize: invocation.text("max-size"),
      tlsCert: invocation.text("tls-cert"),
      tlsKey: invocation.text("tls-key"),
      advertise: invocation.text("advertise"),
      allowShared: invocation.flag("allow-shared"),
      connect: invocation.flag("connect"),
    },
    environment: context.environment,
    file,
    needsLogins,
    isRoot: context.isRoot,
    homeDirectory: context.homeDirectory,
  });
  if ("settings" in result) return result.settings;
  throw new UsageError(result.problems.join("\n"));
}

/**
 * The operators' address of a running mirror, for a command that asks it.
 *
 * @throws {UsageError} with everything that is wrong
 */
export async function loadOperators(invocation: Invocation, context: CliContext): Promise<ListenAddress> {
  const path = invocation.text("config");
  const result = readSettings({
    // What else it takes, such as `--upstream`, is for the question.
    flags: { listen: [], operators: invocation.text("operators") },
    environment: context.environment,
    file: path === undefined ? {} : await readToml(path),
    needsLogins: false,
    isRoot: context.isRoot,
    homeDirectory: context.homeDirectory,
  });
  if ("settings" in result) return result.settings.operators;
  throw new UsageError(result.problems.join("\n"));
}

async function readToml(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return parse(await readFile(path, "utf8"));
  } catch (error) {
    if (error instanceof TomlError) {
      // Its message goes on with the lines around the place, which may hold passwords.
      const [reason = ""] = error.message.split("\n");
      throw new UsageError(`${path}, line ${error.line}, column ${error.column}: ${reason}`, { cause: error });
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${path} cannot be read: ${reason}`, { cause: error });
  }
}
