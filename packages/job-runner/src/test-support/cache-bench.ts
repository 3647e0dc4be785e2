import { spawn } from "node:child_process";
import { once } from "node:events";
import { lutimes, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

import { prepareVariables } from "@fleetfoot/cache-key";
import type { JobCache } from "@fleetfoot/coordinator-client";

import { treeManifestPath } from "../cache/archive-files.ts";
import { restoreCaches, saveCaches } from "../cache/index.ts";
import type { CacheEvent, CacheStageOptions, RemoteCache } from "../cache/index.ts";

/** One host with one project, and a log that can be read. */
export class CacheBench {
  readonly top: string;
  readonly project: string;
  readonly cacheDirectory: string;
  readonly lines: { readonly kind: string; readonly text: string }[] = [];
  readonly events: CacheEvent[] = [];
  readonly sleeps: number[] = [];
  variables: Record<string, string> = {};
  hashKeys = false;
  store: RemoteCache | undefined;
  extra: Partial<CacheStageOptions> = {};

  /** Makes the project in a directory of its own, at once or below one that is there. */
  static async open(top?: string): Promise<CacheBench> {
    const bench = new CacheBench(top ?? (await mkdtemp(join(tmpdir(), "caches-"))));
    await mkdir(bench.project, { recursive: true });
    return bench;
  }

  private constructor(top: string) {
    this.top = top;
    this.project = join(top, "builds/project");
    this.cacheDirectory = join(top, "cache/g/p");
  }

  async restore(...entries: readonly JobCache[]): Promise<void> {
    await restoreCaches(this.options(entries));
  }

  async save(...entries: readonly JobCache[]): Promise<void> {
    await saveCaches({ ...this.options(entries), succeeded: true });
  }

  options(entries: readonly JobCache[]): CacheStageOptions {
    const variables = Object.entries(this.variables).map(([key, value]) => ({ key, value }));
    const line =
      (kind: string) =>
      (text: string): void => {
        this.lines.push({ kind, text });
      };
    return {
      entries,
      job: { name: "unit", ref: "main", projectId: 42 },
      ...prepareVariables(variables),
      environment: this.variables,
      projectDirectory: this.project,
      cacheDirectory: this.cacheDirectory,
      store: this.store,
      hashKeys: this.hashKeys,
      platform: { os: "linux", arch: "amd64" },
      log: {
        plain: line("plain"),
        info: line("info"),
        notice: line("notice"),
        warning: line("warning"),
        error: line("error"),
      },
      events: (event) => this.events.push(event),
      signal: new AbortController().signal,
      sleep: async (milliseconds) => {
        this.sleeps.push(milliseconds);
      },
      ...this.extra,
    };
  }

  /** Puts files with an old time into the project. */
  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, content] of Object.entries(files)) {
      const path = join(this.project, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
    }
    await this.age();
  }

  /** Makes everything in the project an hour old, directories too. */
  async age(): Promise<void> {
    const old = Date.now() / 1000 - 3600;
    const names = await readdir(this.project, { recursive: true });
    for (const name of names.toReversed()) await lutimes(join(this.project, name), old, old);
  }

  async clean(): Promise<void> {
    await rm(this.project, { recursive: true, force: true });
    await mkdir(this.project, { recursive: true });
  }

  async read(name: string): Promise<string | undefined> {
    return readFile(join(this.project, name), "utf8").catch(() => undefined);
  }

  archive(key: string): string {
    return join(this.cacheDirectory, key, "cache.zip");
  }

  /** Names of an archive and of what is kept beside it on a host without a store, in order. */
  companions(key: string): string[] {
    return ["cache.zip", "metadata.json", basename(treeManifestPath(this.archive(key), this.project))];
  }

  warnings(): string[] {
    return this.lines.filter(({ kind }) => kind === "warning").map(({ text }) => text);
  }

  forget(): void {
    this.lines.length = 0;
    this.events.length = 0;
    this.sleeps.length = 0;
  }

  async close(): Promise<void> {
    await rm(this.top, { recursive: true });
  }
}

export interface CacheProcess extends Promise<{ readonly stdout: string; readonly signal: NodeJS.Signals | null }> {
  readonly child: ReturnType<typeof spawn>;
  /** Resolves when the stage is about to begin, or the process has ended without. */
  readonly announced: Promise<void>;
}

export interface CacheProcessOptions {
  /** Whether it says when it is about to begin. */
  readonly announce?: boolean;
  /** Statements that come before the stage. */
  readonly prelude?: string;
  /** Of the store that all runners share. @default there is none */
  readonly storeDirectory?: string;
}

/** Saves or restores an entry in a process of its own, whose shell first does what `shellPrefix` says. */
export function inProcess(
  stage: "saveCaches" | "restoreCaches",
  bench: CacheBench,
  entry: JobCache,
  shellPrefix = "",
  { announce = false, prelude = "", storeDirectory }: CacheProcessOptions = {},
): CacheProcess {
  const module = JSON.stringify(new URL("../cache/index.ts", import.meta.url).href);
  const stores = JSON.stringify(new URL("../../../cache-backend-local/src/index.ts", import.meta.url).href);
  const remote = { path: "", shared: true, runnerShortToken: "short", maxUploadedArchiveBytes: 0 };
  const store =
    storeDirectory === undefined
      ? "undefined"
      : `{ ...${JSON.stringify(remote)}, store: createLocalStore({ directory: ${JSON.stringify(storeDirectory)} }) }`;
  const { entries, job, platform, projectDirectory, cacheDirectory } = bench.options([entry]);
  const facts = {
    entries,
    job,
    platform,
    projectDirectory,
    cacheDirectory,
    environment: {},
    hashKeys: false,
    succeeded: true,
  };
  const script = `
    import { ${stage} } from ${module};
    import { createLocalStore } from ${stores};
    const line = (kind) => (text) => console.log(kind + ": " + text);
    const log = Object.fromEntries(["plain", "info", "notice", "warning", "error"].map((kind) => [kind, line(kind)]));
    const lookup = () => undefined;
    ${prelude}
    if (${announce}) console.log("about to begin");
    await ${stage}({ ...${JSON.stringify(facts)}, log, store: ${store}, lookup, lookupContent: lookup, signal: new AbortController().signal });
  `;
  const command = `${shellPrefix}exec "$@"`;
  const node = [process.execPath, "--conditions=@fleetfoot/source", "--input-type=module", "-e", script];
  const child = spawn("sh", ["-c", command, "sh", ...node], { stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  const ended = once(child, "close").then(([, signal]) => ({ stdout, signal: signal as NodeJS.Signals | null }));
  const announced = Promise.race([once(child.stdout, "data"), ended]).then(() => {});
  return Object.assign(ended, { child, announced });
}

/** Runs a stage in a process that kills itself around the rename that puts an archive in its place; resolves to the signal that has ended it. */
export async function killedAt(
  when: "before" | "after",
  stage: "saveCaches" | "restoreCaches",
  bench: CacheBench,
  entry: JobCache & { readonly key: string },
  options: Pick<CacheProcessOptions, "storeDirectory"> = {},
): Promise<NodeJS.Signals | null> {
  const prelude = `
    const { default: fs } = await import("node:fs");
    const { syncBuiltinESMExports } = await import("node:module");
    const { rename } = fs.promises;
    fs.promises.rename = async (from, to) => {
      const isReplacement = to === ${JSON.stringify(bench.archive(entry.key))};
      if (isReplacement && ${when === "before"}) process.kill(process.pid, "SIGKILL");
      await rename(from, to);
      if (isReplacement) process.kill(process.pid, "SIGKILL");
    };
    syncBuiltinESMExports();`;
  return (await inProcess(stage, bench, entry, "", { ...options, prelude })).signal;
}
