import type { VolumeMount } from "../container/mounts.ts";
import type { TreeToSend } from "./tar-entries.ts";

/** One way by which files get to the containers of a job and back. */
export interface Transport {
  /** For the job's log: what is used and why. */
  readonly description: string;
  /** What is mounted at the builds directory. */
  readonly mount: VolumeMount | undefined;
  /** Called once, when the container is there and has not been started. */
  begin(container: {
    readonly id: string;
    readonly directories: readonly string[];
    readonly signal: AbortSignal;
  }): Promise<void>;
  /** Another container has taken the place of the one before. */
  moveTo(containerId: string): void;
  /**
   * Brings whole trees to the containers; what is there already stays unless it has the same name.
   *
   * @param keep - names at the top of the trees that stay on this host as well
   */
  send(trees: readonly TreeToSend[], keep: readonly string[], signal: AbortSignal): Promise<void>;
  /**
   * Brings one file or directory to this host, in place of what is there.
   *
   * @param from - absolute path in the container
   * @param to - root on this host and clean path below it
   * @param isWanted - gets names relative to `from`
   */
  receive(order: ReceiveOrder): Promise<void>;
  /** Removes what was made on this host. */
  end(): Promise<void>;
}

export interface ReceiveOrder {
  readonly from: string;
  readonly root: string;
  readonly relative: string;
  readonly isWanted: (name: string) => boolean;
  readonly signal: AbortSignal;
}
