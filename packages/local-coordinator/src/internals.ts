import type { LocalCoordinator } from "./coordinator.ts";
import type { Core } from "./core.ts";

/** The inside of coordinators, for the test kit only: what is done there has no place in the public interface. */
const cores = new WeakMap<LocalCoordinator, Core>();

export function rememberCore(coordinator: LocalCoordinator, core: Core): void {
  cores.set(coordinator, core);
}

/** Makes the inside of one coordinator reachable from an object that stands for it. */
export function shareCore(coordinator: LocalCoordinator, standIn: LocalCoordinator): void {
  const core = cores.get(coordinator);
  if (core !== undefined) cores.set(standIn, core);
}

/** Undefined for what is not a coordinator of this package. */
export function coreOf(coordinator: LocalCoordinator): Core | undefined {
  return cores.get(coordinator);
}
