import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CiConfigError } from "@fleetfoot/ci-config";
import { explainError } from "./explain-error.ts";
import { UsageError } from "./errors.ts";

describe("explainError", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-errors-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("gives the message and the cure of what the user can mend", () => {
    expect(explainError(new UsageError("Wrong.", { cure: "Do it right." }))).toBe("Wrong.\nDo it right.\n");
  });

  it("names the path and a cure where the system refused", async () => {
    const path = join(folder, "circle");
    await symlink(path, path);
    const error: unknown = await readFile(path).catch((reason: unknown) => reason);
    expect(explainError(error)).toBe(
      `${path}: the symbolic links go in a circle (ELOOP).\nRemove one of them, or name another place.\n`,
    );
  });

  it("keeps what the system said where it named no path", () => {
    const error = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    expect(explainError(error)).toMatch(/^ENOSPC: no space left on device, write\nMake room/);
  });

  it("gives the message alone of an error that a package words for people", () => {
    expect(explainError(new CiConfigError("some-code", "the file is odd"))).toBe("the file is odd\n");
  });

  it("keeps the stack of everything else, and says where to report it", () => {
    const text = explainError(new TypeError("x is not a function"));
    expect(text).toContain("TypeError: x is not a function\n    at ");
    expect(text).toContain("This is a fault of fleetfoot. Please report it");
    expect(text).toContain("https://github.com/fleetfoot/fleetfoot/issues");
    expect(explainError({ odd: 1 })).toContain("{ odd: 1 }");
  });
});
