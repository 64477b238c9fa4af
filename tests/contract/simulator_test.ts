/** The contract on the simulator: in process on virtual time, and over HTTP as other programs see it. */
import { sleep, systemClock } from "../../src/lib/clock.ts";
import { VirtualClock } from "../../src/lib/virtual_clock.ts";
import type { RestClient } from "../../src/runtime/ports/rest.ts";
import { SimulatedCluster } from "../../src/simulator/cluster.ts";
import { serveHttp } from "../../src/simulator/http_front.ts";
import { fetchClient } from "./fetch_client.ts";
import { runContract } from "./suite.ts";
import type { Surroundings } from "./world.ts";

Deno.test("contract: the simulator in process", async (context) => {
  const clock = new VirtualClock();
  const cluster = new SimulatedCluster({ clock });
  const elapse = (ms: number) => clock.advance(ms);
  await runContract(context, surroundingsOf({ cluster, client: cluster.client(), elapse }));
  cluster.stop();
});

Deno.test("contract: the simulator over HTTP", async (context) => {
  const cluster = new SimulatedCluster({ clock: systemClock });
  const front = serveHttp({ cluster });
  using client = fetchClient(front.url);
  const elapse = (ms: number) => sleep(systemClock, ms);
  await runContract(context, surroundingsOf({ cluster, client, elapse }));
  cluster.stop();
  await front.close();
});

interface Simulation {
  readonly cluster: SimulatedCluster;
  readonly client: RestClient;
  elapse(ms: number): Promise<void>;
}

function surroundingsOf({ cluster, client, elapse }: Simulation) {
  return (namespace: string): Promise<Surroundings> => {
    cluster.seed([{ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } }]);
    return Promise.resolve({
      client,
      namespace,
      elapse,
      forgetHistory() {
        cluster.compact();
        return Promise.resolve();
      },
    });
  };
}
