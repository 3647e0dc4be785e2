import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { Manifest } from "./packages.ts";

/** A registry that knows no package and accepts every one, so that nothing of a release leaves this machine. */
export interface EmptyRegistry {
  readonly url: string;
  /** What was published to it. */
  readonly published: readonly Publication[];
  readonly stop: () => Promise<void>;
}

/** One published version. */
interface Publication {
  readonly manifest: Manifest;
  readonly tarball: Buffer;
}

/** Body of the request by which a package is published. */
interface PublishBody {
  readonly versions: Readonly<Record<string, Manifest>>;
  readonly _attachments: Readonly<Record<string, { readonly data: string }>>;
}

/** Starts a registry on loopback. */
export async function startEmptyRegistry(): Promise<EmptyRegistry> {
  const published: Publication[] = [];
  const server = createServer((request, response) => {
    const answer = (status: number) => response.writeHead(status, { "content-type": "application/json" }).end("{}");
    if (request.method !== "PUT") {
      answer(404);
      return;
    }
    void text(request).then((body) => {
      const { versions, _attachments: attachments } = JSON.parse(body) as PublishBody;
      const [manifest] = Object.values(versions);
      const [attachment] = Object.values(attachments);
      if (manifest === undefined || attachment === undefined) return answer(400);
      published.push({ manifest, tarball: Buffer.from(attachment.data, "base64") });
      return answer(201);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    published,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
