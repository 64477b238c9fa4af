/**
 * `render`: the ConfigMaps that Pods and PodConfigMapConfigs give, without writing anything.
 *
 * It plans with the controller's own code, on manifests or on a live cluster's objects. What only an
 * API server knows is filled in as it would at first: a Pod manifest without a status is Pending,
 * one without a uid gets the nil uid.
 */
import { stringify } from "yaml";
import { formatProblem } from "../api/decode.ts";
import { API_GROUP, API_GROUP_VERSION, PCMC_KIND } from "../api/well_known.ts";
import { PCMCS, PODS } from "../controllers/resources.ts";
import type { PodFacts } from "../domain/model.ts";
import type { ConfigMapBody } from "../domain/plan.ts";
import { planPod } from "../domain/plan_pod.ts";
import {
  type PcmcView,
  projectPcmc,
  projectPod,
  projectPodDocument,
} from "../domain/projections.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import type { JsonObject, RestClient } from "../runtime/ports/rest.ts";
import { resourcePath, type ResourceType } from "../runtime/resource.ts";
import { type Manifest, ManifestError, metadataProblems, readManifests } from "./manifests.ts";
import { EXIT, type Shell } from "./shell.ts";

const NIL_UID = "00000000-0000-0000-0000-000000000000";

/** Connects only when asked for live objects. */
export type Connect = () => Promise<RestClient & Disposable>;

interface PodInput extends PodFacts {
  /** As JSON: what templates see. */
  readonly object: unknown;
}

interface Inputs {
  pods: PodInput[];
  pcmcs: PcmcView[];
}

export async function render(
  options: OptionsOf<"render">,
  shell: Shell,
  connect: Connect,
): Promise<number> {
  const problems: string[] = [];
  let manifests: Manifest[];
  try {
    manifests = await readManifests(options.files, shell);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    for (const problem of error.problems) shell.printError(`error: ${problem}\n`);
    return EXIT.failed;
  }
  using rest = options.live ? await connect() : undefined;
  const namespace = options.namespace || rest?.defaultNamespace || "default";
  const inputs = collect(manifests, namespace, { shell, problems });
  if (rest !== undefined) await addLive(inputs, namespace, rest);
  for (const pcmc of inputs.pcmcs) {
    for (const problem of pcmc.problems) {
      problems.push(`${PCMC_KIND} ${pcmc.namespace}/${pcmc.name}: ${formatProblem(problem)}`);
    }
  }
  const bodies = plan(inputs, problems);
  if (options.output === "json") {
    const list = { apiVersion: "v1", kind: "List", items: bodies };
    shell.print(`${JSON.stringify(list, undefined, 2)}\n`);
  } else shell.print(bodies.map(asYaml).join("---\n"));
  if (bodies.length === 0 && problems.length === 0) shell.printError(whyNone(inputs));
  for (const problem of problems) shell.printError(`error: ${problem}\n`);
  return problems.length > 0 ? EXIT.failed : EXIT.ok;
}

function collect(
  manifests: readonly Manifest[],
  namespace: string,
  { shell, problems }: { shell: Shell; problems: string[] },
): Inputs {
  const inputs: Inputs = { pods: [], pcmcs: [] };
  const skipped: string[] = [];
  for (const manifest of manifests) {
    const isPod = manifest.kind === "Pod" && manifest.apiVersion === "v1";
    const isPcmc = manifest.kind === PCMC_KIND &&
      manifest.apiVersion.split("/")[0] === API_GROUP;
    if (!isPod && !isPcmc) {
      skipped.push(`${manifest.kind} ${manifest.name}`);
      continue;
    }
    const wrong = metadataProblems(manifest);
    if (isPcmc && manifest.apiVersion !== API_GROUP_VERSION) {
      wrong.unshift({ path: "apiVersion", message: `must be ${API_GROUP_VERSION}` });
    }
    if (wrong.length > 0) {
      const who = `${manifest.kind} ${manifest.name || "(no name)"} of ${manifest.file}`;
      problems.push(...wrong.map((problem) => `${who}: ${formatProblem(problem)}`));
      continue;
    }
    const object = withMetadata(manifest.object, namespace);
    if (isPcmc) inputs.pcmcs.push(projectPcmc(object));
    else inputs.pods.push(podInput({ ...object, status: withPhase(object["status"]) }));
  }
  if (skipped.length > 0) {
    shell.printError(`Skipped, neither Pod nor ${PCMC_KIND}: ${skipped.join(", ")}\n`);
  }
  return inputs;
}

/** Also what YAML 1.1, which kubectl reads, would not take for a string is quoted: `"yes"`, `"010"`. */
function asYaml(body: ConfigMapBody): string {
  return stringify(body, { compat: "yaml-1.1" });
}

/** One line for people: what is missing, or that nothing matches. */
function whyNone({ pods, pcmcs }: Inputs): string {
  if (pcmcs.length === 0) return `No ConfigMap: there is no ${PCMC_KIND}\n`;
  if (pods.length === 0) return "No ConfigMap: there is no Pod\n";
  const namespaces = new Set(pcmcs.map(({ namespace }) => namespace));
  if (pods.some(({ namespace }) => namespaces.has(namespace))) {
    return `No ConfigMap: no ${PCMC_KIND} selects any of the Pods\n`;
  }
  const list = (of: Iterable<string>) => [...new Set(of)].sort().join(", ");
  return `No ConfigMap: the Pods are in ${list(pods.map(({ namespace }) => namespace))}, ` +
    `the ${PCMC_KIND}s in ${list(namespaces)}; -n is the namespace of those that name none\n`;
}

function podInput(object: unknown): PodInput {
  return { ...projectPod(object), object };
}

function withMetadata(object: Readonly<Record<string, unknown>>, namespace: string) {
  const metadata = (object["metadata"] ?? {}) as Record<string, unknown>;
  return { ...object, metadata: { namespace, uid: NIL_UID, ...metadata } } as Record<
    string,
    unknown
  >;
}

function withPhase(status: unknown): Record<string, unknown> {
  return { phase: "Pending", ...(status as Record<string, unknown> | undefined) };
}

/** Objects that files give stand above those of the cluster. */
async function addLive(inputs: Inputs, namespace: string, rest: RestClient): Promise<void> {
  const add = <T extends { namespace: string; name: string }>(given: T[], live: readonly T[]) => {
    const known = new Set(given.map((object) => `${object.namespace}/${object.name}`));
    given.push(...live.filter((object) => !known.has(`${object.namespace}/${object.name}`)));
  };
  add(inputs.pods, (await list(rest, PODS, namespace)).map(podInput));
  add(inputs.pcmcs, (await list(rest, PCMCS, namespace)).map(projectPcmc));
}

async function list(rest: RestClient, type: ResourceType, namespace: string) {
  const items: JsonObject[] = [];
  for (let continueToken = "";;) {
    const querystring = new URLSearchParams({ limit: "500" });
    if (continueToken !== "") querystring.set("continue", continueToken);
    const page = await rest.performRequest({
      method: "GET",
      path: resourcePath(type, { namespace }),
      querystring,
      expectJson: true,
    }) as { items?: JsonObject[]; metadata?: { continue?: string } };
    items.push(...(page.items ?? []));
    continueToken = page.metadata?.continue ?? "";
    if (continueToken === "") return items;
  }
}

function plan({ pods, pcmcs }: Inputs, problems: string[]): ConfigMapBody[] {
  const bodies: ConfigMapBody[] = [];
  for (const pod of pods) {
    const { pairs } = planPod({
      podName: pod.name,
      pod,
      pcmcs: pcmcs.filter(({ namespace }) => namespace === pod.namespace),
      observed: [],
      served: false,
      document: (fields) => projectPodDocument(pod.object, fields),
    });
    for (const { decision } of pairs) {
      if (decision.kind === "create") bodies.push(decision.body);
      if (decision.kind === "unrenderable") {
        problems.push(`Pod ${pod.namespace}/${pod.name}: ${decision.message}`);
      }
    }
  }
  return bodies;
}
