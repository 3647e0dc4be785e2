import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { describe, expect, it, vi } from "vitest";
import { testProject } from "../testing/project.ts";
import { elsewhereRunner, serveProject } from "../testing/served-project.ts";

const JOBS = 100;
const KILLS = [7, 29, 53, 81];

/** One entry of the journal, as far as this test looks. */
interface Entry {
  readonly kind: string;
  readonly id: number;
  readonly state: string;
  readonly handOuts: number;
  readonly trace?: { readonly bytes: number; readonly checksum: string };
  readonly finalUpdate?: { readonly bytes: number; readonly checksum: string; readonly traceMatches: boolean };
}

describe("fleetfoot coordinator that is killed", () => {
  it(`ends each of ${JOBS} jobs once, with its whole log, after ${KILLS.length} SIGKILLs in the middle of them`, async () => {
    await using project = await testProject({
      ".gitlab-ci.yml": `job: { parallel: ${JOBS}, variables: { GIT_STRATEGY: none }, script: ['echo $CI_JOB_ID >> $CI_BUILDS_DIR/../ran', 'for i in 1 2 3 4 5; do echo "line $i of $CI_JOB_NAME"; sleep 0.01; done'] }\n`,
    });
    await using elsewhere = await elsewhereRunner();
    const listen = ["--listen", `127.0.0.1:${await freePort()}`];
    let served = await serveProject(project, listen);
    await elsewhere.register(["--url", served.url, "--token", served.token, "--limit", "4"]);
    await tune(elsewhere.folder);
    const runner = elsewhere.run();
    for (const kill of KILLS) {
      const { process } = served;
      // What had ended before it started is among what it prints.
      await vi.waitFor(() => expect(process.output().split("> passed").length).toBeGreaterThan(kill), {
        timeout: 150_000,
        interval: 5,
      });
      process.kill("SIGKILL");
      expect(await process.ended).toBe("SIGKILL");
      served = await serveProject(project, listen);
      await served.process.printed("Going on with pipeline 1");
    }
    expect(await served.process.ended).toBe(0);
    runner.kill("SIGQUIT");
    expect(await runner.ended).toBe(0);

    const state = join(project.directory, ".fleetfoot/served/coordinator");
    const journal = (await readFile(join(state, "journal.jsonl"), "utf8")).trim().split("\n");
    const entries = journal.flatMap((line) => JSON.parse(line) as Entry[]).filter(({ kind }) => kind === "job");
    const last = new Map(entries.map((entry) => [entry.id, entry]));
    expect(last.size).toBe(JOBS);
    for (const entry of last.values()) {
      expect(entry).toMatchObject({ state: "success", finalUpdate: { traceMatches: true } });
      const log = await readFile(join(state, "jobs", String(entry.id), "trace.log"));
      const checksum = `crc32:${crc32(log).toString(16).padStart(8, "0")}`;
      expect(entry.finalUpdate).toMatchObject({ bytes: log.length, checksum });
      const lines = log.toString().match(/line \d of job \d+\/100\n/g) ?? [];
      expect(lines).toHaveLength(5);
    }
    const ran = (await readFile(join(elsewhere.folder, "ran"), "utf8")).trim().split("\n");
    expect(new Set(ran).size).toBe(JOBS);
    expect(ran).toHaveLength(JOBS);
  }, 600_000);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Four jobs at once, asked for as soon as can be. */
async function tune(folder: string): Promise<void> {
  const path = join(folder, "config.toml");
  const text = await readFile(path, "utf8");
  const settings = "concurrent = 4\ncheck_interval = 1\n";
  const rest = text.replaceAll(/^(?:concurrent|check_interval)\s*=.*\n/gm, "");
  await writeFile(path, settings + rest.replace("[[runners]]\n", "[[runners]]\nrequest_concurrency = 4\n"));
}
