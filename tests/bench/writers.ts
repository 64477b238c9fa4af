/**
 * The raw load generator: writers that create given objects one after the other, each waiting for
 * the answer, and do nothing else. The lower bound that the controller is compared with.
 *
 * It uses the controller's own transport and keep-alive connections, so that the comparison is
 * about the controller's work and not about HTTP clients.
 */
import { createClients } from "../../src/kube/clients.ts";
import type { ClusterConnection } from "../../src/kube/connection.ts";
import type { JsonObject, RestClient } from "../../src/runtime/ports/rest.ts";
import { collectionPath } from "./workload.ts";

export const WRITERS = 32;

export interface Target {
  url: string;
  caCertificate: string;
  token: string;
}

export function connectionTo(target: Target): ClusterConnection {
  return {
    origin: "the benchmark",
    server: new URL(target.url),
    trustRoots: () => target.caCertificate,
    credentials: {
      authorization: () => `Bearer ${target.token}`,
      certificate: () => undefined,
      refresh: () => Promise.resolve(false),
    },
  };
}

/** Creates all of `bodies`. @returns seconds from the first request to the last answer. */
export async function createAll(
  rest: RestClient,
  bodies: readonly JsonObject[],
  writers = WRITERS,
): Promise<number> {
  // Serialized before the clock starts: the generator is a bound, not a JSON benchmark.
  const encoder = new TextEncoder();
  const requests = bodies.map((body) => ({
    path: collectionPath(body),
    bodyRaw: encoder.encode(JSON.stringify(body)),
  }));
  const begin = performance.now();
  let next = 0;
  const write = async () => {
    for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
      await rest.performRequest({
        ...request,
        method: "POST",
        contentType: "application/json",
        accept: "application/json",
      });
    }
  };
  await Promise.all(Array.from({ length: writers }, write));
  return (performance.now() - begin) / 1000;
}

/** `deno run writers.ts TARGET_FILE BODIES_FILE`: prints the seconds. A process, so that its use can be measured alone. */
if (import.meta.main) {
  const [targetFile = "", bodiesFile = ""] = Deno.args;
  const target = JSON.parse(await Deno.readTextFile(targetFile)) as Target;
  const bodies = JSON.parse(await Deno.readTextFile(bodiesFile)) as JsonObject[];
  using clients = createClients(connectionTo(target), { userAgent: "bench-writers" });
  const seconds = await createAll(clients.api, bodies);
  Deno.stdout.writeSync(new TextEncoder().encode(`${seconds}\n`));
}
