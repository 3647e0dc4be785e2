export { createProxyDispatcher } from "./proxy-dispatcher.ts";
export type { ProxyDispatcher, ProxyDispatcherOptions, ProxyRequestOptions } from "./proxy-dispatcher.ts";
export { ProxyConnectionError, ProxyRefusedError, TargetConnectionError, UnsupportedProxyError } from "../errors.ts";
