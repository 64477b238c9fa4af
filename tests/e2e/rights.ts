/** Rights as granted by the manifests, and as used by the controller according to the audit log. */
import type { ControlPlane } from "../support/control_plane.ts";
import { CONTROLLER_USER, SERVICE_ACCOUNT } from "../support/controller.ts";
import { kustomize, rightsOf } from "../support/manifests.ts";

/** `verb group/resource`, sorted, of every rule that `deploy/controller/` binds to the controller. */
export async function granted(plane: ControlPlane): Promise<string[]> {
  return rightsOf(SERVICE_ACCOUNT, await kustomize(plane, "deploy/controller"));
}

/** The same, of every request that a service account made. */
export async function askedFor(
  planes: readonly ControlPlane[],
  user = CONTROLLER_USER,
): Promise<string[]> {
  const rights = new Set<string>();
  for (const plane of planes) {
    for (const { verb, objectRef } of await plane.auditLog.entries({ user })) {
      const { apiGroup = "", resource = "", subresource } = objectRef ?? {};
      const path = subresource === undefined ? resource : `${resource}/${subresource}`;
      rights.add(`${verb} ${apiGroup}/${path}`);
    }
  }
  return [...rights].sort();
}

/** Requests that failed with 403, those into terminating namespaces apart. */
export async function refusedByRbac(
  plane: ControlPlane,
  user = CONTROLLER_USER,
): Promise<string[]> {
  const requests = await plane.auditLog.entries({ user });
  return requests
    .filter(({ annotations }) => annotations?.["authorization.k8s.io/decision"] === "forbid")
    .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
}
