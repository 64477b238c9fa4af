/** What the agent keeps of a Pod of its node. Pure; trusts the API server's types, takes what is absent as empty. */
import { POD_CONDITION_EBPF } from "../api/well_known.ts";
import { addressHex } from "./address_hex.ts";
import type { AddressHex } from "./ebpf_programs.ts";

export interface NodePod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeName: string;
  readonly phase: string;
  readonly hostNetwork: boolean;
  /** `status.qosClass`; empty when the server has not set one. */
  readonly qosClass: string;
  /** The uid that the kubelet uses for a static Pod; empty for any other. */
  readonly configHash: string;
  readonly addresses: readonly AddressHex[];
  /** TCP ports to which the kubelet connects for probes and lifecycle hooks, ascending. */
  readonly probePorts: readonly number[];
  /** The Pod waits for our condition before it is Ready. */
  readonly gated: boolean;
  readonly condition: PodCondition | undefined;
}

export interface PodCondition {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

interface Handler {
  readonly httpGet?: { readonly port?: number | string; readonly host?: string };
  readonly tcpSocket?: { readonly port?: number | string; readonly host?: string };
  readonly grpc?: { readonly port?: number };
}

interface Container {
  readonly ports?:
    | readonly {
      readonly name?: string;
      readonly containerPort?: number;
      readonly protocol?: string;
    }[]
    | null;
  readonly livenessProbe?: Handler;
  readonly readinessProbe?: Handler;
  readonly startupProbe?: Handler;
  readonly lifecycle?: { readonly postStart?: Handler; readonly preStop?: Handler };
}

interface PartialPod {
  readonly metadata?: {
    readonly namespace?: string;
    readonly name?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>> | null;
    readonly annotations?: Readonly<Record<string, string>> | null;
    readonly ownerReferences?: readonly { readonly kind?: string; readonly name?: string }[] | null;
  };
  readonly spec?: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly containers?: readonly Container[] | null;
    readonly initContainers?: readonly Container[] | null;
    readonly readinessGates?: readonly { readonly conditionType?: string }[] | null;
  };
  readonly status?: {
    readonly phase?: string;
    readonly qosClass?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip?: string }[] | null;
    readonly conditions?:
      | readonly {
        readonly type: string;
        readonly status: string;
        readonly reason?: string;
        readonly message?: string;
      }[]
      | null;
  };
}

export function projectNodePod(object: unknown): NodePod {
  const { metadata = {}, spec = {}, status = {} } = object as PartialPod;
  const { namespace = "", name = "", uid = "", resourceVersion = "" } = metadata;
  const containers = [...spec.containers ?? [], ...spec.initContainers ?? []];
  const condition = (status.conditions ?? []).find(({ type }) => type === POD_CONDITION_EBPF);
  const ips = status.podIPs?.map(({ ip }) => ip) ?? [status.podIP];
  return {
    namespace,
    name,
    uid,
    resourceVersion,
    labels: metadata.labels ?? {},
    nodeName: spec.nodeName ?? "",
    phase: status.phase ?? "",
    hostNetwork: spec.hostNetwork === true,
    qosClass: status.qosClass ?? "",
    configHash: staticPodUid(metadata, spec.nodeName ?? ""),
    addresses: ascending(ips.flatMap((ip) => addressHex(ip ?? "") ?? []), compareText),
    probePorts: ascending(containers.flatMap(portsOf), (one, other) => one - other),
    gated: (spec.readinessGates ?? []).some((gate) => gate.conditionType === POD_CONDITION_EBPF),
    condition: condition && {
      status: condition.status,
      reason: condition.reason ?? "",
      message: condition.message ?? "",
    },
  };
}

/**
 * Of the mirror of a static Pod, as the kubelet makes it. Anybody may write an annotation: it must not
 * name the cgroup of another Pod, whose uid has another form, nor lead out of those of Pods.
 */
function staticPodUid(metadata: NonNullable<PartialPod["metadata"]>, nodeName: string): string {
  const { annotations, ownerReferences } = metadata;
  const hash = annotations?.["kubernetes.io/config.hash"] ?? "";
  const isMirror = annotations?.["kubernetes.io/config.mirror"] === hash &&
    ownerReferences?.length === 1 && nodeName !== "" &&
    ownerReferences.every(({ kind, name }) => kind === "Node" && name === nodeName);
  return isMirror && /^[0-9a-f]{32}$/.test(hash) ? hash : "";
}

const compareText = (one: string, other: string) => one < other ? -1 : one > other ? 1 : 0;

function ascending<T>(items: readonly T[], compare: (one: T, other: T) => number): T[] {
  return [...new Set(items)].sort(compare);
}

/** A probe with a host of its own goes there, not to the Pod. */
function portsOf(container: Container): number[] {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  const handlers = [livenessProbe, readinessProbe, startupProbe];
  handlers.push(lifecycle?.postStart, lifecycle?.preStop);
  return handlers.flatMap((handler) => {
    const { httpGet, tcpSocket, grpc } = handler ?? {};
    const targets = [httpGet, tcpSocket].filter((target) => target && !target.host);
    return [...targets, grpc].flatMap((target) => portNumber(container, target?.port) ?? []);
  });
}

function portNumber(container: Container, port: number | string | undefined): number | undefined {
  if (typeof port !== "string") return port;
  if (/^\d+$/.test(port)) return Number(port);
  return container.ports?.find(({ name, protocol = "TCP" }) => name === port && protocol === "TCP")
    ?.containerPort;
}

/** Its containers have ended for good: no program has anything to do. */
export function hasFinished({ phase }: NodePod): boolean {
  return phase === "Succeeded" || phase === "Failed";
}
