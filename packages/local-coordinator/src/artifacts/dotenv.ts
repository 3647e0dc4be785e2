import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";

/** A dotenv report that is refused; `message` says what is wrong with which line. */
export class DotenvError extends Error {
  override readonly name = "DotenvError";
}

/**
 * Reads an uploaded dotenv report, which is gzip members one after another.
 *
 * @throws {DotenvError} not gzip, too large, or not a report
 */
export async function readDotenvReport(path: string, format: string): Promise<Readonly<Record<string, string>>> {
  const file = createReadStream(path);
  const content = format === "gzip" ? file.pipe(createGunzip()) : file;
  file.on("error", (error) => content.destroy(error));
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of content as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxReportBytes) throw new DotenvError(`dotenv report is larger than ${maxReportBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof DotenvError) throw error;
    throw new DotenvError("dotenv report is not gzip", { cause: error });
  } finally {
    file.destroy();
  }
  return parseDotenv(Buffer.concat(chunks).toString("utf8"));
}

/**
 * Parses `KEY=value` lines: outer blanks do not count, quotes belong to the value, the last of equal keys wins. Empty lines
 * are skipped; comments are not part of the format.
 *
 * @throws {DotenvError}
 * @see https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv
 */
export function parseDotenv(text: string): Readonly<Record<string, string>> {
  const variables = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const [, key, value] = /^([^=]*)=(.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) {
      throw new DotenvError(`dotenv report, line ${index + 1}: not of the form KEY=value`);
    }
    if (!/^[A-Za-z0-9_]+$/.test(key.trim())) {
      throw new DotenvError(`dotenv report, line ${index + 1}: a key has letters, digits and _ only`);
    }
    variables.set(key.trim(), value.trim());
  }
  if (variables.size > maxVariables) throw new DotenvError(`dotenv report has more than ${maxVariables} variables`);
  return Object.fromEntries(variables);
}

/** The reference server's limits for a dotenv report. */
const maxReportBytes = 5 * 1024;
const maxVariables = 150;
