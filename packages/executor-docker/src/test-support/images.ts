/** The part of a real engine that is needed to make an image; `tooling/systems` has it. */
export interface EngineForImages {
  request(request: {
    readonly method: "DELETE" | "GET" | "POST";
    readonly path: string;
    readonly body?: object;
  }): Promise<{ readonly status: number; readonly text: string; readonly json: () => unknown }>;
}

/** Makes an image of another one by instructions such as `USER 1000`. @returns its reference */
export async function deriveImage(
  engine: EngineForImages,
  from: string,
  name: string,
  instructions: readonly string[],
): Promise<string> {
  const created = await engine.request({
    method: "POST",
    path: "/containers/create",
    body: { Image: from, Cmd: ["true"] },
  });
  if (created.status !== 201) throw new Error(`create: ${created.text}`);
  const { Id: id } = created.json() as { readonly Id: string };
  const query = new URLSearchParams({ container: id, repo: name, tag: "latest" });
  for (const instruction of instructions) query.append("changes", instruction);
  const committed = await engine.request({ method: "POST", path: `/commit?${query}`, body: {} });
  await engine.request({ method: "DELETE", path: `/containers/${id}` });
  if (committed.status !== 201) throw new Error(`commit: ${committed.text}`);
  return `${name}:latest`;
}

/** Names of all containers of an engine, also of those that do not run. */
export async function containerNames(engine: EngineForImages): Promise<string[]> {
  const answer = await engine.request({ method: "GET", path: "/containers/json?all=1" });
  return (answer.json() as readonly { readonly Names: readonly string[] }[]).flatMap(({ Names: names }) => names);
}

export async function volumeNames(engine: EngineForImages): Promise<string[]> {
  const answer = await engine.request({ method: "GET", path: "/volumes" });
  const { Volumes: volumes } = answer.json() as { readonly Volumes: readonly { readonly Name: string }[] | null };
  return (volumes ?? []).map(({ Name: name }) => name);
}

export async function networkNames(engine: EngineForImages): Promise<string[]> {
  const answer = await engine.request({ method: "GET", path: "/networks" });
  return (answer.json() as readonly { readonly Name: string }[]).map(({ Name: name }) => name);
}
