export { openTunnel } from "../tunnel/open-tunnel.ts";
export type { ProxyConnectionOptions } from "../tunnel/connect-to-proxy.ts";
export { createProxyDispatcher } from "./proxy-dispatcher.ts";
export type { ProxyDispatcher, ProxyDispatcherOptions, ProxyRequestOptions } from "./proxy-dispatcher.ts";
export { ProxyConnectionError, ProxyRefusedError, TargetConnectionError, UnsupportedProxyError } from "../errors.ts";
