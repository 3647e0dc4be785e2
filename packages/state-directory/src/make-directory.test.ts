import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StateDirectoryError } from "./errors.ts";
import { makeDirectory } from "./make-directory.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "make-directory-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("makeDirectory", () => {
  it("makes what is missing, with its mode, and leaves what is there as it is", async () => {
    await makeDirectory(join(folder, "a"), 0o755);
    await makeDirectory(join(folder, "a", "b", "c"), 0o700);
    await makeDirectory(join(folder, "a", "b", "c"), 0o755);
    const modes = ["a", "a/b", "a/b/c"].map(async (path) =>
      ((await stat(join(folder, path))).mode & 0o777).toString(8),
    );
    expect(await Promise.all(modes)).toEqual(["755", "700", "700"]);
  });

  it("may be asked for the same directory many times at once", async () => {
    await Promise.all(Array.from({ length: 20 }, () => makeDirectory(join(folder, "x", "y", "z"))));
    expect((await stat(join(folder, "x", "y", "z"))).isDirectory()).toBe(true);
  });

  it("refuses a place behind a file, by the system's own error", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(makeDirectory(join(folder, "file"))).rejects.toMatchObject({ code: "EEXIST" });
    await expect(makeDirectory(join(folder, "file", "x"))).rejects.toMatchObject({ code: "ENOTDIR" });
  });

  it.runIf(process.platform === "linux")("comes to an end where a file system takes no directories", async () => {
    const error: unknown = await makeDirectory("/proc/x/y").catch((reason: unknown) => reason);
    expect(StateDirectoryError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({
      message: "/proc/x cannot be made: /proc takes no folders.",
      code: "takes-no-directories",
      retryable: false,
      path: "/proc/x",
      parent: "/proc",
    });
  });
});
