import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  array,
  assert,
  asyncProperty,
  constant,
  constantFrom,
  dictionary,
  integer,
  letrec,
  oneof,
  string,
} from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_KEYWORDS, UNSUPPORTED_KEYWORDS } from "./job-definition.ts";
import { resolvePipeline } from "./resolve-pipeline.ts";

const keywords = [
  ...DEFAULT_KEYWORDS,
  ...UNSUPPORTED_KEYWORDS,
  "stages",
  "default",
  "variables",
  "workflow",
  "include",
  "inherit",
  "extends",
  "script",
  "stage",
  "rules",
  "only",
  "except",
  "needs",
  "dependencies",
  "parallel",
  "matrix",
  "environment",
  "allow_failure",
  "when",
  "start_in",
  "trigger",
  "run",
  "if",
  "changes",
  "exists",
  "paths",
  "key",
  "files",
  "prefix",
  "policy",
  "fallback_keys",
  "reports",
  "junit",
  "name",
  "job",
  "optional",
  "local",
  "refs",
  "max",
  "exit_codes",
  "value",
  "options",
  "expand",
  "<<",
  "a",
  "b",
  ".t",
];
const words = [
  "a",
  "b",
  ".t",
  "test",
  "build",
  "x",
  "manual",
  "delayed",
  "never",
  "1h",
  "$A == 'x'",
  "$A =~ /x/",
  "/x/",
  "ci.yml",
  "*.yml",
  "a b",
  "",
];

const { value } = letrec((tie) => ({
  value: oneof(
    { maxDepth: 5, withCrossShrink: true },
    oneof(constantFrom(...words), constantFrom(null, true, false, 0, 1, 2, 1.5), integer(), string()),
    array(tie("value"), { maxLength: 4 }),
    dictionary(constantFrom(...keywords), tie("value"), { maxKeys: 6 }),
  ),
}));

describe("resolvePipeline", () => {
  it("never throws for what is in a file: it gives a pipeline, a refusal or errors", async () => {
    const job = dictionary(constantFrom(...keywords), value, { minKeys: 1, maxKeys: 8 });
    const file = dictionary(oneof(constantFrom("a", "b", ".t"), constantFrom(...keywords)), oneof(job, value), {
      maxKeys: 8,
    });
    await assert(
      asyncProperty(
        oneof(
          file.map((content) => JSON.stringify(content)),
          string(),
          constant(""),
        ),
        async (text) => {
          const { pipeline, refused, errors } = await resolvePipeline({
            file: "ci.yml",
            readFile: async (path) => (path === "ci.yml" ? text : undefined),
            listFiles: async () => ["ci.yml", "a"],
            changedFiles: ["a"],
            variables: { A: "x", CI_COMMIT_BRANCH: "main" },
            jobNames: [],
          });
          const outcomes = [pipeline !== undefined, refused !== undefined, errors.length > 0];
          expect(outcomes.filter(Boolean)).toHaveLength(1);
          expect(errors.every((error) => error.line >= 1 && error.message.length > 10)).toBe(true);
        },
      ),
      { numRuns: 1500 },
    );
  });
});

describe("start-up", () => {
  const program = `
    import { registerHooks } from "node:module";
    let loads = 0;
    registerHooks({ resolve(specifier, context, next) { if (specifier === "re2js") loads++; return next(specifier, context); } });
    const { resolvePipeline } = await import("@fleetfoot/ci-config");
    const count = async (text) => {
      const { errors } = await resolvePipeline({ file: "f", readFile: async () => text, variables: { CI_COMMIT_BRANCH: "main" } });
      return [errors.length, loads];
    };
    const plain = await count("a: { script: x, cache: { paths: [/tmp] }, rules: [{ if: $A == 'x' }, { changes: ['**/*'] }] }");
    const regex = await count("a: { script: x, rules: [{ if: $A =~ /x/ }, { when: always }] }");
    console.log(JSON.stringify([plain, regex]));
  `;

  it("loads the regular expression engine only when a file has a pattern", async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--conditions=@fleetfoot/source", "--input-type=module", "-e", program],
      {
        cwd: fileURLToPath(new URL("..", import.meta.url)),
      },
    );
    expect(JSON.parse(stdout)).toEqual([
      [0, 0],
      [0, 1],
    ]);
  });
});
