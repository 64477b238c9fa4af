/** `--help` and docs/configuration.md, both from the option tables. Pure. */
import { type Command, COMMANDS, GROUPS, type OptionDefinition } from "./definition.ts";
import { defaultOf, OPTIONS, optionsOf } from "./table.ts";
import { formatBounds } from "./value.ts";

/** Width of descriptions, without their indentation. */
const HELP_COLUMNS = 84;
const PROGRAM = "podconfigmap-controller";

/** Help on one command, or on the program. Ends with a line feed. */
export function helpText(command?: Command): string {
  return command === undefined ? programHelp() : commandHelp(command);
}

function programHelp(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, what]) => `  ${name.padEnd(width)}  ${what}`);
  return [
    `Usage: ${PROGRAM} [COMMAND] [OPTIONS]`,
    "",
    "Commands:",
    ...lines,
    "",
    `See ${PROGRAM} COMMAND --help. Flags win over environment variables, those over defaults.`,
    "Exit codes: 0 done, 1 failed or invalid, 2 wrong usage.",
    "",
  ].join("\n");
}

function commandHelp(command: Command): string {
  const options = optionsOf(command);
  const bare = options.filter(({ positional }) => positional).map((one) => ` ${placeholder(one)}`);
  const usage = `Usage: ${PROGRAM} ${command} [OPTIONS]${bare.join("")}`;
  const lines = [usage, "", `${COMMANDS[command]}.`, ""];
  for (const group of GROUPS) {
    const members = options.filter((option) => option.group === group);
    if (members.length === 0) continue;
    lines.push(`${group}:`);
    for (const option of members) {
      lines.push(`  ${flagUsage(option)}`);
      lines.push(...wrap(`${option.description}.`));
      const notes = notesOn(option, command);
      if (notes.length > 0) lines.push(...wrap(`(${notes.join("; ")})`));
    }
    lines.push("");
  }
  lines.push(...valueNotes(options));
  return lines.join("\n");
}

/** How values are written, where the flag alone does not tell. */
function valueNotes(options: readonly OptionDefinition[]): string[] {
  const has = (type: OptionDefinition["type"]) => options.some((option) => option.type === type);
  const notes: string[] = [];
  if (has("duration")) notes.push("Durations are written as in Go: 300ms, 10s, 1m30s.");
  if (has("address")) {
    notes.push("Addresses are written as in Go: :8080, 127.0.0.1:8080, [::1]:8080.");
  }
  if (has("bool")) notes.push("A flag without a value is true; --flag=false turns it off.");
  return notes.length === 0 ? [] : [...notes, ""];
}

function wrap(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) as string;
    if (line !== "" && line.length + word.length + 1 > HELP_COLUMNS) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.map((line) => `      ${line}`);
}

function flagUsage(option: OptionDefinition): string {
  const short = option.short === undefined ? "" : `-${option.short}, `;
  const value = option.type === "bool" ? "" : ` ${placeholder(option)}`;
  return `${short}--${option.flag}${value}`;
}

function placeholder(option: OptionDefinition): string {
  if (option.format === "namespace/name") return "NAMESPACE/NAME";
  if (option.type === "enum") return Object.keys(option.values ?? {}).join("|");
  const names = {
    int: "N",
    duration: "DURATION",
    address: "ADDRESS",
    list: "LIST",
    string: "TEXT",
  };
  const isFile = option.flag === "filename" || option.flag === "kubeconfig";
  return isFile ? "FILE" : names[option.type as keyof typeof names];
}

function notesOn(option: OptionDefinition, command: Command): string[] {
  const notes: string[] = [];
  if (option.env !== undefined) notes.push(`environment ${option.env}`);
  const value = defaultOf(option, command);
  if (value !== "" && value !== "false") notes.push(`default ${value}`);
  const bounds = formatBounds(option);
  if (bounds !== "") notes.push(bounds);
  return notes;
}

/** docs/configuration.md without its title: a table per group of options. */
export function optionTables(): string {
  const options: readonly OptionDefinition[] = OPTIONS;
  return GROUPS.map((group) => {
    const rows = options.filter((option) => option.group === group).map(tableRow);
    return [
      `## ${group}`,
      "",
      "| Flag | Environment | Default | Range or values | Commands | Meaning |",
      "|---|---|---|---|---|---|",
      ...rows,
      "",
    ].join("\n");
  }).join("\n");
}

function tableRow(option: OptionDefinition): string {
  const short = option.short === undefined ? "" : `\`-${option.short}\`, `;
  const code = (text: string) => text === "" ? "" : `\`${text}\``;
  const defaults = Object.entries(option.defaults ?? {})
    .map(([command, value]) => `; ${command}: ${code(value)}`).join("");
  const range = option.type === "enum"
    ? Object.keys(option.values ?? {}).map(code).join(", ")
    : formatBounds(option);
  return `| ${short}\`--${option.flag}\` | ${code(option.env ?? "")} | ` +
    `${code(option.default)}${defaults} | ${range} | ${option.commands.join(", ")} | ` +
    `${option.description} |`;
}
