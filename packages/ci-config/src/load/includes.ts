import type { RegexEngine } from "../expression/regex.ts";
import type { ReadContext } from "../keywords/read.ts";
import { wrongType } from "../keywords/read.ts";
import { readRules } from "../keywords/rules.ts";
import { readVariables } from "../keywords/variables.ts";
import { ProblemLog } from "../problem-log.ts";
import { VariableView } from "../variables.ts";
import { deepMergeMaps, isString, valueOf, withoutKey } from "../yaml/nodes.ts";
import type { ConfigNode, MapNode, Place } from "../yaml/nodes.ts";
import { parseFile } from "../yaml/parse-file.ts";
import { createSourceFile } from "../yaml/source-file.ts";
import { conditionsHold } from "./conditions.ts";
import { compileIncludeGlob } from "./glob.ts";

/** How files are reached; paths are relative to the repository, with `/` and without a leading one. */
export interface FileAccess {
  readonly readFile: (path: string) => Promise<string | undefined>;
  /** Undefined when tracked files cannot be listed. */
  readonly listFiles: () => Promise<readonly string[] | undefined>;
  readonly changedFiles: readonly string[] | undefined;
}

export interface LoadedConfig {
  readonly root: MapNode;
  /** Whether any file has a `!reference`, so that the tree need not be searched otherwise. */
  readonly hasReferences: boolean;
}

/**
 * Reads a file and all that it includes; included files come first, in their order, the including one is merged on top.
 *
 * @see https://docs.gitlab.com/ci/yaml/includes/
 */
export async function loadConfig(
  file: string,
  access: FileAccess,
  given: Readonly<Record<string, string>>,
  engine: RegexEngine,
  log: ProblemLog,
  signal: AbortSignal | undefined,
): Promise<LoadedConfig | undefined> {
  const loader = new Loader(access, given, engine, log, signal);
  const root = await loader.load(file, undefined, []);
  return root === undefined ? undefined : { root, hasReferences: loader.hasReferences };
}

const MAX_INCLUDES = 150;

class Loader {
  hasReferences = false;
  readonly #access: FileAccess;
  readonly #given: Readonly<Record<string, string>>;
  readonly #engine: RegexEngine;
  readonly #log: ProblemLog;
  readonly #signal: AbortSignal | undefined;
  #variables: VariableView | undefined;
  #count = 0;

  constructor(
    access: FileAccess,
    given: Readonly<Record<string, string>>,
    engine: RegexEngine,
    log: ProblemLog,
    signal: AbortSignal | undefined,
  ) {
    this.#access = access;
    this.#given = given;
    this.#engine = engine;
    this.#log = log;
    this.#signal = signal;
  }

  async load(path: string, from: Place | undefined, chain: readonly string[]): Promise<MapNode | undefined> {
    this.#signal?.throwIfAborted();
    const text = await this.#access.readFile(path);
    this.#signal?.throwIfAborted();
    if (text === undefined) {
      this.#reportMissing(path, from);
      return undefined;
    }
    const source = createSourceFile(path, text);
    const parsed = parseFile(source, this.#log);
    if (parsed === undefined) return undefined;
    this.hasReferences ||= parsed.hasReferences;
    if (parsed.mayUseRegex) await this.#engine.load();
    const own = parsed.root;
    this.#variables ??= this.#viewOf(own);
    const includes = valueOf(own, "include");
    const content = withoutKey(own, "include");
    if (includes === undefined) return content;
    let merged: MapNode | undefined;
    for (const included of await this.#includeAll(includes, [...chain, path])) {
      merged = merged === undefined ? included : deepMergeMaps(merged, included);
    }
    return merged === undefined ? content : deepMergeMaps(merged, content);
  }

  #reportMissing(path: string, from: Place | undefined): void {
    if (from !== undefined) {
      this.#log.error(
        from,
        "include",
        "include",
        `the file ${path} does not exist; create it or correct the path (from the top of the repository)`,
      );
      return;
    }
    const place = { source: createSourceFile(path, ""), offset: 0 };
    this.#log.error(place, "missing-file", "", `${path} does not exist; create it or name another file`);
  }

  /** Includes see the root file's variables; mistakes in them are reported when the whole file is read. */
  #viewOf(root: MapNode): VariableView {
    const node = valueOf(root, "variables");
    const unreported: ReadContext = { log: new ProblemLog(), subject: "" };
    return new VariableView(this.#given, node === undefined ? [] : readVariables(unreported, node));
  }

  async #includeAll(node: ConfigNode, chain: readonly string[]): Promise<readonly MapNode[]> {
    const loaded: MapNode[] = [];
    for (const item of node.kind === "list" ? node.items : [node]) {
      for (const path of await this.#pathsOf(item)) {
        const content = await this.#includeOne(path, item.place, chain);
        if (content !== undefined) loaded.push(content);
      }
    }
    return loaded;
  }

  async #includeOne(path: string, place: Place, chain: readonly string[]): Promise<MapNode | undefined> {
    if (chain.includes(path)) {
      const circle = [...chain.slice(chain.indexOf(path)), path].join(" -> ");
      this.#log.error(
        place,
        "include-cycle",
        "include",
        `files include each other in a circle: ${circle}; remove one of these includes`,
      );
      return undefined;
    }
    this.#count++;
    if (this.#count > MAX_INCLUDES) {
      const text = `more than ${MAX_INCLUDES} files are included, and the rest is left out; merge some of them`;
      if (this.#count === MAX_INCLUDES + 1) this.#log.error(place, "include", "include", text);
      return undefined;
    }
    return await this.load(path, place, chain);
  }

  /** The local files that one item of `include` names. */
  async #pathsOf(item: ConfigNode): Promise<readonly string[]> {
    const context: ReadContext = { log: this.#log, subject: "include" };
    if (isString(item)) {
      if (!/^https?:\/\//.test(item.value)) return await this.#expandPath(item.value, item.place);
      this.#warnUnsupported(item.place, "remote", item.value);
      return [];
    }
    if (item.kind !== "map") {
      wrongType(context, item, "each item of include", "a path or a mapping such as local: PATH");
      return [];
    }
    if (!(await this.#rulesAllow(context, item))) return [];
    const kind = UNSUPPORTED_KINDS.find((key) => valueOf(item, key) !== undefined);
    const target = kind === undefined ? undefined : valueOf(item, kind);
    if (kind !== undefined && target !== undefined) {
      this.#warnUnsupported(target.place, kind, target.kind === "scalar" ? target.text : kind);
      return [];
    }
    this.#warnKeys(item);
    const local = valueOf(item, "local");
    if (local === undefined) {
      this.#log.error(item.place, "include", "include", "names no file; write local: PATH");
      return [];
    }
    if (isString(local)) return await this.#expandPath(local.value, local.place);
    wrongType(context, local, "include:local", "a string");
    return [];
  }

  #warnUnsupported(place: Place, kind: string, target: string): void {
    const text = `include:${kind} is not supported: the jobs of ${target} are missing; copy the file into the repository and include it as local`;
    this.#log.warning(place, "unsupported", "include", text);
  }

  #warnKeys(item: MapNode): void {
    for (const [key, entry] of item.entries) {
      if (key === "local" || key === "rules") continue;
      const reason = key === "inputs" ? "is not supported" : "is not a known keyword";
      this.#log.warning(
        entry.keyPlace,
        key === "inputs" ? "unsupported" : "unknown-keyword",
        "include",
        `include:${key} ${reason} and has no effect`,
      );
    }
  }

  async #rulesAllow(context: ReadContext, item: MapNode): Promise<boolean> {
    const node = valueOf(item, "rules");
    if (node === undefined || this.#variables === undefined) return true;
    const rules = readRules(context, node, "include", this.#engine);
    const files = rules.some((rule) => rule.exists !== undefined) ? await this.#access.listFiles() : undefined;
    const facts = { variables: this.#variables, changedFiles: this.#access.changedFiles, files };
    const matching = rules.find((rule) => conditionsHold(rule, facts));
    return matching !== undefined && matching.when !== "never";
  }

  async #expandPath(written: string, place: Place): Promise<readonly string[]> {
    const path = (this.#variables?.expand(written) ?? written).replace(/^\/+/, "");
    if (!/\.ya?ml$/.test(path)) {
      this.#log.error(place, "include", "include", `${path} does not end in .yml or .yaml; rename the file`);
      return [];
    }
    if (!path.includes("*")) return [path];
    const files = await this.#access.listFiles();
    if (files === undefined) {
      this.#log.error(
        place,
        "include",
        "include",
        `${path} is a wildcard, and the files of the repository cannot be listed; name each file`,
      );
      return [];
    }
    const matches = files.filter(compileIncludeGlob(path)).sort();
    if (matches.length === 0) {
      this.#log.error(
        place,
        "include",
        "include",
        `${path} matches no tracked file; add one (git add) or correct the pattern`,
      );
    }
    return matches;
  }
}

const UNSUPPORTED_KINDS = ["project", "remote", "template", "component", "artifact"] as const;
