import type { UpstreamErrorCode } from "../errors.ts";
import type { UpstreamImage } from "./select.ts";

/**
 * To whom an upstream opens a name, each including those before: to some clients by their own logins, to the mirror by its
 * login, or to anybody.
 */
export type Opening = "clients" | "mirror" | "anybody";

/** To whom something must be open so that it is given out of the cache without another question. */
export function neededOpening({ name, upstream }: UpstreamImage): Opening {
  const { access = "public", credentials } = upstream.options;
  if (access === "pass-through") return "clients";
  return access === "shared" && credentials !== undefined && upstream.sharedNames.matches(name) ? "mirror" : "anybody";
}

/** Whether what is open to some is open to all who are meant. What nothing is known of is open to single clients only. */
export function isOpenTo(known: Opening | undefined, needed: Opening): boolean {
  return order.indexOf(known ?? "clients") >= order.indexOf(needed);
}

/** The one that includes the other. */
export function widerOpening(one: Opening | undefined, other: Opening | undefined): Opening | undefined {
  return isOpenTo(one, other ?? "clients") ? one : other;
}

/** Whether it may turn out that access to a name was withdrawn: where a login is used that is not each client's own. */
export function canBeWithdrawn({ upstream }: UpstreamImage): boolean {
  const { access, credentials } = upstream.options;
  // Of one client's login its refusal says nothing about others. Where nobody has a login, deleted repositories are refused, too.
  return access !== "pass-through" && credentials !== undefined;
}

/** Whether an upstream's refusal means that access to a name was withdrawn, and not that something is wrong with the upstream. */
export function isWithdrawal(image: UpstreamImage, code: UpstreamErrorCode): boolean {
  // Whose own login is not taken has nobody any more who vouches for those behind him.
  if (code === "credentials-rejected") return neededOpening(image) === "mirror";
  return code === "denied" && (canBeWithdrawn(image) || neededOpening(image) === "clients");
}

const order: readonly Opening[] = ["clients", "mirror", "anybody"];
