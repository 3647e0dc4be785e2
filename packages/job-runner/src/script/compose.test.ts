import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";

import { composeScript } from "./compose.ts";
import type { ScriptParts } from "./compose.ts";
import { quote } from "./quote.ts";

const PARTS: ScriptParts = {
  shell: "bash",
  variables: [],
  environmentFile: "/nonexistent/env",
  directory: "/",
  commands: [],
};

function run(
  shell: "bash" | "sh",
  parts: Partial<ScriptParts>,
): { code: number | null; stdout: string; stderr: string } {
  const script = composeScript({ ...PARTS, shell, ...parts });
  const { status, stdout, stderr } = spawnSync(shell, [], {
    input: script,
    encoding: "utf8",
    env: { PATH: process.env["PATH"] },
  });
  // oxlint-disable-next-line no-control-regex
  return { code: status, stdout: stdout.replaceAll(/\u001B\[32;1m\$ .*\n/g, ""), stderr };
}

describe.each(["bash", "sh"] as const)("a script for %s", (shell) => {
  it.each([
    ["nothing special", "plain"],
    ["quotes", `it's "quoted" \`and\` $more`],
    ["lines", "one\ntwo\n\n"],
    ["bytes outside of ASCII", "naïve ☃ \u0001\t"],
    ["a backslash at the end", "C:\\dir\\"],
    ["nothing", ""],
    ["what looks like an option", "-n"],
  ])("gives a command exactly the value of a variable: %s", (_, value) => {
    const { stdout } = run(shell, { variables: [["V", value]], commands: ['printf "[%s]" "$V"'] });
    expect(stdout).toBe(`[${value}]`);
  });

  it("stops at the first command that fails, with its code", () => {
    expect(run(shell, { commands: ["(exit 7)", "echo late"] })).toEqual({ code: 7, stdout: "", stderr: "" });
  });

  it("looks at the exit code of each command where that is wanted, even without errexit", () => {
    const commands = ["set +e", "(exit 7)", "echo late"];
    expect(run(shell, { commands }).stdout).toBe("late\n");
    expect(run(shell, { commands, checkEachCommand: true })).toMatchObject({ code: 7, stdout: "" });
  });

  it("gives commands no input", () => {
    expect(run(shell, { commands: ["cat", "echo after"] })).toEqual({ code: 0, stdout: "after\n", stderr: "" });
  });

  it("may use here documents, functions and several lines in one command", () => {
    const commands = ["cat <<END\nhere\nEND", "f() {\n  echo in f\n}", "f"];
    expect(run(shell, { commands }).stdout).toBe("here\nin f\n");
  });

  it("overwrites files, whatever the profile says about noclobber", () => {
    const script = composeScript({ ...PARTS, shell, commands: ["echo x > /dev/null"] });
    expect(spawnSync(shell, [], { input: `set -o noclobber\n${script}` }).status).toBe(0);
  });

  it("does not print itself when it is told to end", () => {
    const commands = ["kill -TERM $$; sleep 0.1"];
    const { code, stdout, stderr } = run(shell, { variables: [["SECRET", "s3cr3t"]], commands });
    expect(code).toBe(1);
    expect(stdout + stderr).not.toContain("s3cr3t");
  });

  it("prints what it does where that is wanted", () => {
    expect(run(shell, { commands: ["echo hi"], debugTrace: true }).stderr).toContain("+ echo hi");
  });

  it("ends where its directory does not exist", () => {
    const { code, stdout } = run(shell, { directory: "/nonexistent/directory", commands: ["echo late"] });
    expect([code === 0, stdout]).toEqual([false, ""]);
  });
});

it("echoes each command before it runs, and every entry on its own", () => {
  const script = composeScript({ ...PARTS, commands: ["echo a", "  ", "echo b\necho c"] });
  const { stdout } = spawnSync("bash", [], { input: script, encoding: "utf8" });
  const echo = (text: string): string => `\u001B[32;1m$ ${text}\u001B[0;m\n`;
  expect(stdout).toBe(`${echo("echo a")}a\n\n${echo("echo b # collapsed multi-line command")}b\nc\n`);
});

it("quotes a text as one word", () => {
  expect(quote("it's")).toBe(`'it'\\''s'`);
});
