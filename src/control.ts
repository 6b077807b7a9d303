/**
 * What administration stands on: the small state, access, and the audit trail. A running Core has it beside its data
 * plane; the command line opens it by itself where no Core runs. Main thread; the data directory is held.
 */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { Access } from './access/access.js';
import { AuditLog } from './access/audit-log.js';
import { AuditReader } from './access/audit-reader.js';
import { COMMAND_SOCKET } from './access/control-path.js';
import { STRANGER } from './access/principals.js';
import { checkListeners } from './access/start-rule.js';
import type { Config } from './config/config.js';
import { createEnrolmentDesk, type EnrolmentDesk } from './enrolment/desk.js';
import { type Enrolments, openEnrolments } from './enrolment/enrolments.js';
import { EXIT, FatalError } from './errors.js';
import { makeFolder } from './folders.js';
import { type ControlSocket, openControlSocket } from './rest/control-socket.js';
import { type Administration, createRestServer, type RestServer } from './rest/server.js';
import { openStateStore, type StateStore } from './state/store.js';

/** Time for what is not on disk yet; everybody has been answered by then. */
const CLOSE_MS = 5_000;

export class Control implements Administration {
  readonly state: StateStore;
  readonly access: Access;
  readonly enrolments: Enrolments;
  readonly enrolmentDesk: EnrolmentDesk;
  /** A name was revoked, or its secret changed: whoever is connected under it is to go. */
  onRevoked: (name: string) => void = () => {};
  /** The state does not reach the disk, or does again. */
  onStateTrouble: (there: boolean) => void = () => {};
  readonly audit: AuditLog;
  readonly auditShelf: AuditReader;
  readonly #config: Config;
  readonly #logger: Logger;
  #socket: ControlSocket | undefined;

  /** Throws a FatalError, with everything closed again. */
  static async open(config: Config, logger: Logger): Promise<Control> {
    const audit = openAudit(config.storage.dir, logger);
    let state: StateStore | undefined;
    let access: Access | undefined;
    let control: Control | undefined;
    try {
      state = await openState(config.storage.dir, logger, (trouble) => control?.onStateTrouble(trouble));
      access = await Access.open(config, state, {
        onLocked(address) {
          logger.warn({ address }, 'too many wrong tokens: the address is not listened to for a minute');
          const actor = { principal: STRANGER, from: address };
          audit.record({ actor, action: 'access.lock', target: address, outcome: 'refused' });
        },
      });
      const { enrolments, damaged } = await openEnrolments(state, {
        env: process.env,
        keyFile: config.auth.key_file,
        dataDir: config.storage.dir,
      });
      if (damaged > 0) logger.warn({ damaged }, 'enrolments that cannot be read count as revoked');
      control = new Control(config, logger, { state, access, audit, enrolments });
      return control;
    } catch (error) {
      access?.close();
      await state?.close(Date.now());
      await audit.close();
      throw error;
    }
  }

  private constructor(
    config: Config,
    logger: Logger,
    parts: { state: StateStore; access: Access; audit: AuditLog; enrolments: Enrolments },
  ) {
    const { access } = parts;
    this.#config = config;
    this.#logger = logger;
    this.state = parts.state;
    this.access = access;
    this.audit = parts.audit;
    this.enrolments = parts.enrolments;
    this.enrolmentDesk = createEnrolmentDesk(config.auth.totp, parts.enrolments, (name) =>
      this.onRevoked(name),
    );
    this.auditShelf = new AuditReader(auditFolder(config.storage.dir));
    const { damaged } = access.summary();
    if (damaged > 0) logger.error({ tokens: damaged }, 'tokens that cannot be read: they let nobody in');
  }

  /** Before any port is opened. Throws the FatalError of the start rule. */
  checkListeners(): void {
    const warning = checkListeners(this.#config, this.access.summary());
    if (warning !== undefined) this.#logger.warn(warning);
    const open = (['rest', 'proxy'] as const).filter((listener) => this.access.isOpen(listener));
    if (open.length > 0)
      this.#logger.info({ open }, 'no token was made: whoever is on this machine may do everything');
    if (this.#config.auth.allow_anonymous)
      this.#logger.warn('auth.allow_anonymous: whoever reaches the ports may read, stream and command');
  }

  /** Opens the control socket in front of this server, where `name` does not say otherwise under its usual name. */
  async serve(rest: RestServer, name?: string): Promise<void> {
    this.#socket = await openControlSocket(
      this.#config.storage.dir,
      (connection) => rest.serveLocal(connection),
      this.#logger,
      name,
    );
  }

  /** False where the system could not bind the control socket. */
  get isServed(): boolean {
    return this.#socket !== undefined;
  }

  /** After REST was closed. What is not on disk by the deadline is given up. */
  async close(deadlineMs: number): Promise<void> {
    this.#socket?.close();
    this.access.close();
    await this.audit.close();
    await this.state.close(deadlineMs);
  }
}

function openState(
  dataDir: string,
  logger: Logger,
  onTrouble: (there: boolean) => void,
): Promise<StateStore> {
  return openStateStore(privateFolder(join(dataDir, 'state')), {
    onTrouble(trouble) {
      if (trouble === null) logger.info('the state reaches the disk again');
      else logger.error({ err: trouble }, 'the state does not reach the disk: changes wait');
      onTrouble(trouble !== null);
    },
  });
}

/** LevelDB makes files that everybody may read, so nobody else gets into their folder. */
function privateFolder(folder: string): string {
  try {
    makeFolder(folder, 0o700);
    chmodSync(folder, 0o700);
  } catch (error) {
    throw new FatalError(
      EXIT.cannotCreate,
      `cannot create ${folder} (storage.dir): ${(error as Error).message}`,
      { cause: error },
    );
  }
  return folder;
}

function auditFolder(dataDir: string): string {
  return join(dataDir, 'audit');
}

function openAudit(dataDir: string, logger: Logger): AuditLog {
  const folder = auditFolder(dataDir);
  try {
    const audit = new AuditLog(folder, {
      onTrouble(trouble) {
        if (trouble === null) logger.info('the audit trail reaches the disk again');
        else logger.error({ err: trouble }, 'the audit trail does not reach the disk: entries wait');
      },
      onLost: (entries) => logger.error({ entries }, 'entries of the audit trail are lost'),
    });
    if (audit.tornBytes > 0)
      logger.warn({ bytes: audit.tornBytes }, 'an unfinished entry of the audit trail was cut off');
    return audit;
  } catch (error) {
    throw new FatalError(
      EXIT.cannotCreate,
      `cannot write the audit trail in ${folder} (storage.dir): ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** Administration without a data plane: only its REST, only for this process. The data directory is held. */
export class Administrator {
  readonly #control: Control;
  readonly #rest: RestServer;

  static async start(config: Config, logger: Logger): Promise<Administrator> {
    const control = await Control.open(config, logger);
    const rest = createRestServer({ config, administration: control, logger });
    const administrator = new Administrator(control, rest);
    await rest.ready();
    await control.serve(rest, COMMAND_SOCKET);
    if (control.isServed) return administrator;
    await administrator.close();
    throw new FatalError(EXIT.unavailable, `no socket can be made in ${config.storage.dir} (storage.dir)`);
  }

  private constructor(control: Control, rest: RestServer) {
    this.#control = control;
    this.#rest = rest;
  }

  async close(): Promise<void> {
    await this.#rest.close();
    await this.#control.close(Date.now() + CLOSE_MS);
  }
}
