import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { helloJob, openHarness, plain, projectOf, script } from "../test-support/job-harness.ts";
import type { Harness } from "../test-support/job-harness.ts";
import { parseEnvironmentFile } from "./environment-file.ts";
import { changedFlags, resolveFeatureFlags } from "./feature-flags.ts";
import { prepareJobVariables } from "./job-variables.ts";
import { parseBoolean, readSettings } from "./settings.ts";

const filePath = (name: string): string => `/tmp/${name}`;

describe("preparing variables", () => {
  it("JE 26: a reference is expanded, once, against what the others were before", () => {
    const { lookup } = prepareJobVariables(
      [
        { key: "A", value: "$B" },
        { key: "B", value: "x" },
        { key: "C", value: "$A" },
      ],
      filePath,
    );
    expect([lookup("A"), lookup("C")]).toEqual(["x", "$B"]);
  });

  it("takes the last definition, also for a reference to the variable itself", () => {
    const variables = [
      { key: "A", value: "first" },
      { key: "A", value: "$A:second" },
    ];
    expect(prepareJobVariables(variables, filePath).lookup("A")).toBe("$A:second:second");
  });

  it("tells the value of a file variable from its path", () => {
    const { lookup, lookupContent, files, exported } = prepareJobVariables(
      [
        { key: "CERT", value: "of $NAME", file: true },
        { key: "NAME", value: "me" },
        { key: "OTHER", value: "at $CERT" },
      ],
      filePath,
    );
    expect([lookup("CERT"), lookupContent("CERT"), lookup("OTHER")]).toEqual(["/tmp/CERT", "of me", "at /tmp/CERT"]);
    expect([...files]).toEqual([["CERT", "of me"]]);
    expect(exported.get("CERT")).toBe("/tmp/CERT");
  });

  it("masks what a masked value expands to, and overridden values too", () => {
    const { maskedValues } = prepareJobVariables(
      [
        { key: "A", value: "old", masked: true },
        { key: "A", value: "new-$B", masked: true },
        { key: "B", value: "b" },
      ],
      filePath,
    );
    expect(maskedValues).toEqual(["old", "new-b", "new-$B"]);
  });

  it("masks a masked value with a dollar sign in the form that references to it insert", () => {
    const { lookup, maskedValues } = prepareJobVariables(
      [
        { key: "PASSWORD", value: "pa$word4you", masked: true },
        { key: "LOGIN", value: "user:$PASSWORD" },
      ],
      filePath,
    );
    expect([lookup("PASSWORD"), lookup("LOGIN")]).toEqual(["pa", "user:pa$word4you"]);
    expect(maskedValues).toEqual(["pa", "pa$word4you"]);
  });
});

describe("variables in a job", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await openHarness();
  });
  afterEach(() => harness.dispose());

  const logOf = async (
    lines: readonly string[],
    variables: Parameters<typeof helloJob>[1],
    runner: Parameters<Harness["run"]>[1] = {},
  ): Promise<string> => plain((await harness.run(helloJob({ steps: script(...lines) }, variables), runner)).log);

  it("JE 26: are exported expanded", async () => {
    const variables = [
      { key: "A", value: "$B" },
      { key: "B", value: "x" },
    ];
    expect(await logOf(['echo "[$A]"'], variables)).toContain("\n[x]\n");
  });

  it("JE 27: that are files lie beside the project, byte for byte, and go when the job ends", async () => {
    const log = await logOf(
      ['echo "$CERT"; cat "$CERT"; stat -c " %s %a" "$CERT"'],
      [{ key: "CERT", value: "abc", file: true }],
    );
    const path = `${projectOf(harness.root)}.tmp/CERT`;
    expect(log).toContain(`\n${path}\nabc 3 600\n`);
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });

  it("JE 28: that are raw stay as they are", async () => {
    expect(await logOf(['echo "[$R]"'], [{ key: "R", value: "$HOME", raw: true }])).toContain("\n[$HOME]\n");
  });

  it("JE 29: of the job win over those of the configuration", async () => {
    const runner = { runner: { environment: ["X=1", "Y=1"] } };
    expect(await logOf(['echo "$X$Y"'], [{ key: "X", value: "2" }], runner)).toContain("\n21\n");
  });

  it("JE 30: that are masked do not show, however they are printed", async () => {
    const secret = [{ key: "S", value: "s3cr3tvalue", masked: true }];
    const log = await logOf(["printf s3cr3; sleep 0.05; echo tvalue; echo s3cr3tvalue >&2"], secret);
    expect(log).not.toContain("s3cr3tvalue");
    expect(log).toContain("\n[MASKED]\n");
    // Once in the echo of the command, once by either stream.
    expect(log.match(/\[MASKED\]/g)).toHaveLength(3);
  });

  it("JE 31: cannot leak by an address in the output", async () => {
    const log = await logOf(["echo 'https://h/?a=1&private_token=zzz&b=2'"], []);
    expect(log).toContain("\nhttps://h/?a=1&private_token=[MASKED]&b=2\n");
  });

  it("JE 33: a log has its limit, and the job goes on", async () => {
    const job = helloJob({ steps: script("head -c 10240 /dev/zero | tr '\\0' x") });
    const { log, result } = await harness.run(job, { runner: { outputLimitBytes: 1024 } });
    const notice = log.indexOf("\n\u001B[33;1mJob's log exceeded limit of 1024 bytes.");
    expect(notice).toBe(1024);
    expect(result.outcome).toBe("success");
  });

  it("JE 34: CI_DEBUG_TRACE has no effect where the operator has switched it off, and that is said", async () => {
    const variables = [{ key: "CI_DEBUG_TRACE", value: "true" }];
    const traced = await logOf(["echo hi"], variables);
    expect(traced).toContain("+ eval");
    const quiet = await logOf(["echo hi"], variables, { runner: { debugTraceDisabled: true } });
    expect(quiet).not.toContain("+ ");
    expect(quiet).toContain("WARNING: CI_DEBUG_TRACE: usage is disabled on this Runner\n");
  });

  it("mark the log when the shell prints everything", async () => {
    const { coordinator } = await harness.run(helloJob({}, [{ key: "CI_DEBUG_TRACE", value: "true" }]));
    expect(coordinator.chunks[0]?.debugTrace).toBe(true);
  });

  it("of the runner cannot be overridden where the runner depends on them", async () => {
    const log = await logOf(
      ['echo "$CI_SHARED_ENVIRONMENT $CI_RUNNER_VERSION $CI_CONCURRENT_ID $CI_JOB_TIMEOUT $CI_SERVER $CI_JOB_STATUS"'],
      [
        { key: "CI_SHARED_ENVIRONMENT", value: "no" },
        { key: "CI_RUNNER_VERSION", value: "0" },
      ],
      { runner: { version: "1.2.3" } },
    );
    expect(log).toContain("\ntrue 1.2.3 0 600 yes running\n");
  });

  it("that no shell can have are left out instead of breaking the script", async () => {
    expect(await logOf(["echo fine"], [{ key: "not-a-name", value: "x" }])).toContain("\nfine\n");
  });

  it("that are files cannot leave their directory", async () => {
    const job = helloJob({}, [{ key: "../escape", value: "x", file: true }]);
    const { result } = await harness.run(job);
    expect(result).toMatchObject({ failureReason: "runner_configuration_error" });
    expect(result.message).toContain('"../escape"');
    await expect(stat(join(projectOf(harness.root), "..", "escape"))).rejects.toThrow("ENOENT");
  });

  it("that an earlier job left in its environment file do not reach this one", async () => {
    const temporary = `${projectOf(harness.root)}.tmp`;
    await mkdir(temporary, { recursive: true });
    await writeFile(join(temporary, "gitlab_runner_env"), "STALE=yes\n");
    expect(await logOf(['echo "[$STALE]"'], [])).toContain("\n[]\n");
  });
});

describe("settings", () => {
  const read = (name: string, value: string): ReturnType<typeof readSettings> =>
    readSettings({
      lookup: (asked) => (asked === name ? value : undefined),
      jobTimeoutMs: 3_600_000,
      debugTraceDisabled: false,
    });

  it.each([
    { row: "JE 13", value: "50", attempts: 10, warned: true },
    { row: "JE 13", value: "10", attempts: 10, warned: false },
    { row: "zero", value: "0", attempts: 1, warned: true },
    { row: "negative", value: "-2", attempts: 1, warned: true },
    { row: "no number", value: "many", attempts: 1, warned: true },
    { row: "empty", value: "", attempts: 1, warned: false },
  ])("$row: GET_SOURCES_ATTEMPTS=$value gives $attempts", ({ value, attempts, warned }) => {
    const settings = read("GET_SOURCES_ATTEMPTS", value);
    expect(settings.getSourcesAttempts).toBe(attempts);
    expect(settings.warnings).toHaveLength(warned ? 1 : 0);
  });

  it.each([
    ["90s", 90_000, 0],
    ["1h", 3_600_000, 0],
    ["1h1s", undefined, 1],
    ["-5s", undefined, 1],
    ["0", undefined, 0],
    ["60", undefined, 1],
    ["5 minutes", undefined, 1],
  ])("RUNNER_SCRIPT_TIMEOUT=%s gives %s with %i warnings", (value, ms, warnings) => {
    const settings = read("RUNNER_SCRIPT_TIMEOUT", value);
    expect(settings.scriptTimeoutMs).toBe(ms);
    expect(settings.warnings).toHaveLength(warnings);
  });

  it.each(["1", "t", "T", "TRUE", "true", "True"])("reads %s as true", (text) => {
    expect(parseBoolean(text)).toBe(true);
  });

  it.each(["yes", "on", "", "tRUE"])("does not read %j as a boolean", (text) => {
    expect(parseBoolean(text)).toBeUndefined();
  });
});

describe("feature flags", () => {
  it("come from the configuration first, then from the job, then from the default", () => {
    const job = [
      { key: "FF_HASH_CACHE_KEYS", value: "true" },
      { key: "FF_TIMESTAMPS", value: "false" },
      { key: "FF_ENABLE_JOB_CLEANUP", value: "maybe" },
    ];
    const flags = resolveFeatureFlags({ FF_HASH_CACHE_KEYS: false, FF_UNKNOWN: true }, job);
    expect(flags).toMatchObject({ FF_HASH_CACHE_KEYS: false, FF_TIMESTAMPS: false, FF_ENABLE_JOB_CLEANUP: false });
    expect(changedFlags(flags)).toEqual(["FF_TIMESTAMPS:false"]);
  });
});

describe("the environment file", () => {
  it("has one variable a line, the last of a name counts, and other lines do not", () => {
    expect([...parseEnvironmentFile("A=1\nB=x=y\n=no\nnot-a-name=1\nwords\nA=2")]).toEqual([
      ["A", "2"],
      ["B", "x=y"],
    ]);
  });
});
