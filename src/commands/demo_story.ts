/**
 * The demo's story, as data: each step says what somebody does, does it, and names what must come of
 * it. The teller waits for that and measures how long it took.
 */
import { configMapName } from "../domain/names.ts";
import { CONFIG_MAPS, PCMCS, PODS } from "../controllers/resources.ts";
import {
  DEMO_NAMESPACE,
  DEMO_PCMC,
  demoPcmc,
  demoPod,
  type DemoUser,
  type DemoView,
} from "./demo_world.ts";

export interface Step {
  /** What somebody does. */
  readonly says: string;
  act(user: DemoUser): Promise<void>;
  /** What must come of it, in words and as a question. */
  readonly outcome: string;
  holds(view: DemoView): boolean;
  /** ConfigMap whose data is worth a look then. */
  readonly show?: string;
}

const nameFor = (pod: string) => configMapName(pod, DEMO_PCMC);
const FOREIGN = nameFor("api-1");

/** `pods`: how many Pods exist at the start; they are named web-1, web-2, ... */
export function demoStory(pods: number): readonly Step[] {
  const existing = Array.from({ length: pods }, (_, index) => nameFor(`web-${index + 1}`));
  return [...appearing(existing), ...repairing(), ...recreating(), ...respecting(), ...ending()];
}

function appearing(existing: readonly string[]): Step[] {
  return [
    {
      says: `kubectl apply: PodConfigMapConfig ${DEMO_PCMC}, for Pods with app=web`,
      act: (user) => user.create(PCMCS, demoPcmc),
      outcome: `${existing.length} ConfigMaps, one for each Pod there is`,
      holds: (view) =>
        existing.every((name) => view.data(name) !== undefined) && view.ready().startsWith("True"),
    },
    {
      says: "a Pod named shop-1 appears",
      act: (user) => user.create(PODS, demoPod("shop-1")),
      outcome: "it gets its ConfigMap, and the ConfigMap follows the Pod to Running",
      holds: (view) => view.data(nameFor("shop-1"))?.["phase"] === "Running",
      show: nameFor("shop-1"),
    },
    {
      says: "its label app.kubernetes.io/version changes to 1.1.0",
      act: (user) =>
        user.patch(PODS, "shop-1", {
          metadata: { labels: { "app.kubernetes.io/version": "1.1.0" } },
        }),
      outcome: "the ConfigMap says so",
      holds: (view) =>
        view.data(nameFor("shop-1"))?.["label_app.kubernetes.io_version"] === "1.1.0",
    },
  ];
}

function repairing(): Step[] {
  return [
    {
      says: "someone edits the ConfigMap",
      act: (user) => user.patch(CONFIG_MAPS, nameFor("shop-1"), { data: { phase: "tampered" } }),
      outcome: "it is repaired",
      holds: (view) => view.data(nameFor("shop-1"))?.["phase"] === "Running",
    },
    {
      says: "someone deletes the ConfigMap",
      act: (user) => user.delete(CONFIG_MAPS, nameFor("shop-1")),
      outcome: "it is made again",
      holds: (view) => view.data(nameFor("shop-1")) !== undefined,
    },
    {
      says: "the Pod's label app changes: it is no longer selected",
      act: (user) => user.patch(PODS, "shop-1", { metadata: { labels: { app: "other" } } }),
      outcome: "its ConfigMap goes",
      holds: (view) => view.data(nameFor("shop-1")) === undefined,
    },
  ];
}

function recreating(): Step[] {
  let oldUid: string | undefined;
  return [
    {
      says: "a Pod named db-0 appears",
      act: (user) => user.create(PODS, demoPod("db-0")),
      outcome: "it gets its ConfigMap",
      holds: (view) => {
        oldUid = view.podUid("db-0");
        return view.ownerUid(nameFor("db-0")) === oldUid;
      },
    },
    {
      says: "db-0 is killed and made again under its name, as a StatefulSet does",
      act: async (user) => {
        await user.delete(PODS, "db-0", { gracePeriodSeconds: 0 });
        await user.create(PODS, demoPod("db-0"));
      },
      outcome: "the ConfigMap belongs to the new Pod, and does not die with the old one",
      holds: (view) => {
        const uid = view.podUid("db-0");
        return uid !== undefined && uid !== oldUid && view.ownerUid(nameFor("db-0")) === uid;
      },
    },
  ];
}

function respecting(): Step[] {
  return [
    {
      says: `someone owns a ConfigMap named ${FOREIGN}; then a Pod named api-1 appears`,
      act: async (user) => {
        await user.create(CONFIG_MAPS, {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: FOREIGN, namespace: DEMO_NAMESPACE },
          data: { precious: "yes" },
        });
        await user.create(PODS, demoPod("api-1"));
      },
      outcome:
        "the foreign ConfigMap stays untouched, and the status says Ready=False NameConflict",
      holds: (view) =>
        view.data(FOREIGN)?.["precious"] === "yes" && view.ready() === "False NameConflict",
    },
    {
      says: "api-1 goes again",
      act: async (user) => {
        await user.delete(PODS, "api-1", { gracePeriodSeconds: 0 });
      },
      outcome: "Ready is True again, and the foreign ConfigMap is still as it was",
      holds: (view) =>
        view.data(FOREIGN)?.["precious"] === "yes" && view.ready().startsWith("True"),
    },
  ];
}

function ending(): Step[] {
  return [
    {
      says: "the PodConfigMapConfig is deleted",
      act: (user) => user.delete(PCMCS, DEMO_PCMC),
      outcome: "all its ConfigMaps go",
      holds: (view) =>
        view.data(nameFor("web-1")) === undefined && view.data(nameFor("db-0")) === undefined,
    },
    {
      says: "it is made again",
      act: (user) => user.create(PCMCS, demoPcmc),
      outcome: "so are they",
      holds: (view) => view.data(nameFor("db-0")) !== undefined && view.ready().startsWith("True"),
    },
  ];
}
