/** Names and keys at the limits of what Kubernetes allows. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Behaviour, type Strings } from "./stage.ts";

/** First ten digits, as the documentation of the names promises. */
const hash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 10);

export const NAMES: Behaviour[] = [{
  name:
    "pairs of names whose plain names would meet, with dots or of 253 characters each get a ConfigMap of their own",
  async run(stage) {
    const at = await stage.namespace("names");
    const longPod = `${"p".repeat(241)}.example.com`;
    const longPcmc = "c".repeat(253);
    assert.equal(longPod.length, 253);
    const pods = ["a", "a-from-b", "a-from", "web.v1.example.com", longPod];
    const pcmcs = ["c", "b-from-c", "b", "from-b", "v1.2.facts", longPcmc];
    for (const name of pods) await at.createPod(name);
    for (const name of pcmcs) await at.createPcmc(name, {});
    for (const name of pcmcs) {
      await at.untilReady(name, "True", ({ status }) => status?.configMaps === pods.length);
    }
    const found = await at.configMaps();
    const pairs = new Map(found.map(({ metadata: { name, annotations } }) => [
      `${annotations?.["podconfig.example.com/pod"]}/${
        annotations?.["podconfig.example.com/pcmc"]
      }`,
      name,
    ]));
    const wanted = pods.flatMap((pod) => pcmcs.map((pcmc) => `${pod}/${pcmc}`));
    assert.deepEqual([...pairs.keys()].sort(), wanted.sort());
    assert.equal(
      pairs.get("web.v1.example.com/v1.2.facts"),
      "pod-web.v1.example.com-from-v1.2.facts-cfg",
    );
    assert.equal(pairs.get("a/c"), "pod-a-from-c-cfg");
    assert.equal(pairs.get("a-from-b/c"), `pod-a-from-b-from-c-${hash("a-from-b/c")}-cfg`);
    assert.equal(pairs.get("a/b-from-c"), `pod-a-from-b-from-c-${hash("a/b-from-c")}-cfg`);
    assert.equal(
      pairs.get(`a/${longPcmc}`),
      `pod-a-from-${"c".repeat(100)}-${hash(`a/${longPcmc}`)}-cfg`,
    );
    const labelled = found.find(({ metadata }) => metadata.name === pairs.get(`a/${longPcmc}`));
    assert.equal(
      labelled?.metadata.labels?.["podconfig.example.com/generated-by-pcmc"],
      `${"c".repeat(52)}-${hash(longPcmc)}`,
    );
    // Found by label, whatever the name.
    await at.deletePcmc(longPcmc);
    await at.untilNoConfigMap(pairs.get(`a/${longPcmc}`) ?? "");
  },
}, {
  name: "keys with / - . and of 317 characters are copied, longer data keys shortened with a hash",
  async run(stage) {
    const at = await stage.namespace("keys");
    const long = `${`${"d".repeat(62)}.`.repeat(4)}x/${"k".repeat(63)}`;
    assert.equal(long.length, 317);
    const labels: Strings = {
      "app.kubernetes.io/name": "shop",
      "pod-template-hash": "5d9c7b",
      "x_y.z": "1",
      [long]: "deep",
    };
    await at.createPod("web", {
      labels,
      annotations: { "example.com/build-id": 'ä\n"7"', [long]: "" },
    });
    await at.createPcmc("facts", {
      labelsToInclude: [...Object.keys(labels), "constructor", "absent"],
      annotationsToInclude: ["example.com/build-id", long],
    });
    const { data } = await at.untilConfigMap("pod-web-from-facts-cfg");
    const { podName: _p, namespace: _n, nodeName: _o, phase: _h, pcmcName: _c, ...copied } = data ??
      {};
    const short = (prefix: string) => {
      const key = `${prefix}_${long.replace("/", "_")}`;
      return `${key.slice(0, 242)}-${hash(long)}`;
    };
    const known = {
      "label_app.kubernetes.io_name": "shop",
      "label_pod-template-hash": "5d9c7b",
      "label_x_y.z": "1",
      "annotation_example.com_build-id": 'ä\n"7"',
    };
    assert.deepEqual(copied, { ...known, [short("label")]: "deep", [short("annotation")]: "" });
  },
}, {
  // Labels and annotations of a Pod are at most 256 KiB together with their keys, and 128 of each
  // are copied: without templates nothing comes near the 1 MiB of a ConfigMap.
  name: "annotations up to the most that a Pod may have are copied whole",
  async run(stage) {
    const at = await stage.namespace("large");
    const keys = ["one", "two", "three"];
    const value = "€".repeat(Math.floor((256 * 1024 - 100) / 3 / keys.length));
    const annotations = Object.fromEntries(keys.map((key) => [key, value]));
    await assert.rejects(
      at.createPod("larger", { annotations: { ...annotations, four: "x".repeat(1024) } }),
      /annotations: Too long/,
    );
    await at.createPod("web", { annotations });
    await at.createPcmc("facts", { annotationsToInclude: keys });
    const { data } = await at.untilConfigMap("pod-web-from-facts-cfg");
    for (const key of keys) assert.equal(data?.[`annotation_${key}`], value);
    await at.untilReady("facts");
  },
}];
