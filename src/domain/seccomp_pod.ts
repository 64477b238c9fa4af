/** What a seccomp profile has to know of a Pod object: where it is, and what of it was not seen. Pure. */
import { POD_CONDITION_EBPF } from "../api/well_known.ts";

interface ContainerStatus {
  readonly name?: string;
  readonly state?: {
    readonly running?: { readonly startedAt?: string } | null;
    readonly terminated?: { readonly startedAt?: string } | null;
  };
}

interface ChangedObject {
  readonly metadata?: {
    readonly creationTimestamp?: string;
    readonly managedFields?:
      | readonly {
        readonly subresource?: string;
        readonly time?: string;
        readonly fieldsV1?: { readonly "f:metadata"?: { readonly "f:labels"?: unknown } };
      }[]
      | null;
  };
}

interface PartialPcmc extends ChangedObject {
  readonly spec?: {
    readonly ebpfConfig?: { readonly syscallMonitoring?: { readonly enabled?: boolean } };
  };
}

interface PartialPod extends ChangedObject {
  readonly status?: {
    readonly conditions?:
      | readonly {
        readonly type?: string;
        readonly status?: string;
        readonly lastTransitionTime?: string | null;
      }[]
      | null;
    readonly initContainerStatuses?: readonly ContainerStatus[] | null;
    readonly containerStatuses?: readonly ContainerStatus[] | null;
  };
}

/**
 * Containers whose start the counter may have missed: it began to count after them, or in the same
 * second. All of those that started, where the condition does not say when it began.
 *
 * The condition says since when anything was in place, be it a firewall or the counts of other calls. So
 * it counts since the last change, too, of a config of the namespace that has calls counted, or of the
 * Pod's labels, which choose its configs.
 */
export function unseenStarts(object: unknown, configs: readonly unknown[]): string[] {
  const pod = object as PartialPod;
  const { status = {} } = pod;
  const applied = (status.conditions ?? []).find((one) => one.type === POD_CONDITION_EBPF);
  const counting = (configs as readonly PartialPcmc[])
    .filter(({ spec }) => spec?.ebpfConfig?.syscallMonitoring?.enabled === true)
    .flatMap(({ metadata = {} }) => [
      metadata.creationTimestamp,
      ...(metadata.managedFields ?? [])
        .filter(({ subresource = "" }) => subresource === "").map(({ time }) => time),
    ]);
  const labelled = (pod.metadata?.managedFields ?? [])
    .filter(({ fieldsV1 }) => fieldsV1?.["f:metadata"]?.["f:labels"] !== undefined)
    .map(({ time }) => time);
  const changes = [...counting, ...labelled].flatMap((time) => time === undefined ? [] : [time]);
  const since = applied?.status === "True"
    ? Math.max(...[applied.lastTransitionTime ?? "", ...changes].map(seconds))
    : NaN;
  return [...status.initContainerStatuses ?? [], ...status.containerStatuses ?? []]
    .filter(({ state }) => {
      const startedAt = state?.running?.startedAt ?? state?.terminated?.startedAt;
      return startedAt !== undefined && !(seconds(startedAt) > since);
    })
    .map(({ name = "" }) => name);
}

const seconds = (time: string) => Math.floor(new Date(time).getTime() / 1_000);
