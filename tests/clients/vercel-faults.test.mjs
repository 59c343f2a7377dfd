// Our client and our server, and between them what happens on networks and in clouds. After each: the
// answer says what happened and what to do, no command ran twice, no sandbox is left, nothing hung.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { sandquay, scratch, until } from './lib/product.mjs';
import { serveVercel } from './lib/vercel.mjs';
import { account, value, withoutAccount, withVercelServer } from './lib/vercel-client.mjs';
import { faultProxy } from './lib/vercel-proxy.mjs';

const directory = scratch('vercel-faults');
mkdirSync(path.join(directory, 'tmp'));
const base = { ...withoutAccount, HOME: directory, XDG_STATE_HOME: path.join(directory, 'state'), TMPDIR: path.join(directory, 'tmp') };
const server = await serveVercel({ command: (args) => [sandquay, args], env: base });
const between = await faultProxy(server.base);
after(async () => {
  await between.close();
  await server.stop();
});

const env = { ...base, ...account(`${between.url}/api`) };
const there = async () => (await server.ask('GET', '/api/v2/sandboxes?teamId=team_test&project=prj_test&limit=50')).json.sandboxes;
const sessionOf = async (name) => (await there()).find((one) => one.name === name).currentSessionId;
const stop = async (id) => (await server.ask('POST', `/api/v2/sandboxes/sessions/${id}/stop?teamId=team_test`)).status;

/** What was not deleted by hand is gone with its server. */
async function withServer(use, options = {}) {
  const before = new Set((await there()).map((one) => one.name));
  await withVercelServer(use, { env, cwd: directory, ...options });
  assert.deepEqual((await there()).filter((one) => !before.has(one.name)), [], 'a sandbox was left behind');
}

const ends = (method, word) => (given, where) => given === method && where.endsWith(word);
const isRun = ends('POST', '/cmd');
const isCreate = (method, where) => method === 'POST' && /^\/v[23]\/sandboxes$/.test(where);
let marks = 0;
const mark = () => `mark-${process.pid}-${++marks}`;

/** A command that counts how often it runs, where no fault is. */
const counting = (word, rest) => `echo >> /tmp/${word}; ${rest}`;
async function runs(wire, word) {
  return Number((await wire.run(`cat /tmp/${word} 2>/dev/null | wc -l`)).stdout);
}

const told = (result, code) => assert.ok(result.code === code && result.cause && result.remedy, JSON.stringify(result));

describe('starting a command', () => {
  for (const [name, kind, options, ran] of [
    ['a reset before it was read', 'reset', {}, 0],
    ['a lost answer', 'lost', {}, 1],
    ['a cut after the head', 'cut', {}, 1],
    ['500 without effect', 'status', { status: 500 }, 0],
    ['502 without effect', 'status', { status: 502 }, 0],
    ['500 after the effect', 'done-status', { status: 500 }, 1],
    ['502 after the effect', 'done-status', { status: 502 }, 1],
    ['an answer that is not JSON', 'body', { text: '<html>a proxy</html>' }, 1],
    ['429 with a short Retry-After', 'status', { status: 429, headers: { 'retry-after': '1' } }, 1],
    ['a stream that stalls before its first line', 'stall', { bytes: 0 }, 1],
  ]) {
    test(name, async () => {
      await withServer(async (wire) => {
        await wire.run('true');
        const word = mark();
        between.fault(isRun, kind, options);
        const result = await wire.run(counting(word, `echo ${word}; sleep 0.1; exit 4`));
        const count = await runs(wire, word);
        assert.ok(count <= 1, `it ran ${count} times`);
        if (result.code) told(result, 'UNAVAILABLE');
        else assert.deepEqual([result.stdout, result.exitCode], [`${word}\n`, 4], JSON.stringify(result));
        if (ran) assert.equal(result.exitCode, 4, JSON.stringify(result));
        else assert.equal(count, 0);
      });
    });
  }

  test('429 with a long Retry-After is told at once', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      const word = mark();
      between.fault(isRun, 'status', { status: 429, headers: { 'retry-after': '600' } });
      const refused = await wire.run(counting(word, 'true'));
      told(refused, 'LIMIT');
      assert.match(refused.remedy, /600 s/);
      assert.equal(await runs(wire, word), 0);
    });
  });

  test('two identical ones at once, whose answers are lost, are told apart', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      const word = mark();
      between.fault(isRun, 'lost', { times: 2 });
      const both = await Promise.all([1, 2].map(() => wire.run(counting(word, 'echo $$; sleep 0.2'))));
      assert.equal(new Set(both.map((one) => one.stdout)).size, 2, JSON.stringify(both));
      assert.equal(await runs(wire, word), 2);
    });
  });
});

describe('while a command runs', () => {
  test('a stream is cut anywhere in its lines', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      const lines = Array.from({ length: 40 }, (_, i) => i + 1);
      for (const bytes of [1, 150, 300, 420, 700, 1500]) {
        const word = mark();
        between.fault(isRun, 'middle', { bytes });
        const result = await wire.run(counting(word, 'for i in $(seq 1 40); do echo "é$i"; echo "e$i" >&2; done; sleep 0.2; exit 5'));
        assert.equal(result.stdout, lines.map((i) => `é${i}\n`).join(''), `cut after ${bytes} bytes`);
        assert.equal(result.stderr, lines.map((i) => `e${i}\n`).join(''));
        assert.deepEqual([result.exitCode, await runs(wire, word)], [5, 1]);
      }
    });
  });

  test('a stream that stalls in the middle of a line does not outlast the time limit', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      const word = mark();
      between.fault(isRun, 'stall', { bytes: 320 });
      const result = await wire.run(counting(word, 'seq 1 1000; exit 3'), { timeoutMs: 1500 });
      assert.ok(result.status === 'timed_out' || result.exitCode === 3, JSON.stringify(result));
      assert.equal(await runs(wire, word), 1);
    });
  });

  test('lines with unknown members, and nulls where nothing should be', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      between.fault(isRun, 'edit', { edit: (line) => ({ later: { a: [1] }, ...line, ...(line.command && { command: { ...line.command, durationMs: line.command.durationMs ?? null, x: null } }) }) });
      const result = await wire.run('echo fine; exit 2');
      assert.deepEqual([result.stdout, result.exitCode], ['fine\n', 2]);
    });
  });

  test('its session stops', async () => {
    await withServer(async (wire) => {
      await wire.run('true', { sandbox: 'during' });
      const word = mark();
      const running = wire.run(`echo ${word}; sleep 30`, { sandbox: 'during' });
      const id = await sessionOf('during');
      await until(async () => (await server.ask('GET', `/api/v2/sandboxes/sessions/${id}/cmd?teamId=team_test`)).json.commands
        .some((one) => one.args.some((arg) => arg.includes(word))), 'its start', 10000);
      assert.equal(await stop(id), 200);
      const result = await running;
      assert.equal(result.status, 'killed', JSON.stringify(result));
      assert.match(result.warning, /stopped/);
      await wire.tool('sandbox_stop', { sandbox: 'during', delete: true });
    });
  });
});

describe('sandboxes', () => {
  for (const [name, kind, options] of [
    ['a reset before it was read', 'reset', {}],
    ['a lost answer', 'lost', {}],
    ['502 after the effect', 'done-status', { status: 502 }],
    ['an answer that is not JSON', 'body', { text: 'oops' }],
    ['unknown members and states', 'edit', { edit: (answer) => ({ ...answer, later: 1, sandbox: { ...answer.sandbox, status: 'hibernating', currentSnapshotId: null }, routes: null }) }],
  ]) {
    test(`one is made: ${name}`, async () => {
      const before = (await there()).length;
      await withServer(async (wire) => {
        between.fault(isCreate, kind, options);
        const made = await wire.run('echo made');
        if (made.code) told(made, made.code);
        else assert.equal(made.stdout, 'made\n', JSON.stringify(made));
        assert.equal((await wire.run('echo again')).stdout, 'again\n');
        assert.equal((await there()).length, before + 1);
      });
    });
  }

  test('a session that stops between two calls is resumed, or told to be lost', async () => {
    await withServer(async (wire) => {
      await wire.run('echo x > f', { sandbox: 'between' });
      await stop(await sessionOf('between'));
      const resumed = await wire.run('cat f', { sandbox: 'between' });
      assert.equal(resumed.stdout, 'x\n');
      assert.match(resumed.warning, /resumed/);
      await wire.tool('sandbox_stop', { sandbox: 'between', delete: true });
      const known = new Set((await there()).map((one) => one.name));
      await wire.run('true');
      await stop((await there()).find((one) => !known.has(one.name)).currentSessionId);
      const lost = await wire.run('true');
      told(lost, 'UNAVAILABLE');
      assert.match(lost.cause, /not kept/);
      assert.equal((await wire.run('echo new')).stdout, 'new\n');
    });
  });

  test('a resume whose answer is lost', async () => {
    await withServer(async (wire) => {
      await wire.run('echo x > f', { sandbox: 'twice' });
      await stop(await sessionOf('twice'));
      between.fault((method, where) => method === 'GET' && where === '/v2/sandboxes/twice', 'lost');
      assert.equal((await wire.run('cat f', { sandbox: 'twice' })).stdout, 'x\n');
      await wire.tool('sandbox_stop', { sandbox: 'twice', delete: true });
    });
  });

  test('one that somebody else deletes', async () => {
    await withServer(async (wire) => {
      await wire.run('true', { sandbox: 'taken' });
      assert.equal((await server.ask('DELETE', '/api/v2/sandboxes/taken?teamId=team_test&projectId=prj_test')).status, 200);
      const gone = await wire.run('true', { sandbox: 'taken' });
      assert.match(gone.cause, /deleted/, JSON.stringify(gone));
      assert.equal((await wire.run('echo again', { sandbox: 'taken' })).stdout, 'again\n');
      await wire.tool('sandbox_stop', { sandbox: 'taken', delete: true });
    });
  });

  test('deleting one: a lost answer is no error', async () => {
    await withServer(async (wire) => {
      await wire.run('true', { sandbox: 'away' });
      between.fault((method) => method === 'DELETE', 'lost');
      assert.ok(!value(await wire.tool('sandbox_stop', { sandbox: 'away', delete: true })).code);
    });
  });

  test('a token that is refused midway', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      between.fault(isRun, 'status', { status: 403, code: 'forbidden' });
      const refused = await wire.run('echo no');
      told(refused, 'DENIED');
      assert.match(refused.cause, /VERCEL_TOKEN/);
      assert.equal((await wire.run('echo yes')).stdout, 'yes\n');
    });
  });

  test('100 of them, listed over pages, one of which is lost', async () => {
    const made = Array.from({ length: 100 }, (_, i) => `many-${i}`);
    const each = async (use) => { for (let i = 0; i < made.length; i += 10) await Promise.all(made.slice(i, i + 10).map(use)); };
    const remove = (name) => server.ask('DELETE', `/api/v2/sandboxes/${name}?teamId=team_test&projectId=prj_test`);
    try {
      await each(async (name) => {
        const { status, json } = await server.ask('POST', '/api/v3/sandboxes?teamId=team_test', { projectId: 'prj_test', ports: [], name, resources: { vcpus: 1 } });
        assert.equal(status, 200, JSON.stringify(json));
        await stop(json.session.id);
      });
      await withServer(async (wire) => {
        between.fault((method, where) => method === 'GET' && where === '/v2/sandboxes', 'lost');
        const { sandboxes } = value(await wire.tool('sandbox_list', {}));
        const names = sandboxes.map((one) => one.sandbox).filter((name) => name.startsWith('many-'));
        assert.deepEqual(names.sort(), [...made].sort());
      });
    } finally {
      await each(remove);
    }
  });
});

describe('files', () => {
  for (const [name, kind, options] of [
    ['a reset', 'reset', {}],
    ['a lost answer', 'lost', {}],
    ['502 after the effect', 'done-status', { status: 502 }],
    ['503 without effect', 'status', { status: 503 }],
  ]) {
    test(`${name} is repeated`, async () => {
      await withServer(async (wire) => {
        await wire.run('true');
        const text = mark();
        between.fault(ends('POST', '/fs/write'), kind, options);
        assert.equal(value(await wire.tool('write_file', { path: 'f', content: text })).bytes, text.length);
        between.fault(ends('POST', '/fs/read'), kind, options);
        assert.equal(value(await wire.tool('read_file', { path: 'f' }))[0].text, text);
      });
    });
  }

  test('a file that breaks off is read again', async () => {
    await withServer(async (wire) => {
      await wire.run('seq 1 20000 > long');
      between.fault(ends('POST', '/fs/read'), 'middle', { bytes: 50000 });
      const tail = value(await wire.tool('read_file', { path: 'long', startLine: 19999 }));
      assert.match(tail[0].text, /^19999\n20000\n$/);
    });
  });
});

test('nothing listens', async () => {
  await withServer(async (wire) => told(await wire.run('true'), 'UNAVAILABLE'),
    { env: { ...env, VERCEL_SANDBOX_API_URL: 'http://127.0.0.1:1/api' } });
});

test('a server that goes away and comes back', async () => {
  const other = await serveVercel({ command: (args) => [sandquay, args], env: base }, ['--state-dir', path.join(directory, 'second')]);
  const listen = other.address;
  await withVercelServer(async (wire) => {
    await wire.run('echo kept > f', { sandbox: 'survivor' });
    await other.stop();
    told(await wire.run('true', { sandbox: 'survivor' }), 'UNAVAILABLE');
    const again = await serveVercel({ command: (args) => [sandquay, args], env: base }, ['--state-dir', path.join(directory, 'second')], { listen });
    try {
      assert.equal((await wire.run('cat f', { sandbox: 'survivor' })).stdout, 'kept\n');
      await wire.tool('sandbox_stop', { sandbox: 'survivor', delete: true });
    } finally {
      await again.stop();
    }
  }, { env: { ...base, ...account(`${other.base}/api`) }, cwd: directory });
});
