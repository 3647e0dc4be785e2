import { createHttpStore } from "./http-store.ts";
import { describeCacheStore } from "./describe-cache-store.ts";
import { startObjectServer } from "./object-server.ts";

describeCacheStore("a store over HTTP", {
  abilities: ["conditional", "delete", "list", "presign", "ranges"],
  open: async () => {
    const server = await startObjectServer();
    return { store: createHttpStore({ url: server.url }), close: () => server.close() };
  },
});
