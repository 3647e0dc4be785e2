import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { expect, it } from "vitest";

it("says that git cannot be started where no file can be opened any more", async () => {
  const program = `
    import { spawn } from "node:child_process";
    import { openSync } from "node:fs";
    import { listUntracked } from ${JSON.stringify(new URL("untracked.ts", import.meta.url).href)};
    try {
      for (;;) openSync("/dev/null");
    } catch {
      // All are open.
    }
    const said = await listUntracked("/", spawn, undefined).catch(({ code, message }) => ({ code, message }));
    console.log(JSON.stringify(said));
  `;
  const script = 'ulimit -n 128; exec "$0" --conditions=@fleetfoot/source --input-type=module --eval "$1"';
  const { stdout } = await promisify(execFile)("sh", ["-c", script, process.execPath, program]);
  expect(JSON.parse(stdout)).toEqual({ code: "io", message: "list untracked files: spawn git EMFILE" });
});
