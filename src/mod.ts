/** Public module of the package: what an embedding program needs to hand in a client of its own. */
export type * from "./runtime/ports/rest.ts";
export { KubeApiError, KubeConnectionError } from "./runtime/ports/errors.ts";
