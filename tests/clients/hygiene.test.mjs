// However a connection ends, and whatever bytes come: nothing is left behind, nothing but the
// protocol is on stdout, and the server goes on answering.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { cgroupsByName, descriptors, estate, leftOf, marked, memoryKb, mounts } from './lib/processes.mjs';
import { clients as here, have, pause, sandquay, scratch, skipSanitized, timed, until } from './lib/product.mjs';
import { judge, schemasMissing } from './lib/trace.mjs';
import { connect, within } from './lib/wire.mjs';

const directory = scratch('hygiene');
const cgroupsBefore = new Set(cgroupsByName());
const mountsBefore = new Set(mounts());
const conversations = [];
let counter = 0;

/** A connected server with a TMPDIR of its own; its conversation is judged at the end. */
async function open(options = {}) {
  const temp = path.join(directory, String(++counter));
  mkdirSync(temp);
  const wire = await connect({ ...options, env: { ...process.env, TMPDIR: temp } });
  wire.temp = temp;
  conversations.push(wire);
  return wire;
}

/** Starts what is hard to end: a command with daemons in it, and one in the background. */
async function busy(wire) {
  const marks = [1, 2, 3].map((n) => `6${process.pid}${counter}${n}.25`);
  const call = wire.tool('execute_command', {
    command: `setsid sleep ${marks[0]} & (setsid sh -c "trap '' TERM HUP INT; sleep ${marks[1]}; :" &) ; yes > /dev/null & sleep ${marks[2]}`,
    timeoutMs: 600000,
  });
  call.catch(() => {}); // it is not going to be answered
  await wire.tool('execute_command', { command: `yes; sleep ${marks[0]}`, background: true });
  await until(() => marks.every((mark) => marked(mark).length), 'the commands run', 5000);
  return { ...estate(wire.pid, wire.temp), marks };
}

async function idle(wire) {
  return { ...estate(wire.pid, wire.temp), marks: [] };
}

async function warm(wire) {
  await wire.run('echo warm');
  return idle(wire);
}

const nothing = (had) => until(() => leftOf(had).length === 0, 'nothing is left', 2000)
  .catch((error) => { throw new Error(`${error.message}: ${leftOf(had).join(', ')}`); });

const endings = {
  'end of file': { end: (wire) => wire.process.stdin.end(), status: 0 },
  'SIGTERM': { end: (wire) => wire.process.kill('SIGTERM'), status: 0 },
  'SIGHUP': { end: (wire) => wire.process.kill('SIGHUP'), status: 0 },
  'SIGINT, and SIGTERM 100 ms later': {
    end: async (wire) => {
      wire.process.kill('SIGINT');
      await pause(100);
      wire.process.kill('SIGTERM');
    },
    status: 0,
  },
  'SIGTERM and end of file together': { end: (wire) => { wire.process.kill('SIGTERM'); wire.process.stdin.end(); }, status: 0 },
  'SIGTERM again and again until it is gone': {
    end: async (wire) => {
      wire.process.stdin.end();
      while (wire.process.exitCode === null && wire.process.signalCode === null) {
        wire.process.kill('SIGTERM');
        await new Promise(setImmediate);
      }
    },
    status: 0,
  },
  'SIGKILL of the server itself': { end: (wire) => wire.process.kill('SIGKILL') },
};

for (const [name, { end, status }] of Object.entries(endings)) {
  describe(name, () => {
    for (const state of [idle, warm, busy]) {
      test(`${state.name}`, async () => {
        const wire = await open();
        const had = await state(wire);
        await end(wire);
        const { value, ms } = await timed(wire.exited);
        if (status !== undefined) {
          assert.deepEqual(value, { code: status, signal: null });
          assert.ok(ms < 1000, `it took ${ms} ms`);
        }
        await nothing(had);
      });
    }
  });
}

describe('the client goes away', () => {
  for (const state of ['idle', 'busy']) {
    test(`killed, ${state}`, async () => {
      const temp = path.join(directory, String(++counter));
      mkdirSync(temp);
      const mark = `6${process.pid}${counter}.25`;
      const client = spawn(process.execPath, [path.join(here, 'lib/crash-client.mjs'), sandquay, state === 'busy' ? mark : ''],
        { env: { ...process.env, TMPDIR: temp }, stdio: ['ignore', 'pipe', 'inherit'] });
      const { server, holder } = await new Promise((resolve) => client.stdout.once('data', (text) => resolve(JSON.parse(text))));
      try {
        if (state === 'busy') await until(() => marked(mark).length > 1, 'the command runs', 5000);
        const had = { ...estate(server, temp), marks: [] };
        client.kill('SIGKILL');
        await nothing(had);
        await until(() => marked(mark).filter((one) => one.pid !== holder).length === 0, 'no command is left');
      } finally {
        process.kill(holder, 'SIGKILL');
      }
    });
  }

  test('it only stops to read and closes the pipe', async () => {
    const wire = await open();
    const had = await busy(wire);
    wire.process.stdout.destroy();
    for (let i = 0; i < 3; i++) await wire.send({ id: `p${i}`, method: 'ping' });
    await wire.exited;
    await nothing(had);
  });
});

describe('while it lives', () => {
  test('no descriptor leaks in 200 commands', async () => {
    const wire = await open();
    const step = async (n) => {
      await wire.run(`echo ${n}; echo ${n} >&2`);
      await wire.tool('write_file', { path: `f${n % 5}`, content: 'x' });
      await wire.tool('read_file', { path: `f${n % 5}` });
    };
    const many = async () => {
      for (let i = 0; i < 200; i += 4) await Promise.all([step(i), step(i + 1), step(i + 2), step(i + 3)]);
    };
    await step(0);
    const guests = () => estate(wire.pid).processes.filter((one) => one.name === 'sandquay-guest').length;
    await until(() => guests() >= 3, 'a sandbox is kept ready');
    await many(); // meanwhile it hands out its descriptors
    const start = descriptors(wire.pid);
    await many();
    const now = await until(() => descriptors(wire.pid) <= start && descriptors(wire.pid), `back to ${start} descriptors`);
    assert.ok(now <= start, `${start} descriptors became ${now}`);
    await wire.close();
  });

  test('no zombie stays', async () => {
    const wire = await open();
    for (let i = 0; i < 20; i++) await wire.run('(true &) ; (setsid true &); true');
    const zombies = () => estate(wire.pid).processes.filter((one) => one.state === 'Z');
    await until(() => zombies().length === 0, 'all are reaped');
    await wire.close();
  });

  const strace = have('strace');
  test('idle, it makes no system calls', { skip: strace ? skipSanitized : 'strace is not installed' }, async () => {
    const wire = await open();
    await wire.run('echo a; sleep 0.1');
    await wire.ping();
    await pause(500); // what it does after an answer is not idleness
    const had = estate(wire.pid).processes.map((one) => ['-p', String(one.pid)]).flat();
    const log = path.join(directory, 'strace');
    const tracer = spawn(strace, ['-f', '-qq', '-o', log, ...had], { stdio: ['ignore', 'ignore', 'pipe'] });
    let complaint = '';
    tracer.stderr.on('data', (text) => { complaint += text; });
    await pause(3000);
    tracer.kill('SIGINT');
    await new Promise((resolve) => tracer.once('close', resolve));
    assert.equal(complaint, '');
    const calls = readFileSync(log, 'utf8').split('\n').filter((line) => line && !/detached|restart_syscall|resuming|<unfinished|\+\+\+|--- SIG/.test(line));
    assert.deepEqual(calls, []);
    await wire.close();
  });

  test('nothing of a command comes out on stdout', async () => {
    const wire = await open();
    await wire.run('echo out > /proc/self/fd/1; echo err > /dev/stderr; echo x > /dev/stdout; ls -l /proc/1/fd; echo noise > /proc/1/fd/1; true');
    await wire.close();
  });
});

describe('input', () => {
  const bad = {
    'no JSON': 'hello\n',
    'half an object': '{"jsonrpc":"2.0","id":1,\n',
    'not UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d, 0x0a]),
    'a NUL': Buffer.from('{"jsonrpc":"2.0",\0}\n'),
    'an array': '[]\n',
    'a number': '42\n',
    'null': 'null\n',
    'deep nesting': '['.repeat(100000) + '\n',
    'no method': '{"jsonrpc":"2.0","id":"x"}\n',
    'a wrong version': '{"jsonrpc":"1.0","id":"y","method":"ping"}\n',
    'params that are a string': '{"jsonrpc":"2.0","id":"z","method":"tools/call","params":"x"}\n',
    '1 MB of random bytes': Buffer.concat([Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 7919 + (i >> 3)) % 251 || 1)), Buffer.from('\n')]),
  };
  for (const [name, bytes] of Object.entries(bad)) {
    test(`${name} is refused, and the next request answered`, async () => {
      const wire = await open();
      const refused = wire.next();
      await wire.raw(bytes);
      const { error } = await refused;
      assert.ok([-32700, -32600, -32602].includes(error.code), JSON.stringify(error));
      await wire.ping();
      wire.records = wire.records.filter(({ line }) => !/"id":"[xyz]"/.test(line)); // those were sent raw
      assert.deepEqual(await wire.close(), { code: 0, signal: null });
    });
  }

  const ping = (id) => JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' });
  /** Sends raw text whose pings have the ids 900 ...; resolves when all are answered. */
  async function pings(wire, count, send) {
    const ids = new Set(Array.from({ length: count }, (_, i) => 900 + i));
    const all = new Promise((resolve) => {
      wire.onMessage = ({ id, result }) => {
        if (result) ids.delete(id);
        if (ids.size === 0) resolve();
      };
    });
    for (const id of ids) wire.records.push({ from: 'client', line: ping(id) });
    await send([...ids]);
    await within(20000, all, `all of ${count} answers`);
  }

  test('CRLF and blank lines', async () => {
    const wire = await open();
    await pings(wire, 3, (ids) => wire.raw(`\n\r\n${ids.map(ping).join('\r\n\n  \n')}\r\n`));
    await wire.close();
  });

  test('a thousand requests in one write', async () => {
    const wire = await open();
    await pings(wire, 1000, (ids) => wire.raw(ids.map(ping).join('\n') + '\n'));
    await wire.close();
  });

  test('byte by byte', async () => {
    const wire = await open();
    await pings(wire, 2, async (ids) => {
      for (const byte of Buffer.from(ids.map(ping).join('\n') + '\n')) await wire.raw(Buffer.of(byte));
    });
    await wire.close();
  });

  test('a line without its newline at the end of file', async () => {
    const wire = await open();
    await wire.raw(ping('last'));
    assert.deepEqual(await wire.close(), { code: 0, signal: null });
    wire.records = wire.records.filter(({ line }) => !/"id":"last"/.test(line)); // an answer is as right as none
  });

  test('a line of 65 MiB is refused in bounded memory, and the next request answered', async () => {
    const wire = await open();
    const refused = wire.next();
    const piece = Buffer.alloc(1 << 20, 'x');
    await wire.raw('{"jsonrpc":"2.0","id":"long","method":"ping","params":{"x":"');
    for (let i = 0; i < 65; i++) await wire.raw(piece);
    await wire.raw('"}}\n');
    const { error, id } = await refused;
    assert.ok([-32700, -32600].includes(error.code), JSON.stringify(error));
    assert.equal(id, undefined);
    await wire.ping();
    await wire.close();
  });

  test('a file of 16 MiB goes in, in one message', async () => {
    const wire = await open({ keepRecords: false });
    const content = 'häß\n'.repeat(16 << 18);
    const result = await wire.tool('write_file', { path: 'large.txt', content });
    assert.ok(!result.isError, result.content?.[0]?.text);
    const { stdout } = await wire.run('wc -c < large.txt; rm large.txt');
    assert.equal(Number(stdout), Buffer.byteLength(content));
    if (!skipSanitized) await until(() => memoryKb(wire.pid) < 8 * 1024, 'its memory went back', 20000);
    await wire.close();
  });
});

describe('a client that stops reading for a while', () => {
  test('while a command floods', { skip: skipSanitized }, async () => {
    const wire = await open();
    wire.process.stdout.pause();
    const answers = [];
    for (let i = 0; i < 20; i++) answers.push(wire.run('yes', { timeoutMs: 1000 }));
    for (let i = 0; i < 20; i++) answers.push(wire.tool('read_file', { path: '/usr/bin/bash' }));
    let most = 0;
    for (let i = 0; i < 20; i++) {
      await pause(100);
      most = Math.max(most, memoryKb(wire.pid) / 1024);
    }
    wire.process.stdout.resume();
    const all = await Promise.all(answers);
    for (const run of all.slice(0, 20)) assert.equal(run.timedOut, true);
    assert.ok(most < 200, `the server used ${most} MB`);
    await wire.ping();
    await wire.close();
  });
});

describe('at the end', () => {
  test('no mount and no empty cgroup of ours is left on the host', async () => {
    const deserted = () => cgroupsByName().filter((group) => !cgroupsBefore.has(group) && empty(group));
    await until(() => deserted().length === 0, `cgroups are left: ${deserted()}`);
    assert.deepEqual(mounts().filter((line) => !mountsBefore.has(line)), []);
  });

  test('every message was valid', { skip: schemasMissing() }, () => {
    for (const wire of conversations) assert.deepEqual(judge(wire.records).problems, []);
  });
});

function empty(group) {
  try {
    return readFileSync(path.join(group, 'cgroup.procs'), 'utf8') === '';
  } catch {
    return false;
  }
}

after(() => {
  for (const wire of conversations) if (wire.process.exitCode === null) wire.process.kill('SIGKILL');
});
