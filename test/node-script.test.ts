/** The node that people copy (scripts/node.ts): its sessions with Core, run as people run it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { totpCode } from '../bench/totp.js';
import { ack, folder, lines, MAX_ID, NodeProcess, startCore, startNode, upTo } from './node-double.js';

describe('the node', { concurrency: 4 }, () => {
  for (const id of ['1', String(2n ** 53n + 1n), MAX_ID]) {
    it(`sends a file: registered first, no gap, no duplicate, in order, and says goodbye (id ${id})`, async (t) => {
      const core = await startCore(t);
      core.onRegistration = (socket) => {
        // The ack in pieces of a byte, and behind it in the same breath another frame.
        for (const byte of ack({ accepted: true, message: 'hello' })) socket.write(byte);
        socket.write('{"version":2,"message":{"SomethingNew":{}}}\n');
      };
      const file = join(folder(t), 'pot.json');
      writeFileSync(file, lines(0, 3000).slice(0, -1)); // the last newline is missing
      const node = startNode(t, core, '--file', file, '--id', id, '--pot-type', 'test', '--totp', '123456');
      assert.equal(await node.ended(), 0, node.err);

      const [registration] = core.frames;
      const { node_id, ...rest } = registration!.fields;
      assert.deepEqual(rest, {
        node_name: 'test',
        address: '0.0.0.0',
        port: 0,
        node_type: 'Full',
        totp_code: '123456',
      });
      assert.ok(node_id !== undefined && registration!.text.includes(`"node_id":${id},`));
      const names = core.frames.map(({ name }) => name);
      assert.deepEqual(names.slice(1, 4), ['NodeEvent', 'PotStatusUpdate', 'NodeStatusUpdate']);
      assert.deepEqual(names.slice(-2), ['NodeEvent', 'NodeDrop']);
      assert.deepEqual(core.numbers(), upTo(3000));
      for (const { text, fields } of core.of('PotEvent')) {
        const { n } = fields.data as { n: number };
        assert.equal(
          text,
          `{"version":2,"message":{"PotEvent":{"node_id":${id},"pot_id":"test-01","pot_type":"test","event_type":"test.line",` +
            `"timestamp":"2024-01-26T21:59:42.991117Z","data":{"n":${n},"big":${2n ** 64n + BigInt(n)}}}}}`,
        );
      }
      assert.deepEqual(
        [node.summary.lines, node.summary.sent, node.summary.unsent, core.sockets.length],
        [3000, 3000, 0, 1],
      );
    });
  }

  it('comes back when Core has dropped it, registers again, and goes on where it was', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--listen', '0');
    const peer = net.connect(await node.listening(), '127.0.0.1');
    t.after(() => peer.destroy());
    for (let round = 0; round < 3; round++) {
      peer.write(lines(round * 100, round * 100 + 100));
      await core.until(`round ${round}`, () => core.of('PotEvent').length === round * 100 + 100);
      if (round === 0) core.sockets.at(-1)!.resetAndDestroy();
      if (round === 1) core.sockets.at(-1)!.end();
      await core.until('registered', () => core.of('NodeRegistration').length === Math.min(round + 2, 3));
    }
    assert.deepEqual(core.numbers(), upTo(300));
    assert.equal(core.sockets.length, 3);
    for (const session of [0, 1, 2]) {
      const names = core.frames.filter((frame) => frame.session === session).map(({ name }) => name);
      assert.equal(names[0], 'NodeRegistration');
      assert.ok(names.includes('PotStatusUpdate') && names.includes('NodeStatusUpdate'));
    }
    assert.equal(core.of('NodeEvent').length, 1, 'it started once');
    assert.deepEqual(
      new Set(core.of('NodeRegistration').map(({ text }) => text)).size,
      1,
      'the same node each time',
    );
    node.child.kill('SIGINT');
    assert.equal(await node.ended(), 0);
    assert.equal(node.summary.reconnects, 2);
  });

  it('loses at a break only what was under way: each session holds a run without gaps', async (t) => {
    const core = await startCore(t);
    const file = join(folder(t), 'pot.json');
    writeFileSync(file, lines(0, 30_000));
    const node = startNode(t, core, '--file', file);
    await core.until('a part of the file', () => core.of('PotEvent').length > 500);
    core.sockets[0]!.resetAndDestroy();
    assert.equal(await node.ended(), 0);
    for (const session of [0, 1]) {
      const mine = core
        .of('PotEvent')
        .filter((frame) => frame.session === session)
        .map(({ fields }) => (fields.data as { n: number }).n);
      assert.ok(mine.length > 0);
      assert.deepEqual(
        mine,
        upTo(mine.length).map((n) => n + mine[0]!),
      );
    }
    assert.equal(core.numbers().at(-1), 29_999);
  });

  it('prints commands with the digits they came with, and answers them', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--no-listen', '--pot-id', 'p', '--pot-type', 'cowrie');
    await core.until('running', () => core.of('NodeStatusUpdate').length > 0);
    const before = core.of('PotStatusUpdate').length;
    const commands: unknown[] = [
      { GetPotStatus: 'p' },
      { StopPot: 'p' },
      { RestartPot: 'p' },
      { InstallPot: { pot_id: 'q', honeypot_type: 'dionaea', auto_start: false } },
      'GetInstalledPots',
      { GetInstalledPots: null },
      { GetPotInfo: 'nowhere \u202e' },
      'UpdateConfig',
      { UpdateConfig: {} },
    ];
    for (const command of commands) core.command(command);
    core.command({ StopPot: 'p' }, '18446744073709551614'); // another node's
    core.command({ Dance: {} });
    await core.until('the answers', () => core.of('NodeEvent').length === 2);
    const installed = () =>
      core
        .of('PotStatusUpdate')
        .findIndex(({ fields }) => fields.status === 'Stopped' && fields.pot_id === 'q');
    await core.until('q is installed', () => installed() >= 0);
    const answers = core
      .of('PotStatusUpdate')
      .slice(before, installed())
      .map(({ fields }) => `${fields.pot_id} ${fields.pot_type} ${fields.status}`);
    assert.deepEqual(answers, [
      'p cowrie Running',
      'p cowrie Stopped',
      'p cowrie Running',
      'q dionaea Installing',
      'p cowrie Running',
      'q dionaea Installing',
      'p cowrie Running',
      'q dionaea Installing',
      'nowhere \u202e unknown Failed',
      'p cowrie Running',
      'q dionaea Installing',
      'p cowrie Running',
      'q dionaea Installing',
    ]);
    assert.equal(core.of('NodeEvent')[1]!.fields.type, 'Error');
    assert.ok(core.of('PotStatusUpdate').every(({ text }) => text.includes(`"node_id":${MAX_ID},`)));
    await node.until('a line for each', () => node.out.split('\n').length === commands.length + 3);
    const printed = node.out.trim().split('\n');
    assert.deepEqual(
      printed.map((line) => JSON.parse(line).command),
      [...commands, { StopPot: 'p' }, { Dance: {} }],
    );
    assert.ok(printed[0]!.startsWith(`{"node_id":${MAX_ID},`));
    assert.match(node.out, /^[\x20-\x7e\n]*$/);
  });

  it('stops and restarts on command', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--listen', '0', '--pot-id', 'p');
    const peer = net.connect(await node.listening(), '127.0.0.1');
    t.after(() => peer.destroy());
    core.onRegistration = (socket) => {
      socket.write(ack({ accepted: true }));
      if (core.sockets.length === 1) core.command({ Restart: {} });
    };
    await core.until(
      'a second session',
      () => core.frames.filter(({ session }) => session === 1).length >= 4,
    );
    const first = core.frames.filter(({ session }) => session === 0).map(({ name }) => name);
    assert.equal(first.at(-1), 'NodeDrop');
    core.command({ StopPot: 'p' });
    await core.until('stopped', () => core.of('PotStatusUpdate').at(-1)!.fields.status === 'Stopped');
    peer.write(`${lines(0, 1)}${lines(1, 2, ',"pot_id":"other"')}`);
    await core.until('the other pot', () => core.numbers().includes(1));
    assert.deepEqual(core.numbers(), [1]);
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.equal(node.summary.held, 1);
  });

  it('says why it was refused and ends with 2; tries again where it may pass', async (t) => {
    const core = await startCore(t);
    const refuse = (code: string) => (socket: net.Socket) =>
      socket.end(ack({ accepted: false, message: `${code}: no\u001b[31m` }));
    core.onRegistration = refuse('PROTOCOL_VERSION_MISMATCH');
    const wrong = startNode(t, core, '--no-listen');
    assert.equal(await wrong.ended(), 2);
    assert.match(wrong.err, /refused the registration: PROTOCOL_VERSION_MISMATCH: no\?\[31m/);
    assert.equal(core.sockets.length, 1);

    const stubborn = await startCore(t);
    stubborn.onRegistration = refuse('AUTHENTICATION_FAILED');
    const locked = startNode(t, stubborn, '--no-listen');

    const forgetful = await startCore(t);
    forgetful.onRegistration = (socket) => {
      if (forgetful.sockets.length > 1) return void socket.write(ack({ accepted: true }));
      socket.end(`{"version":2,"message":{"Error":{"code":"NODE_ALREADY_REGISTERED","message":"x"}}}\n`);
    };
    const passed = startNode(t, forgetful, '--no-listen');
    await forgetful.until('accepted', () => forgetful.of('NodeStatusUpdate').length > 0);
    passed.child.kill('SIGTERM');
    assert.equal(await passed.ended(), 0);

    assert.equal(await locked.ended(), 2);
    assert.equal(stubborn.sockets.length, 5);
  });

  it('sends heartbeats, and ignores what Core says that it cannot read', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--no-listen', '--heartbeat-seconds', '0.02');
    await core.until('registered', () => core.of('NodeStatusUpdate').length > 0);
    const rubbish = [
      '\n\r\n',
      'x\n',
      '[]\n',
      '{}\n',
      '{"version":3,"message":{"NodeCommand":{}}}\n',
      '{"version":2,"message":{}}\n',
      '{"version":2,"message":"NodeDrop"}\n',
    ];
    rubbish.push(
      '{"version":2,"message":{"NodeCommand":{}}}\n',
      '{"version":2,"message":{"NodeCommand":null}}\n',
      `${'x'.repeat(3_000_000)}\n`,
    );
    rubbish.push(
      '{"version":2,"message":{"Error":{"code":"INVALID_MESSAGE_FORMAT","message":"told \\u001b[0m"}}}\n',
    );
    core.sockets[0]!.write(rubbish.join(''));
    await node.until('the error', () => /Core says INVALID_MESSAGE_FORMAT: told \?\[0m/.test(node.err));
    const beats = core.of('NodeStatusUpdate').length;
    await core.until('more heartbeats', () => core.of('NodeStatusUpdate').length > beats + 3);
    assert.equal(core.sockets.length, 1);
  });

  it('installs a pot and starts it where that is asked for, and knows it from then on', async (t) => {
    const core = await startCore(t);
    startNode(t, core, '--no-listen', '--pot-id', 'p');
    await core.until('running', () => core.of('NodeStatusUpdate').length > 0);
    const of = (pot: string) =>
      core
        .of('PotStatusUpdate')
        .filter(({ fields }) => fields.pot_id === pot)
        .map(({ fields }) => fields.status);
    core.command({ InstallPot: { pot_id: 'a', honeypot_type: 'heralding', git_url: 'x', auto_start: true } });
    core.command({ InstallPot: { pot_id: 'b', honeypot_type: 'heralding', auto_start: false } });
    await core.until('both are there', () => of('a').length === 2 && of('b').length === 2);
    assert.deepEqual(
      [of('a'), of('b')],
      [
        ['Installing', 'Running'],
        ['Installing', 'Stopped'],
      ],
    );
    core.command({ DeployPot: 'b' });
    core.command({ InstallPot: { pot_id: 'b', honeypot_type: 'other' } });
    core.command({ GetInstalledPots: {} });
    await core.until('all answers', () => of('b').length === 5 && of('a').length === 3);
    assert.deepEqual(of('b').slice(2), ['Running', 'Running', 'Running']);
  });

  it('asks for a key, keeps it for itself alone, and shows a valid code ever after', async (t) => {
    const core = await startCore(t);
    const [state, file] = [join(folder(t), 'state'), join(folder(t), 'empty.json')];
    writeFileSync(file, '');
    const key = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
    core.onRegistration = (socket) => {
      const issued = core.sockets.length === 1 ? { totp_key: key } : {};
      socket.write(ack({ accepted: true, ...issued }));
    };
    const codes: unknown[] = [];
    const run = async (...args: string[]) => {
      const [before, node] = [Date.now(), new NodeProcess(['--core', core.address, '--file', file, ...args])];
      assert.equal(await node.ended(), 0, node.err);
      const { totp_code } = core.of('NodeRegistration').at(-1)!.fields;
      codes.push(totp_code);
      assert.ok(!(node.err + node.out).includes(key), 'the key is never printed');
      return [before, Date.now()].map((at) => totpCode(key, at)).includes(String(totp_code));
    };
    assert.equal(await run('--state', state), false);
    assert.equal(codes[0], '000000', 'any code asks for a key');
    assert.equal(statSync(state).mode & 0o777, 0o600);
    assert.equal(JSON.parse(readFileSync(state, 'utf8')).totp_key, key);
    assert.ok(await run('--state', state));
    chmodSync(state, 0o644);
    assert.ok(await run('--state', state, '--totp', '111111'), 'a key is better than a code given by hand');
    assert.equal(statSync(state).mode & 0o777, 0o600);
    assert.equal(
      new Set(core.of('NodeRegistration').map(({ text }) => /"node_id":(\d+)/.exec(text)![1])).size,
      1,
    );
    await run();
    assert.equal(codes.at(-1), undefined, 'who could not keep a key does not ask for one');
  });

  it('goes on with the key it was given while it runs, also without a place to keep it', async (t) => {
    const core = await startCore(t);
    const key = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';
    core.onRegistration = (socket) =>
      socket.write(ack({ accepted: true, ...(core.sockets.length === 1 ? { totp_key: key } : {}) }));
    const node = startNode(t, core, '--no-listen', '--totp', '123456');
    await node.until('the warning', () => /without --state it is lost/.test(node.err));
    const before = Date.now();
    core.sockets[0]!.destroy();
    await core.until('a second session', () => core.of('NodeRegistration').length === 2);
    const code = core.of('NodeRegistration')[1]!.fields.totp_code;
    assert.ok([before, Date.now()].map((at) => totpCode(key, at)).includes(String(code)));
  });

  it('keeps its id in the state file, drawn from all 64 bits', async (t) => {
    const core = await startCore(t);
    const state = join(folder(t), 'id');
    const file = join(folder(t), 'empty.json');
    writeFileSync(file, '');
    for (let run = 0; run < 2; run++) {
      const node = new NodeProcess(['--core', core.address, '--state', state, '--file', file]);
      assert.equal(await node.ended(), 0, node.err);
    }
    const id = JSON.parse(readFileSync(state, 'utf8')).node_id;
    assert.ok(BigInt(id) > 0n && BigInt(id) < 2n ** 64n);
    for (const { text } of core.of('NodeRegistration')) assert.ok(text.includes(`"node_id":${id},`));
    assert.equal(core.of('NodeRegistration').length, 2);
    // Digits alone, as the script's first version wrote them.
    writeFileSync(state, `${MAX_ID}\n`);
    const node = new NodeProcess(['--core', core.address, '--state', state, '--file', file]);
    assert.equal(await node.ended(), 0, node.err);
    assert.ok(core.of('NodeRegistration').at(-1)!.text.includes(`"node_id":${MAX_ID},`));
  });

  it('ends at once on a signal while there is no Core, and says what was not sent', async (t) => {
    const core = await startCore(t);
    const { address } = core;
    core.server.close();
    await once(core.server, 'close');
    const file = join(folder(t), 'pot.json');
    writeFileSync(file, lines(0, 5));
    const node = startNode(t, address, '--file', file);
    // By its third try it has long read its input.
    await node.until('no Core', () => (node.err.match(/ECONNREFUSED/g)?.length ?? 0) >= 3);
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.deepEqual([node.summary.sent, node.summary.unsent], [0, 5]);
  });

  it('names what is wrong with how it was called', async (t) => {
    const core = await startCore(t);
    const path = folder(t);
    const damaged = (text: string) => {
      const file = join(path, `state-${damagedFiles++}`);
      writeFileSync(file, text);
      return file;
    };
    let damagedFiles = 0;
    const calls: [string[], number, RegExp][] = [
      [['--state', damaged('{"node_id":5}')], 64, /--state: .*state-0/],
      [['--state', damaged('{"totp_key":"secret!"}')], 64, /--state: .*state-1/],
      [['--state', damaged('{}')], 64, /--state: .*state-2/],
      [['--state', path], 64, /--state/],
      [['--cert', 'x', '--key', 'y'], 64, /--tls/],
      [['--tls', '--cert', 'x'], 64, /go together/],
      [['--tls', '--ca', join(path, 'missing')], 66, /missing/],
      [['--nonsense'], 64, /nonsense/],
      [['--id', '0'], 64, /18446744073709551615/],
      [['--id', '18446744073709551616'], 64, /18446744073709551615/],
      [['--core', 'nowhere'], 64, /--core/],
      [['--type', 'Half'], 64, /Full or Agent/],
      [['--follow'], 64, /--file/],
      [['--core', core.address, '--file', join(folder(t), 'missing')], 66, /missing/],
      [['--listen', core.address], 69, /EADDRINUSE/],
    ];
    for (const [args, code, said] of calls) {
      const node = new NodeProcess(args);
      assert.equal(await node.ended(), code, `${args}: ${node.err}`);
      assert.match(node.err, said);
      assert.doesNotMatch(node.err, /\n\s+at /, 'no stack for people');
    }
    const help = new NodeProcess(['--help']);
    assert.equal(await help.ended(), 0);
    assert.match(help.out, /--heartbeat-seconds/);
  });

  const openssl = spawnSync('openssl', ['version']).status === 0;

  it('speaks TLS, and only to a Core it can trust', {
    skip: openssl ? false : 'openssl is not installed',
  }, async (t) => {
    const path = folder(t);
    const [key, cert] = [join(path, 'key.pem'), join(path, 'cert.pem')];
    const request = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
    ];
    spawnSync('openssl', [
      ...request,
      '-subj',
      '/CN=core',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      key,
      '-out',
      cert,
    ]);
    const core = await startCore(t);
    const secure = tls.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) =>
      core.accept(socket),
    );
    secure.on('tlsClientError', () => {});
    await once(secure.listen(0, '127.0.0.1'), 'listening');
    t.after(() => secure.close());
    const address = `127.0.0.1:${(secure.address() as net.AddressInfo).port}`;
    const file = join(path, 'pot.json');
    writeFileSync(file, lines(0, 2000));
    const careful = startNode(t, address, '--tls', '--file', file);
    await careful.until('distrust', () => /self-signed|unable to verify/.test(careful.err));
    assert.equal(core.frames.length, 0);
    const node = startNode(t, address, '--tls', '--ca', cert, '--file', file);
    assert.equal(await node.ended(), 0, node.err);
    assert.deepEqual(core.numbers(), upTo(2000));

    const asking = { key: readFileSync(key), cert: readFileSync(cert), ca: readFileSync(cert) };
    const mutual = tls.createServer({ ...asking, requestCert: true }, (socket) => core.accept(socket));
    mutual.on('tlsClientError', () => {});
    await once(mutual.listen(0, '127.0.0.1'), 'listening');
    t.after(() => mutual.close());
    const asked = `127.0.0.1:${(mutual.address() as net.AddressInfo).port}`;
    const stranger = startNode(t, asked, '--tls', '--ca', cert, '--file', file);
    await stranger.until('no certificate', () => /Core at/.test(stranger.err));
    assert.equal(core.of('NodeRegistration').length, 1);
    const known = startNode(t, asked, '--tls', '--ca', cert, '--cert', cert, '--key', key, '--file', file);
    assert.equal(await known.ended(), 0, known.err);
    assert.equal(core.of('NodeRegistration').length, 2);
  });
});
