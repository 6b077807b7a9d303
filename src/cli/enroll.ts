/**
 * `honeybee-core enroll`: gives nodes the secrets that their one-time codes are made of. A secret goes to standard output
 * once, on a terminal with a QR code; everything else about it to standard error.
 */
import { printable } from '../config/values.js';
import { EXIT } from '../errors.js';
import { bodyOf } from './answer.js';
import type { EnrollAction, EnrollArguments } from './arguments.js';
import { type Ask, withControl } from './control-client.js';
import { table } from './table.js';

const ENROLMENTS = '/api/v1/enrolments';
const WINDOW = '/api/v1/enrolment-window';
const PAGE = 1000;

interface Enrolled {
  readonly name: string;
  readonly secret: string;
  readonly otpauth_uri: string;
}

type Row = Readonly<Record<string, unknown>> & { readonly name: string };

export async function administerEnrolments({ action, json, ...config }: EnrollArguments): Promise<number> {
  const makesDirectory = action.do === 'enroll' || action.do === 'open';
  await withControl(config, { makesDirectory }, (ask) => administer(ask, action, json));
  return EXIT.ok;
}

async function administer(ask: Ask, action: EnrollAction, json: boolean): Promise<void> {
  switch (action.do) {
    case 'enroll':
      return show(bodyOf<Enrolled>(await ask('POST', ENROLMENTS, { name: action.name })), json);
    case 'rotate':
      return show(bodyOf<Enrolled>(await ask('POST', `${pathOf(action.name)}/rotate`)), json);
    case 'revoke':
      await ask('DELETE', pathOf(action.name));
      return tell(json, { name: action.name, state: 'revoked' }, `${printable(action.name)} is revoked`);
    case 'open': {
      const window = bodyOf<Readonly<Record<string, unknown>>>(
        await ask('PUT', WINDOW, { seconds: action.seconds }),
      );
      return tell(json, window, `unknown nodes may enroll themselves for ${action.seconds} seconds`);
    }
    case 'close':
      await ask('DELETE', WINDOW);
      return tell(json, { open: false }, 'unknown nodes may not enroll themselves any more');
    case 'list':
      return list(ask, json);
  }
}

function pathOf(name: string): string {
  return `${ENROLMENTS}/${encodeURIComponent(name)}`;
}

function tell(json: boolean, value: object, text: string): void {
  if (json) console.log(JSON.stringify(value));
  else console.error(text);
}

async function show(enrolled: Enrolled, json: boolean): Promise<void> {
  const { name, secret, otpauth_uri } = enrolled;
  if (json) {
    console.log(JSON.stringify({ name, secret, otpauth_uri }));
    return;
  }
  console.log(`name    ${printable(name)}\nsecret  ${secret}\nuri     ${otpauth_uri}`);
  if (process.stdout.isTTY) {
    // Loaded here: most of the time nobody looks.
    const { qrCode } = await import('./qr.js');
    const { lines, columns } = qrCode(otpauth_uri);
    if (columns <= process.stdout.columns) console.log(lines.join('\n'));
    else console.error(`a QR code needs ${columns} columns, this terminal has ${process.stdout.columns}`);
  }
  console.error('The secret is shown this once.');
}

async function list(ask: Ask, json: boolean): Promise<void> {
  const rows: Row[] = [];
  for (let after: string | null = null; ; ) {
    const place: string = after === null ? '' : `&after=${encodeURIComponent(after)}`;
    const page: { enrolments: Row[]; next?: string | null } = bodyOf(
      await ask('GET', `${ENROLMENTS}?limit=${PAGE}${place}`),
    );
    rows.push(...page.enrolments);
    if (page.next === undefined || page.next === null) break;
    after = page.next;
  }
  if (json) {
    console.log(JSON.stringify(rows));
    return;
  }
  if (rows.length === 0) {
    console.error('no node is enrolled');
    return;
  }
  const text = (value: unknown) =>
    value === null || value === undefined ? 'never' : printable(String(value));
  const cells = rows.map((row) => [
    printable(row.name),
    text(row.state),
    text(row.created),
    text(row.last_used),
  ]);
  console.log(table(['name', 'state', 'created', 'last used'], cells));
}
