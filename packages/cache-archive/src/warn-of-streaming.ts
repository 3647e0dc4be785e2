let warned = false;

/** Tells once that archives take many times longer than they could. */
export function warnOfStreaming(): void {
  if (warned) return;
  warned = true;
  process.emitWarning(
    "Worker threads cannot be started, so archives are written and restored by the slower streaming engine.",
    {
      type: "FleetfootWarning",
      code: "FLEETFOOT_NO_WORKERS",
      detail:
        "A bundled application needs @fleetfoot/cache-archive/worker as an entry point named archive-worker beside the bundle.",
    },
  );
}
