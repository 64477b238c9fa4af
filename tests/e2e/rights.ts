/** Rights as granted by the manifests, and as used by the controller according to the audit log. */
import { parseAllDocuments } from "yaml";
import type { ControlPlane } from "../support/control_plane.ts";
import { CONTROLLER_USER } from "../support/controller.ts";
import { ROOT } from "./stage.ts";

interface Manifest {
  kind?: string;
  rules?: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

/** `verb group/resource`, sorted, of every rule of `deploy/rbac.yaml`. */
export async function granted(): Promise<string[]> {
  const documents = parseAllDocuments(await Deno.readTextFile(`${ROOT}deploy/rbac.yaml`));
  const rules = documents.flatMap((document) => (document.toJS() as Manifest | null)?.rules ?? []);
  const rights = rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`))
    )
  );
  return [...new Set(rights)].sort();
}

/** The same, of every request that the controller's service account made. */
export async function askedFor(planes: readonly ControlPlane[]): Promise<string[]> {
  const rights = new Set<string>();
  for (const plane of planes) {
    for (const { verb, objectRef } of await plane.auditLog.entries({ user: CONTROLLER_USER })) {
      const { apiGroup = "", resource = "", subresource } = objectRef ?? {};
      const path = subresource === undefined ? resource : `${resource}/${subresource}`;
      rights.add(`${verb} ${apiGroup}/${path}`);
    }
  }
  return [...rights].sort();
}

/** Requests of the controller that failed with 403, those into terminating namespaces apart. */
export async function refusedByRbac(plane: ControlPlane): Promise<string[]> {
  const requests = await plane.auditLog.entries({ user: CONTROLLER_USER });
  return requests
    .filter(({ annotations }) => annotations?.["authorization.k8s.io/decision"] === "forbid")
    .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
}
