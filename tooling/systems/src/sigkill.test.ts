import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { systemStarters } from "./catalog.ts";
import type { SystemName } from "./catalog.ts";
import { describeWithSystem } from "./describe-with-system.ts";
import { importImage } from "./docker-image.ts";
import { engineRequest } from "./engine-request.ts";
import type { EngineRequest } from "./engine-request.ts";
import { callerEnvironment } from "./environment.ts";

interface Held {
  readonly processId: number;
  readonly folder: string;
}

for (const name of Object.keys(systemStarters) as SystemName[]) {
  // The system of the group shows that it can be had here, and that a second one runs beside it.
  describeWithSystem(name, (system) => {
    it("ends and is cleaned away when the process that started it is killed by SIGKILL", async () => {
      const { holder, held } = await hold(name);
      const traces = name === "docker-engine" ? await runContainer(held) : {};
      expect(Object.keys(traces).filter((trace) => !traces[trace]?.())).toEqual([]);
      expect(existsSync(held.folder)).toBe(true);
      holder.kill("SIGKILL");
      await once(holder, "exit");
      await vi.waitUntil(() => !existsSync(held.folder), { timeout: 30_000 });
      await vi.waitUntil(() => !isAlive(held.processId), { timeout: 30_000 });
      expect(Object.keys(traces).filter((trace) => traces[trace]?.())).toEqual([]);
      expect(readFileSync("/proc/mounts", "utf8")).not.toContain(held.folder);
      expect(existsSync(system().folder)).toBe(true);
    });
  });
}

async function hold(name: SystemName): Promise<{ holder: ReturnType<typeof spawn>; held: Held }> {
  const fixture = join(import.meta.dirname, "../fixtures/hold-system.ts");
  // What the fixture starts is not listed as having taken part: it would be listed twice.
  const env = callerEnvironment({ FLEETFOOT_SYSTEMS_REPORT: "" });
  const holder = spawn(process.execPath, [fixture, name], { env, stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await Promise.race([once(holder.stdout, "data"), once(holder, "exit")])) as [Buffer];
  return { holder, held: JSON.parse(line.toString("utf8")) as Held };
}

function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
}

/** Runs a container that does not end; returns what an engine could leave behind, each with whether it is there now. */
async function runContainer({ processId, folder }: Held): Promise<Readonly<Record<string, () => boolean>>> {
  const request = (order: EngineRequest) => engineRequest(join(folder, "engine.sock"), order);
  const image = await importImage({ folder, request });
  const body = { Image: image, Cmd: ["sleep", "100000"] };
  const created = await request({ method: "POST", path: "/containers/create", body });
  const path = `/containers/${(created.json() as { readonly Id: string }).Id}/start`;
  expect((await request({ method: "POST", path })).status).toBe(204);

  const [first] = readFileSync(`/proc/${processId}/task/${processId}/children`, "utf8").split(" ");
  const commandLine = readFileSync(`/proc/${first}/cmdline`, "latin1");
  const [, controlGroup = ""] = /--cgroup-parent=\/([^\0]+)/.exec(commandLine) ?? [];
  const [, link = ""] = /engine\0(ff-[^\0]+)/.exec(commandLine) ?? [];
  const namespace = readlinkSync(`/proc/${first}/ns/pid`);
  const controlGroupTrees = [
    "/sys/fs/cgroup",
    ...readdirSync("/sys/fs/cgroup").map((tree) => `/sys/fs/cgroup/${tree}`),
  ];
  return {
    process: () => processesIn(namespace).length > 0,
    "control group": () => controlGroupTrees.some((tree) => existsSync(join(tree, controlGroup))),
    "network link": () => existsSync(join("/sys/class/net", link)),
  };
}

function processesIn(namespace: string): readonly string[] {
  return readdirSync("/proc").filter((entry) => {
    try {
      return /^\d+$/.test(entry) && readlinkSync(`/proc/${entry}/ns/pid`) === namespace;
    } catch {
      // It ended since the folder was read.
      return false;
    }
  });
}
