import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { type PipelineOptions, readPipelineOptions } from "../project/pipeline-options.ts";

/** What the user wants of a coordinator. */
export interface ServeOptions extends PipelineOptions {
  /** Whether the configuration was named. */
  readonly namesPipeline: boolean;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Where runners and jobs find it; undefined: where it listens. */
  readonly url: string | undefined;
  /** PEM texts. */
  readonly tls: { readonly key: string; readonly certificate: string } | undefined;
  /** Stays when the pipeline has ended. */
  readonly keep: boolean;
  /** Starts a pipeline even when one of an earlier process has not ended. */
  readonly startOver: boolean;
  /** Of the runner that is made here. */
  readonly tags: readonly string[];
  /** Jobs only go to runners with their tags. */
  readonly matchTags: boolean;
}

const DEFAULT_LISTEN = "127.0.0.1:8080";
const DEFAULT_STATE_DIRECTORY = ".fleetfoot/served";
const ANY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/**
 * Reads the options of `fleetfoot coordinator`.
 *
 * @throws {UsageError} a value that cannot be meant, or a file that cannot be read
 */
export async function readServeOptions(invocation: Invocation, context: CliContext): Promise<ServeOptions> {
  const { host, port } = readListen(invocation.text("listen") ?? DEFAULT_LISTEN);
  const tls = await readTls(invocation, context);
  const tags = (invocation.text("tags") ?? "")
    .split(",")
    .map((tag) => tag.trim())
    .filter((tag) => tag !== "");
  return {
    ...readPipelineOptions(invocation, context, { fileOption: "pipeline", stateDirectory: DEFAULT_STATE_DIRECTORY }),
    namesPipeline: invocation.isGiven("pipeline"),
    host,
    port,
    url: readUrl(invocation.text("url"), { host, port, scheme: tls === undefined ? "http" : "https" }),
    tls,
    keep: invocation.flag("keep"),
    startOver: invocation.flag("new"),
    tags,
    matchTags: tags.length > 0 || invocation.flag("match-tags"),
  };
}

function readListen(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new UsageError(`--listen ${text} is no address.`, {
      cure: `Write HOST:PORT, for example ${DEFAULT_LISTEN}.`,
    });
  // Jobs carry sources and secrets: other machines are let in only by name.
  return { host: (match[1] ?? match[2]) || "127.0.0.1", port };
}

function readUrl(
  given: string | undefined,
  place: { readonly host: string; readonly port: number; readonly scheme: string },
): string | undefined {
  if (given !== undefined) {
    const cure = `Write for example ${place.scheme}://build-host:8080.`;
    if (!URL.canParse(given)) throw new UsageError(`--url ${given} is no address.`, { cure });
    const { protocol, username, password, search, hash } = new URL(given);
    if (!["http:", "https:"].includes(protocol) || `${username}${password}${search}${hash}` !== "")
      throw new UsageError(`--url ${given} is no address of a server.`, { cure });
    return given.replace(/\/+$/, "");
  }
  if (!ANY_ADDRESS.has(place.host)) return undefined;
  if (place.port !== 0) return `${place.scheme}://${hostname()}:${place.port}`;
  throw new UsageError("Nobody could be told where to find a free port of every address.", {
    cure: "Name a port with --listen, or the address with --url.",
  });
}

async function readTls(invocation: Invocation, context: CliContext): Promise<ServeOptions["tls"]> {
  const [certificate, key] = [invocation.text("tls-certificate"), invocation.text("tls-key")];
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined)
    throw new UsageError("--tls-certificate and --tls-key go together.", { cure: "Name both files, or neither." });
  const read = async (path: string): Promise<string> => {
    try {
      return await readFile(resolve(context.workingDirectory, path), "utf8");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new UsageError(`${path} cannot be read: ${reason}.`, { cure: "Name a PEM file.", cause: error });
    }
  };
  return { certificate: await read(certificate), key: await read(key) };
}
