import type { CoordinatorHandler, LocalCoordinator, LocalCoordinatorOptions } from "./coordinator.ts";

export interface StartLocalCoordinatorOptions extends LocalCoordinatorOptions {
  /** @default "127.0.0.1" */
  readonly host?: string;
  /** 0 takes a free one. @default 0 */
  readonly port?: number;
  /** Serves `https` with these PEM texts. */
  readonly tls?: {
    readonly key: string;
    readonly certificate: string;
    /** Clients need a certificate of this authority. */
    readonly clientAuthority?: string;
  };
  /** Goes around the handler, for example to record requests. */
  readonly wrap?: (handler: CoordinatorHandler) => CoordinatorHandler;
}

export interface StartedCoordinator extends LocalCoordinator {
  /** Instance URL for runners, for example `http://127.0.0.1:40123`. */
  readonly url: string;
  readonly port: number;
}
