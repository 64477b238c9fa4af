/** The whole contract, and how a runner goes through it. */
import { configMaps } from "./behaviours/config_maps.ts";
import { customResources } from "./behaviours/custom_resources.ts";
import { deletion } from "./behaviours/deletion.ts";
import { eventsAndLeases } from "./behaviours/events_and_leases.ts";
import { lists } from "./behaviours/lists.ts";
import { objects } from "./behaviours/objects.ts";
import { patches } from "./behaviours/patches.ts";
import { podConfigs } from "./behaviours/pod_configs.ts";
import { protocol } from "./behaviours/protocol.ts";
import { watches } from "./behaviours/watches.ts";
import { type Behaviour, type Surroundings, World } from "./world.ts";

const SUITE: readonly (readonly [string, readonly Behaviour[]])[] = [
  ["objects", objects],
  ["ConfigMaps", configMaps],
  ["patches", patches],
  ["lists", lists],
  ["watches", watches],
  ["deletion", deletion],
  ["custom resources", customResources],
  ["PodConfigMapConfigs", podConfigs],
  ["Events and Leases", eventsAndLeases],
  ["protocol", protocol],
];

/** Runs every behaviour as a step. `surroundings` is asked for a fresh namespace each time. */
export async function runContract(
  context: Deno.TestContext,
  surroundings: (namespace: string) => Promise<Surroundings>,
): Promise<void> {
  let count = 0;
  for (const [subject, behaviours] of SUITE) {
    for (const behaviour of behaviours) {
      await context.step(`${subject}: ${behaviour.name}`, async () => {
        await behaviour.run(new World(await surroundings(`contract-${++count}`)));
      });
    }
  }
}
