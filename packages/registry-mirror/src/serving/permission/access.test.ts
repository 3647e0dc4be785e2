import { MockAgent } from "undici";
import { expect, it } from "vitest";
import { noopLogger } from "../../logger.ts";
import { Metrics } from "../../metrics.ts";
import { defaultLimits } from "../../options.ts";
import { readRegistries } from "../../routing/registries.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import { UpstreamClient } from "../../upstream/client.ts";
import { parseRanges } from "../../upstream/address.ts";
import { Access } from "./access.ts";

it("goes on asking an upstream for its consent when the client leaves that asked first", async () => {
  const release = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const agent = new MockAgent();
  agent.disableNetConnect();
  agent.get("https://registry.example").intercept({ path: "/v2/org/app/tags/list" }).reply(200, "{}");
  const dispatcher = agent.compose((dispatch) => (options, handler) => {
    asked.resolve();
    void release.promise.then(() => dispatch(options, handler));
    return true;
  });
  const { upstreams } = readRegistries({
    upstreams: { own: { url: "https://registry.example", access: "pass-through" } },
  });
  const upstream = upstreams.get("own");
  if (upstream === undefined) throw new Error("there is no upstream");
  const clock = createManualClock();
  const client = new UpstreamClient({
    upstream,
    clock,
    logger: noopLogger,
    metrics: new Metrics(),
    limits: defaultLimits,
    allowed: parseRanges([], "allowPrivate", []),
    dispatcher,
    mirrorName: "this",
  });
  const access = new Access({
    clientOf: () => client,
    openings: { eraKeyOf: ({ name }) => name },
    withdrawals: { noteFailure() {} },
    clock,
    limits: defaultLimits,
  });
  const confirm = (signal: AbortSignal): Promise<void> =>
    access.confirm({ upstream, name: "org/app" }, "tags/list", { authorization: "Bearer alice" }, signal);
  const leaver = new AbortController();
  const left = expect(confirm(leaver.signal)).rejects.toThrow("gone");
  const stays = confirm(new AbortController().signal);
  await asked.promise;
  leaver.abort(new Error("gone"));
  await left;
  release.resolve();
  await expect(stays).resolves.toBeUndefined();
  await client.close();
  await agent.close();
});
