import { parse, TomlError } from "smol-toml";
import type { TomlTable } from "smol-toml";

/** Parsed with whole numbers as `bigint`, so that they differ from `1.0`; or why it cannot be parsed. */
export type ParsedToml =
  | { readonly table: TomlTable }
  | { readonly table: undefined; readonly reason: string; readonly cause: unknown };

/** The reason names line and column, never the text there, which may hold a token. */
export function parseToml(text: string): ParsedToml {
  try {
    return { table: parse(text, { integersAsBigInt: true, useLegacyDate: true }) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [firstLine = ""] = error.message.split("\n");
    const what = firstLine.replace(/^Invalid TOML document: /, "");
    return { table: undefined, reason: `line ${error.line}, column ${error.column}: ${what}`, cause: error };
  }
}
