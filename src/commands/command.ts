/**
 * The eleven commands of Protocol v2, in the one form Core keeps them in.
 *
 * Owned by main: types, constants and pure functions.
 */

/** Each names one pot. */
export const POT_COMMANDS = [
  'DeployPot',
  'StopPot',
  'RestartPot',
  'GetPotStatus',
  'GetPotLogs',
  'GetPotMetrics',
  'GetPotInfo',
] as const;
export type PotCommandName = (typeof POT_COMMANDS)[number];

/** They have no fields. */
export const UNIT_COMMANDS = ['GetInstalledPots', 'Restart', 'UpdateConfig'] as const;
export type UnitCommandName = (typeof UNIT_COMMANDS)[number];

export const COMMAND_NAMES = ['InstallPot', ...POT_COMMANDS, ...UNIT_COMMANDS] as const;
export type CommandName = (typeof COMMAND_NAMES)[number];

export interface InstallPot {
  readonly potId: string;
  readonly honeypotType: string;
  readonly gitUrl: string | null;
  readonly gitBranch: string | null;
  readonly config: ReadonlyMap<string, string> | null;
  readonly autoStart: boolean;
}

export type Command =
  | { readonly name: 'InstallPot'; readonly install: InstallPot }
  | { readonly name: PotCommandName; readonly potId: string }
  | { readonly name: UnitCommandName };

/** The pot a command is about; null where it is about the node. */
export function potOf(command: Command): string | null {
  switch (command.name) {
    case 'InstallPot':
      return command.install.potId;
    case 'GetInstalledPots':
    case 'Restart':
    case 'UpdateConfig':
      return null;
    default:
      return command.potId;
  }
}

/** The command as the documents write it: an object with one name. */
export function commandJson(command: Command): string {
  return JSON.stringify(commandObject(command));
}

export function commandObject(command: Command): Record<string, unknown> {
  switch (command.name) {
    case 'InstallPot': {
      const { potId, honeypotType, gitUrl, gitBranch, config, autoStart } = command.install;
      return {
        InstallPot: {
          pot_id: potId,
          honeypot_type: honeypotType,
          ...(gitUrl !== null && { git_url: gitUrl }),
          ...(gitBranch !== null && { git_branch: gitBranch }),
          // From entries, so that a key may be called anything.
          ...(config !== null && { config: Object.fromEntries(config) }),
          auto_start: autoStart,
        },
      };
    }
    case 'GetInstalledPots':
    case 'Restart':
    case 'UpdateConfig':
      return { [command.name]: {} };
    default:
      return { [command.name]: command.potId };
  }
}

/** The name of a command that some connections want as a bare string; null for all others. */
export function unitName(command: Command): UnitCommandName | null {
  return isUnitName(command.name) ? command.name : null;
}

export function isUnitName(name: string): name is UnitCommandName {
  return (UNIT_COMMANDS as readonly string[]).includes(name);
}

export function isPotCommandName(name: string): name is PotCommandName {
  return (POT_COMMANDS as readonly string[]).includes(name);
}
