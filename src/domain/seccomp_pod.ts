/** What a seccomp profile has to know of a Pod object: where it is, and what of it was not seen. Pure. */
import { POD_CONDITION_EBPF } from "../api/well_known.ts";

interface ContainerStatus {
  readonly name?: string;
  readonly state?: {
    readonly running?: { readonly startedAt?: string } | null;
    readonly terminated?: { readonly startedAt?: string } | null;
  };
}

interface PartialPod {
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
 */
export function unseenStarts(object: unknown): string[] {
  const { status = {} } = object as PartialPod;
  const applied = (status.conditions ?? []).find((one) => one.type === POD_CONDITION_EBPF);
  const since = applied?.status === "True" ? seconds(applied.lastTransitionTime ?? "") : NaN;
  return [...status.initContainerStatuses ?? [], ...status.containerStatuses ?? []]
    .filter(({ state }) => {
      const startedAt = state?.running?.startedAt ?? state?.terminated?.startedAt;
      return startedAt !== undefined && !(seconds(startedAt) > since);
    })
    .map(({ name = "" }) => name);
}

const seconds = (time: string) => Math.floor(new Date(time).getTime() / 1_000);
