/** One namespace with the controller of `deploy/namespaced/`: a Role there, and nothing elsewhere. */
import { ControllerProcess, LOCK, SERVICE_ACCOUNT } from "../support/controller.ts";
import type { ControlPlane } from "../support/control_plane.ts";
import { documents, kustomize } from "../support/manifests.ts";
import type { Namespace, Stage, Strings } from "./stage.ts";

const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const ROLES = [SERVICE_ACCOUNT, `${SERVICE_ACCOUNT}-lock`];

/** `deploy/namespaced/` but for the Deployment: tests start the replicas. */
export async function installTenant(plane: ControlPlane, namespace: string): Promise<void> {
  const manifests = await kustomize(plane, "deploy/namespaced");
  const at = manifests.filter(({ kind }) => kind !== "Deployment")
    .map((manifest) => ({ ...manifest, metadata: { ...manifest.metadata, namespace } }));
  await plane.apply(documents(at));
}

export class Tenant {
  readonly at: Namespace;
  readonly #kubeconfig: string;

  private constructor(at: Namespace, kubeconfig: string) {
    this.at = at;
    this.#kubeconfig = kubeconfig;
  }

  static async open(stage: Stage, prefix: string): Promise<Tenant> {
    const at = await stage.namespace(prefix);
    await installTenant(stage.plane, at.name);
    const token = await stage.plane.serviceAccountToken(at.name, SERVICE_ACCOUNT);
    const tenant = new Tenant(at, await stage.plane.kubeconfigFor(token, at.name));
    await tenant.#untilAllowed(tenant.user);
    return tenant;
  }

  async #untilAllowed(user: string): Promise<void> {
    const { plane, name: namespace } = this.at;
    await plane.untilAllowed(user, { verb: "list", resource: "pods", namespace });
    await plane.untilAllowed(user, { ...LOCK, namespace });
  }

  get user(): string {
    return `system:serviceaccount:${this.at.name}:${SERVICE_ACCOUNT}`;
  }

  /** A replica with the environment of `deploy/namespaced/`. Not ready yet. */
  start(name: string, env: Strings = {}, kubeconfig = this.#kubeconfig) {
    const { plane } = this.at;
    return ControllerProcess.start({
      plane,
      kubeconfig,
      name: `${this.at.name}-${name}`,
      env: {
        POD_NAMESPACE: this.at.name,
        WATCH_NAMESPACE: this.at.name,
        LEADER_ELECTION_LOCK_NAMESPACE: this.at.name,
        ...env,
      },
    });
  }

  /** A second service account with the same rights, so that the audit log tells replicas apart. */
  async secondAccount(): Promise<{ user: string; kubeconfig: string }> {
    const { plane, name: namespace } = this.at;
    const name = `${SERVICE_ACCOUNT}-b`;
    await plane.expect("POST", `/api/v1/namespaces/${namespace}/serviceaccounts`, {
      metadata: { name },
    });
    for (const role of ROLES) {
      await plane.expect("POST", `${RBAC}/namespaces/${namespace}/rolebindings`, {
        metadata: { name: `${role}-b` },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: role },
        subjects: [{ kind: "ServiceAccount", name, namespace }],
      });
    }
    const user = `system:serviceaccount:${namespace}:${name}`;
    await this.#untilAllowed(user);
    const token = await plane.serviceAccountToken(namespace, name);
    return { user, kubeconfig: await plane.kubeconfigFor(token, namespace) };
  }

  /** Lets the service account use a Lease of another name. */
  async allowLock(lock: string): Promise<void> {
    const { plane, name: namespace } = this.at;
    await plane.expect("POST", `${RBAC}/namespaces/${namespace}/roles`, {
      metadata: { name: lock },
      rules: [{
        apiGroups: ["coordination.k8s.io"],
        resources: ["leases"],
        resourceNames: [lock],
        verbs: ["get", "update"],
      }],
    });
    await plane.expect("POST", `${RBAC}/namespaces/${namespace}/rolebindings`, {
      metadata: { name: lock },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: lock },
      subjects: [{ kind: "ServiceAccount", name: SERVICE_ACCOUNT, namespace }],
    });
    await plane.untilAllowed(this.user, { ...LOCK, name: lock, namespace });
  }

  /** Takes away the right to renew the lease. */
  async forbidLock(): Promise<void> {
    const path = `${RBAC}/namespaces/${this.at.name}/rolebindings/${SERVICE_ACCOUNT}-lock`;
    await this.at.plane.expect("DELETE", path);
  }
}
