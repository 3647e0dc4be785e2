import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";

it("says what to do where no file can be opened any more, so that git cannot be started", async () => {
  const program = `
    import { openSync } from "node:fs";
    import { createGit } from ${JSON.stringify(new URL("git.ts", import.meta.url).href)};
    try {
      for (;;) openSync("/dev/null");
    } catch {
      // All are open.
    }
    const git = createGit("/", process.env, new AbortController().signal);
    const said = await git(["--version"]).catch(({ name, message, cure }) => ({ name, message, cure }));
    console.log(JSON.stringify(said));
  `;
  const script = 'ulimit -n 128; exec "$0" --conditions=@fleetfoot/source --input-type=module --eval "$1"';
  const { stdout } = await promisify(execFile)("sh", ["-c", script, process.execPath, program]);
  expect(JSON.parse(stdout)).toEqual({
    name: "UsageError",
    message: "git could not be started: too many files are open.",
    cure: expect.stringContaining("ulimit -n"),
  });
});
