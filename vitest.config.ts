import { configDefaults, defineConfig } from "vitest/config";

/** Eleven minutes of silence are only for those who ask for them; left out, they are no skipped tests. */
const asksForSilence = process.env["FLEETFOOT_TRUE_SILENCE"] === "1";

export default defineConfig({
  ssr: { resolve: { conditions: ["@fleetfoot/source"] } },
  test: {
    include: ["{packages,apps,tooling}/*/src/**/*.test.ts", "bench/src/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...(asksForSilence ? [] : ["**/true-silence.test.ts"])],
    // Two cores carry real servers, too; more workers only make each other slow.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 600_000,
    // What is waited for comes at once or never; a busy machine only makes it later.
    expect: { poll: { timeout: 30_000 } },
    restoreMocks: true,
  },
});
