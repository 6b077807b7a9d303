/**
 * What a PotStatusUpdate says about a command that was sent: the table of docs/commands.md, as code.
 *
 *                    Installing   Running    Stopped               Failed
 *   InstallPot       progress     done       done, unless started  failed
 *   DeployPot        progress     done       progress              failed
 *   RestartPot       progress     done       progress              failed
 *   StopPot          progress     progress   done                  failed
 *   GetPot...        done, whatever it says: the next update of the pot is the answer
 *
 * Owned by main. Pure.
 */
import type { PotStatus } from '../protocol/pot-status-update.js';
import type { Command } from './command.js';

/** `none`: not about this command. `collect`: one of many answers. */
export type Evidence = 'none' | 'progress' | 'done' | 'failed' | 'collect';

export function evidenceOf(command: Command, potId: string, status: PotStatus): Evidence {
  switch (command.name) {
    case 'GetInstalledPots':
      return 'collect';
    case 'Restart':
    case 'UpdateConfig':
      return 'none';
    case 'InstallPot':
      if (command.install.potId !== potId) return 'none';
      if (status === 'Stopped' && !command.install.autoStart) return 'done';
      return outcome(status, 'Running');
    case 'DeployPot':
    case 'RestartPot':
      return command.potId === potId ? outcome(status, 'Running') : 'none';
    case 'StopPot':
      return command.potId === potId ? outcome(status, 'Stopped') : 'none';
    case 'GetPotStatus':
    case 'GetPotLogs':
    case 'GetPotMetrics':
    case 'GetPotInfo':
      return command.potId === potId ? 'done' : 'none';
  }
}

function outcome(status: PotStatus, wanted: PotStatus): Evidence {
  if (status === wanted) return 'done';
  return status === 'Failed' ? 'failed' : 'progress';
}
