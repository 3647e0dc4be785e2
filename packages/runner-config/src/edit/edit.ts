import { isDeepStrictEqual } from "node:util";
import { stringify } from "smol-toml";
import type { TomlTable, TomlValue } from "smol-toml";
import type { RunnerEntry } from "../config.ts";
import { RunnerConfigError } from "../errors.ts";
import type { ParseOptions } from "../parse.ts";
import { readRunnerEntry } from "../runner-entry.ts";
import { TableReader } from "../table-reader.ts";
import { parseToml } from "../toml.ts";
import { dockerValues, runnerValues, writePair } from "./new-runner.ts";
import type { AddedRunner, NewRunner } from "./new-runner.ts";
import { lineEnd } from "./scan.ts";
import { findRunnerSections } from "./sections.ts";
import type { RunnerSection } from "./sections.ts";

/**
 * Adds a runner at the end of a `config.toml`; everything that is there stays as it is, comments included.
 *
 * @throws {RunnerConfigError} the text is not TOML, or a value cannot be written
 */
export function addRunner(text: string, runner: AddedRunner): string {
  const document = openDocument(text);
  const table: Record<string, TomlValue> = {};
  for (const [key, value] of runnerValues(runner)) if (value !== undefined) table[key] = value;
  const lines = Object.entries(table).map(([key, value]) => `  ${writePair(key, value)}\n`);
  if (runner.docker !== undefined) {
    const docker = Object.fromEntries(dockerValues(runner.docker));
    table["docker"] = docker;
    lines.push(`  [${document.key}.docker]\n`);
    for (const [key, value] of Object.entries(docker)) lines.push(`    ${writePair(key, value)}\n`);
  }
  const gap = text === "" ? "" : text.endsWith("\n") ? "\n" : "\n\n";
  const edited = `${text}${gap}[[${document.key}]]\n${lines.join("")}`;
  return finish(document, [...document.runners, table], edited);
}

/**
 * Removes all runners that fit, with the comments directly above them and their sub-tables.
 *
 * @param predicate - gets each runner, also those without token; variables are expanded only with `options.environment`
 * @throws {RunnerConfigError} the text is not TOML
 */
export function removeRunners(
  text: string,
  predicate: (runner: RunnerEntry) => boolean,
  options: ParseOptions = {},
): string {
  const document = openDocument(text);
  const leaves = document.runners.map((runner) => predicate(entryOf(runner, options)));
  if (!leaves.includes(true)) return text;
  const sections = document.sections ?? [];
  let edited = text;
  for (const [index, section] of [...sections.entries()].toReversed()) {
    if (leaves[index] === true) edited = edited.slice(0, section.start) + edited.slice(section.end);
  }
  return finish(
    document,
    document.runners.filter((_, index) => leaves[index] !== true),
    edited,
  );
}

/**
 * Changes values of all runners that fit; other keys, comments and the order stay.
 *
 * @param changes - undefined removes a key
 * @throws {RunnerConfigError} the text is not TOML, or a value cannot be written
 */
export function updateRunners(
  text: string,
  predicate: (runner: RunnerEntry) => boolean,
  changes: Partial<NewRunner>,
  options: ParseOptions = {},
): string {
  const document = openDocument(text);
  const fits = document.runners.map((runner) => predicate(entryOf(runner, options)));
  if (!fits.includes(true)) return text;
  const values = runnerValues(changes);
  const runners = document.runners.map((runner, index) =>
    fits[index] === true ? changedTable(runner, values) : runner,
  );
  let edited = text;
  for (const [index, section] of [...(document.sections ?? []).entries()].toReversed()) {
    if (fits[index] === true) edited = changeSection(edited, section, values);
  }
  return finish(document, runners, edited);
}

interface Document {
  readonly table: TomlTable;
  /** How the file spells `runners`. */
  readonly key: string;
  readonly runners: readonly TomlTable[];
  readonly sections: readonly RunnerSection[] | undefined;
}

function openDocument(text: string): Document {
  const parsed = parseToml(text);
  if (parsed.table === undefined) {
    throw new RunnerConfigError(
      "broken-toml",
      `the configuration is not valid TOML, so it is not changed: ${parsed.reason}`,
    );
  }
  const key = spelling(parsed.table, "runners");
  const value = parsed.table[key] ?? [];
  if (!Array.isArray(value)) {
    throw new RunnerConfigError(
      "invalid-value",
      `${key} is not a list of tables, so it is not changed; write [[runners]]`,
    );
  }
  return { table: parsed.table, key, runners: value as readonly TomlTable[], sections: findRunnerSections(text, key) };
}

/**
 * Gives the edited text if it says exactly what was meant. Forms that sections cannot express, such as a list of inline tables, are
 * written anew as a whole: that loses comments and never data.
 */
function finish(document: Document, runners: readonly TomlTable[], edited: string): string {
  const { [document.key]: _, ...rest } = document.table;
  const meant = runners.length === 0 ? rest : { ...rest, [document.key]: runners };
  const { table } = parseToml(edited);
  if (table !== undefined && isDeepStrictEqual(plain(table), plain(meant))) return edited;
  return stringify(meant, { numbersAsFloat: true });
}

/** Tables without prototype differences; dates as text. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== "object" || value === null) return value;
  return new Map(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** Problems of a runner that is only looked at are not of interest here. */
function entryOf(table: TomlTable, options: ParseOptions): RunnerEntry {
  return readRunnerEntry(new TableReader(table, "", []), options.environment);
}

function changedTable(table: TomlTable, values: ReturnType<typeof runnerValues>): TomlTable {
  const changed: Record<string, TomlValue> = { ...table };
  for (const [name, value] of values) {
    const key = spelling(changed, name);
    if (value === undefined) delete changed[key];
    else changed[key] = value;
  }
  return changed;
}

function spelling(table: Readonly<Record<string, unknown>>, name: string): string {
  return Object.keys(table).find((key) => key.toLowerCase() === name) ?? name;
}

function changeSection(text: string, section: RunnerSection, values: ReturnType<typeof runnerValues>): string {
  const removed = new Set(values.flatMap(([key, value]) => (value === undefined ? [key] : [])));
  const last = section.pairs.findLast((pair) => !removed.has(bareName(pair.name))) ?? section.header;
  const indentation =
    section.pairs.length === 0 ? "  " : text.slice(text.lastIndexOf("\n", last.start - 1) + 1, last.start);
  const edits: { readonly start: number; readonly end: number; readonly replacement: string }[] = [];
  const added: string[] = [];
  for (const [key, value] of values) {
    const pair = section.pairs.find((candidate) => bareName(candidate.name) === key);
    if (pair !== undefined) {
      const replacement = value === undefined ? "" : writePair(key, value).slice(key.length + 3);
      edits.push(value === undefined ? wholeLine(text, pair) : { start: pair.valueStart, end: pair.end, replacement });
    } else if (value !== undefined) added.push(`\n${indentation}${writePair(key, value)}`);
  }
  const lastLineEnd = lineEnd(text, last.end);
  edits.push({ start: lastLineEnd, end: lastLineEnd, replacement: added.join("") });
  return edits
    .toSorted((left, right) => right.start - left.start || right.end - left.end)
    .reduce((edited, edit) => edited.slice(0, edit.start) + edit.replacement + edited.slice(edit.end), text);
}

function bareName(name: string): string {
  return name.replaceAll(/^["']|["']$/g, "").toLowerCase();
}

/** From the line's start to the start of the next line, a comment behind the value included. */
function wholeLine(
  text: string,
  pair: { readonly start: number; readonly end: number },
): { start: number; end: number; replacement: string } {
  const start = text.lastIndexOf("\n", pair.start - 1) + 1;
  return { start, end: Math.min(lineEnd(text, pair.end) + 1, text.length), replacement: "" };
}
