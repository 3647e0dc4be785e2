import type {
  CacheStore,
  DeletesObjects,
  ListsObjects,
  PresignsObjects,
  PresignsParts,
  PutsConditionally,
  PutsInParts,
  ReadsRanges,
} from "./store.ts";

/** Whether the store can remove objects. */
export function canDelete<Store extends CacheStore>(store: Store): store is Store & DeletesObjects {
  return has(store, "delete");
}

/** Whether the store can enumerate objects. */
export function canList<Store extends CacheStore>(store: Store): store is Store & ListsObjects {
  return has(store, "list");
}

/** Whether the store can hand out URLs. */
export function canPresign<Store extends CacheStore>(store: Store): store is Store & PresignsObjects {
  return has(store, "presign");
}

/** Whether the store can hand out URLs for the parts of an upload. */
export function canPresignParts<Store extends CacheStore>(store: Store): store is Store & PresignsParts {
  return has(store, "presignParts");
}

/** Whether the store can open a part of an object. */
export function canReadRanges<Store extends CacheStore>(store: Store): store is Store & ReadsRanges {
  return has(store, "getRange");
}

/** Whether the store can refuse to replace an object. */
export function canPutConditionally<Store extends CacheStore>(store: Store): store is Store & PutsConditionally {
  return has(store, "putIf");
}

/** Whether the store limits and repeats the parts of a put by itself. */
export function canPutInParts<Store extends CacheStore>(store: Store): store is Store & PutsInParts {
  return "putsInParts" in store && store.putsInParts === true;
}

function has(store: CacheStore, method: string): boolean {
  return method in store && typeof (store as unknown as Record<string, unknown>)[method] === "function";
}
