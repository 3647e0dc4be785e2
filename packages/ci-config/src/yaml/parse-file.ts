import { isAlias, isMap, isScalar, isSeq, parseAllDocuments } from "yaml";
import type { Document, Node, Pair, ParsedNode, Scalar, YAMLMap, YAMLSeq } from "yaml";
import { mayUseRegex } from "../expression/regex.ts";
import type { ProblemLog } from "../problem-log.ts";
import type { ConfigNode, MapEntry, MapNode, Place } from "./nodes.ts";
import { resolvePlainScalar } from "./plain-scalar.ts";
import type { SourceFile } from "./source-file.ts";

export interface ParsedFile {
  readonly root: MapNode;
  /** Whether there is a `!reference`, so that the tree need not be searched otherwise. */
  readonly hasReferences: boolean;
  /** Whether some text may hold a regular expression, so that the engine need not be loaded otherwise. */
  readonly mayUseRegex: boolean;
}

/**
 * Reads one file into nodes; anchors, aliases and merge keys are resolved.
 *
 * @returns undefined when the file cannot be used; the log says why
 */
export function parseFile(source: SourceFile, log: ProblemLog): ParsedFile | undefined {
  const documents = readDocuments(source, log);
  if (documents === undefined) return undefined;
  const content = chooseDocument(documents, source, log);
  if (content === undefined) return undefined;
  const converter = new Converter(source, log);
  const root = converter.convert(content, 0).node;
  const { hasReferences, mayUseRegex } = converter;
  if (root.kind === "map") return { root, hasReferences, mayUseRegex };
  if (content === null)
    return { root: { kind: "map", entries: new Map(), place: root.place }, hasReferences, mayUseRegex };
  log.error(
    root.place,
    "wrong-type",
    "",
    "the file must be a mapping of keywords and jobs, such as `build: { script: make }`",
  );
  return undefined;
}

const REFERENCE_TAG = { tag: "!reference", collection: "seq", resolve: (list: unknown) => list } as const;

function readDocuments(source: SourceFile, log: ProblemLog): readonly Document.Parsed[] | undefined {
  let documents: readonly Document.Parsed[];
  try {
    const parsed = parseAllDocuments(source.text, {
      schema: "failsafe",
      customTags: [REFERENCE_TAG],
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "silent",
    });
    documents = "empty" in parsed ? [] : parsed;
  } catch (error) {
    // The parser is recursive: only absurd nesting exhausts the stack.
    if (!(error instanceof RangeError)) throw error;
    log.error({ source, offset: 0 }, "broken-yaml", "", "broken YAML: nested too deeply; flatten the file");
    return undefined;
  }
  const errors = documents.flatMap((document) => document.errors);
  for (const error of errors) {
    const cure = error.code === "TAB_AS_INDENT" ? "indent with spaces, not tabs" : "correct the syntax at this line";
    log.error({ source, offset: error.pos[0] }, "broken-yaml", "", `broken YAML: ${error.message}; ${cure}`);
  }
  return errors.length > 0 ? undefined : documents;
}

/** A `spec:` header document comes before the content. Null: an empty file. */
function chooseDocument(
  documents: readonly Document.Parsed[],
  source: SourceFile,
  log: ProblemLog,
): ParsedNode | null | undefined {
  const [first, second] = documents;
  if (first === undefined) return null;
  const hasHeader = isMap(first.contents) && first.contents.has("spec");
  if (hasHeader) {
    const offset = first.contents?.range[0] ?? 0;
    log.warning(
      { source, offset },
      "unsupported",
      "spec",
      "`spec` (inputs) is not supported; `$[[ ... ]]` stays as it is",
    );
  }
  const extra = documents[hasHeader ? 2 : 1];
  if (extra !== undefined) {
    const message = "several YAML documents in one file; remove the `---` between them";
    log.error({ source, offset: extra.range[0] }, "broken-yaml", "", message);
    return undefined;
  }
  return (hasHeader ? second : first)?.contents ?? null;
}

interface Converted {
  readonly node: ConfigNode;
  /** Nodes below, counting shared ones every time: what a merge or a flattening may have to visit. */
  readonly size: number;
}

const MAX_NODES = 1_000_000;

class Converter {
  hasReferences = false;
  mayUseRegex = false;
  readonly #source: SourceFile;
  readonly #log: ProblemLog;
  readonly #anchors = new Map<string, Converted>();
  #reportedSize = false;

  constructor(source: SourceFile, log: ProblemLog) {
    this.#source = source;
    this.#log = log;
  }

  convert(node: Node | null, fallbackOffset: number, isTop = true): Converted {
    const offset = node?.range?.[0] ?? fallbackOffset;
    const place = { source: this.#source, offset };
    const converted = this.#convertAt(node, place, isTop);
    const anchor = node !== null && "anchor" in node ? node.anchor : undefined;
    if (anchor !== undefined) this.#anchors.set(anchor, converted);
    return converted;
  }

  #convertAt(node: Node | null, place: Place, isTop: boolean): Converted {
    if (isAlias(node)) return this.#alias(node.source, place);
    if (isMap(node)) return this.#map(node, place, isTop);
    if (isSeq(node)) return this.#list(node, place);
    if (isScalar(node)) return { node: this.#scalar(node, place), size: 1 };
    return { node: { kind: "scalar", value: null, text: "", place }, size: 1 };
  }

  #alias(name: string, place: Place): Converted {
    const target = this.#anchors.get(name);
    if (target !== undefined) return target;
    this.#log.error(
      place,
      "unknown-anchor",
      "",
      `no anchor &${name} before this line; define it above or correct the name`,
    );
    return { node: { kind: "scalar", value: null, text: "", place }, size: 1 };
  }

  #scalar(node: Scalar, place: Place): ConfigNode {
    const { tag, type } = node;
    // `!!int` and its kin are resolved by the parser even though the schema knows strings only.
    const text = typeof node.value === "string" ? node.value : (node.source ?? "");
    this.mayUseRegex ||= mayUseRegex(text);
    if (tag !== undefined && !tag.startsWith("tag:yaml.org,2002:") && tag !== "!") this.#unknownTag(tag, place);
    if (type !== "PLAIN" || tag === "tag:yaml.org,2002:str" || tag === "!")
      return { kind: "scalar", value: text, text, place };
    const plain = resolvePlainScalar(text);
    if (plain.value !== undefined) return { kind: "scalar", value: plain.value, text: plain.text, place };
    this.#log.error(
      place,
      "wrong-type",
      "",
      `${text} is read as a date, which the coordinator refuses; write "${text}" in quotes`,
    );
    return { kind: "scalar", value: text, text, place };
  }

  #list(node: YAMLSeq, place: Place): Converted {
    const items = node.items.map((item) => this.convert(item as Node | null, place.offset, false));
    if (node.tag === "!reference") {
      this.hasReferences = true;
      return { node: { kind: "reference", path: items.map((item) => scalarText(item.node)), place }, size: 1 };
    }
    if (node.tag !== undefined && node.tag !== "tag:yaml.org,2002:seq") this.#unknownTag(node.tag, place);
    const size = this.#checkedSize(1 + items.reduce((sum, item) => sum + item.size, 0), place);
    return { node: { kind: "list", items: size === 1 ? [] : items.map((item) => item.node), place }, size };
  }

  #map(node: YAMLMap, place: Place, isTop: boolean): Converted {
    if (node.tag !== undefined && node.tag !== "tag:yaml.org,2002:map") this.#unknownTag(node.tag, place);
    const own = new Map<string, MapEntry>();
    const merged = new Map<string, MapEntry>();
    let size = 1;
    for (const pair of node.items as readonly Pair<Node | null, Node | null>[]) {
      const key = this.convert(pair.key, place.offset, false).node;
      const value = this.convert(pair.value, key.place.offset, false);
      const name = this.#keyText(key);
      if (name === undefined) continue;
      size += value.size;
      if (name === "<<") {
        this.#mergeKey(value.node, merged);
        continue;
      }
      if (own.has(name)) this.#duplicateKey(name, key.place, isTop);
      own.set(name, { keyPlace: key.place, node: value.node });
    }
    const entries = merged.size === 0 ? own : new Map([...merged, ...own]);
    const checked = this.#checkedSize(size, place);
    return { node: { kind: "map", entries: checked === 1 ? new Map() : entries, place }, size: checked };
  }

  /** In a list of merged maps the earlier one wins. */
  #mergeKey(node: ConfigNode, merged: Map<string, MapEntry>): void {
    const maps = node.kind === "list" ? node.items : [node];
    for (const map of maps) {
      if (map.kind !== "map") {
        this.#log.error(
          map.place,
          "wrong-type",
          "",
          "`<<` takes a mapping or a list of mappings, usually an alias such as *defaults",
        );
        continue;
      }
      for (const [key, entry] of map.entries) if (!merged.has(key)) merged.set(key, entry);
    }
  }

  #keyText(key: ConfigNode): string | undefined {
    if (key.kind === "scalar") return key.value === null ? "" : key.text;
    this.#log.error(key.place, "wrong-type", "", "a key must be a plain name; write it in quotes");
    return undefined;
  }

  #duplicateKey(name: string, place: Place, isTop: boolean): void {
    if (isTop) {
      const message = `${name} is defined twice in this file; rename one of them or remove it (the first would be lost)`;
      this.#log.error(place, "duplicate-name", "", message);
    } else {
      this.#log.warning(
        place,
        "duplicate-key",
        "",
        `the key ${name} stands twice in one mapping; only the last one counts`,
      );
    }
  }

  #unknownTag(tag: string, place: Place): void {
    this.#log.error(
      place,
      "unknown-tag",
      "",
      `the YAML tag ${tag} is unknown; only !reference [job, keyword] is supported`,
    );
  }

  /** Aliases of aliases grow exponentially; past the limit the collection is emptied. */
  #checkedSize(size: number, place: Place): number {
    if (size <= MAX_NODES) return size;
    if (!this.#reportedSize) {
      this.#reportedSize = true;
      this.#log.error(place, "too-large", "", `aliases expand to more than ${MAX_NODES} values; use fewer of them`);
    }
    return 1;
  }
}

function scalarText(node: ConfigNode): string {
  return node.kind === "scalar" ? node.text : "";
}
