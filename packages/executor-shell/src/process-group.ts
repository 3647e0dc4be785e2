/** The processes that a script started, as one. */
export interface ProcessGroup {
  /** Signals all of them. A group that is gone takes no notice. */
  signal(name: NodeJS.Signals): void;
}

/**
 * @param leader - process id of the shell, which was started as the leader of a group of its own
 * @param kill - sends a signal to a process, or to a group given as a negative id
 */
export function processGroup(leader: number, kill: (id: number, signal: NodeJS.Signals) => void): ProcessGroup {
  return {
    signal: (name) => {
      try {
        kill(-leader, name);
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    },
  };
}

/** No such group; some systems say "not permitted" while only zombies are left in it. */
function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ESRCH" || code === "EPERM";
}
