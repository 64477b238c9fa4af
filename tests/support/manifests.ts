/** What `deploy/` comes to: rendered by the kubectl of a control plane, as a user's would. */
import { parseAllDocuments } from "yaml";
import type { ControlPlane } from "./control_plane.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** A Kubernetes object as a manifest has it. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  // deno-lint-ignore no-explicit-any
  [field: string]: any;
}

/** The objects of a kustomization. `folder`: relative to the root of the project. */
export async function kustomize(plane: ControlPlane, folder: string): Promise<Manifest[]> {
  return parseManifests(await plane.kubectl("kustomize", `${ROOT}${folder}`));
}

/** @throws Error where the text is not YAML. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    const manifest = document.toJS() as Manifest | null;
    return manifest === null ? [] : [manifest];
  });
}

/** A text for `kubectl apply -f -`: JSON is YAML. */
export function documents(manifests: readonly Manifest[]): string {
  return manifests.map((manifest) => `---\n${JSON.stringify(manifest)}\n`).join("");
}

/** "Kind namespace/name" of an object; without a namespace where it has none. */
export function identify({ kind, metadata: { namespace, name } }: Manifest): string {
  return `${kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
}

/**
 * `verb group/resource`, sorted, of every rule that the manifests bind to a service account.
 */
export function rightsOf(account: string, manifests: readonly Manifest[]): string[] {
  const roles = manifests
    .filter(({ kind, subjects }) =>
      /^(Cluster)?RoleBinding$/.test(kind) &&
      subjects.some(({ name }: { name: string }) => name === account)
    )
    .map(({ roleRef }) => `${roleRef.kind} ${roleRef.name}`);
  const rights = manifests
    .filter(({ kind, metadata }) => roles.includes(`${kind} ${metadata.name}`))
    .flatMap(({ rules }) => rules.flatMap(rightsOfRule));
  return [...new Set<string>(rights)].sort();
}

function rightsOfRule(rule: { apiGroups: string[]; resources: string[]; verbs: string[] }) {
  return rule.apiGroups.flatMap((group) =>
    rule.resources.flatMap((resource) => rule.verbs.map((verb) => `${verb} ${group}/${resource}`))
  );
}
