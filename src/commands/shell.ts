/** What a command needs of the process around it; `main.ts` gives the real one, tests their own. */

export interface Shell {
  /** Results; ends with a newline. */
  print(text: string): void;
  /** Progress and problems. */
  printError(text: string): void;
  /** @throws with a message that says why. */
  readTextFile(path: string): Promise<string>;
  readStandardInput(): Promise<string>;
  hostName(): string;
  /** Standard output is a terminal that shows colours (and NO_COLOR is not set). */
  readonly colour: boolean;
}

/** Exit codes of all commands. */
export const EXIT = {
  ok: 0,
  /** The work failed, or a manifest is invalid. */
  failed: 1,
  /** The command line, or the configuration around it, makes no sense. */
  usage: 2,
} as const;
