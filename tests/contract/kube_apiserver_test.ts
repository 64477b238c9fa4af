/** The contract on a real kube-apiserver: what the suite says is what Kubernetes does. */
import { parse } from "yaml";
import { sleep, systemClock } from "../../src/lib/clock.ts";
import { type ControlPlane, startControlPlane } from "../support/control_plane.ts";
import { testNeeding } from "../support/requirements.ts";
import { type Credentials, fetchClient } from "./fetch_client.ts";
import { runContract } from "./suite.ts";

/** etcd forgets what is older than between one and two of these. */
const COMPACTION_SECONDS = 4;

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "contract: a real kube-apiserver",
  async fn(context) {
    await using plane = await startControlPlane({
      apiServerArgs: [`--etcd-compaction-interval=${COMPACTION_SECONDS}s`],
    });
    using client = fetchClient(plane.url, await credentialsOf(plane));
    await runContract(context, async (namespace) => {
      await plane.createNamespace(namespace);
      return {
        client,
        namespace,
        elapse: (ms) => sleep(systemClock, ms),
        async forgetHistory() {
          await sleep(systemClock, 2.5 * COMPACTION_SECONDS * 1000);
          // The server's own cache of changes goes with the process.
          await plane.stopApiServer();
          await plane.startApiServer();
        },
      };
    });
  },
});

async function credentialsOf(plane: ControlPlane): Promise<Credentials> {
  const config = parse(await Deno.readTextFile(plane.kubeconfig));
  const user = config.users[0].user;
  return {
    caCerts: [plane.caCertificate],
    cert: atob(user["client-certificate-data"]),
    key: atob(user["client-key-data"]),
  };
}
