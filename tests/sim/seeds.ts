/**
 * Seeds that once showed a bug which has been mended since, in the program or in the simulation. They run
 * always, whatever range a run covers. A change of the workload or of the faults makes other runs of them:
 * what guards against the bugs themselves are the mutants and the tests beside the sources.
 */
export const MENDED_SEEDS: readonly number[] = [
  10, // a term left the timers of its queues behind
  286, // an elector made anew for each term forgot that somebody held the lease
  565, // a lease that was made again and deleted between two looks counted as missing all the time
  1366, // a ConfigMap outlived a PCMC that was deleted while it was being created
];
