/**
 * A stale API server: reads and watches show the cluster as it was at some revision, writes go to the
 * real state. What a controller meets when it reconnects to a server that lags behind (time travel).
 */
import { assert } from "../lib/assert.ts";
import type { RestClient } from "../runtime/ports/rest.ts";
import type { ApiServer } from "./api_server.ts";
import { InProcessClient } from "./client.ts";
import type { ReadView } from "./watch_hub.ts";

export class Replica implements ReadView {
  readonly #server: ApiServer;
  #frozenAt: number | undefined;

  constructor(server: ApiServer, frozenAt: number) {
    this.#server = server;
    this.#frozenAt = frozenAt;
  }

  /** Newest revision that it shows; undefined once it keeps up. */
  get frozenAt(): number | undefined {
    return this.#frozenAt;
  }

  client(options: { user?: string } = {}): RestClient {
    const user = options.user ?? "admin";
    return new InProcessClient({ user, handle: (request) => this.#server.handle(request, this) });
  }

  /** Shows the state at `revision` from now on, also an earlier one than before. Open watches wait for it. */
  freeze(revision: number = this.#server.store.revision): void {
    assert(revision <= this.#server.store.revision, "a replica cannot know the future");
    this.#frozenAt = revision;
    this.#server.hub.catchUp(this);
  }

  /** Keeps up from now on; open watches get what they missed. */
  thaw(): void {
    this.#frozenAt = undefined;
    this.#server.hub.catchUp(this);
  }

  /** Ends its open watches, without an event. */
  disconnect(): void {
    this.#server.hub.closeAll((_storage, view) => view === this);
  }
}
