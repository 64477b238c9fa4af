/** The one error that says: this process may not write any more. */

/** Leadership is lost, or not provably held at this moment. Never retried by the one who meets it. */
export class LeadershipLostError extends Error {
  override readonly name = "LeadershipLostError";
}
