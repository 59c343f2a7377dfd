// The Vercel backend: the same tools give the same results as local sandboxes; and whatever
// happens between us and the API, no command runs twice, nothing hangs, no sandbox is left behind.
import assert from 'node:assert/strict';

import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { pause, sandquay, scratch, shared, skipSanitized, until } from './lib/product.mjs';
import { serveVercel } from './lib/vercel.mjs';
import { account, value, vercelServer, withoutAccount, withVercelServer } from './lib/vercel-client.mjs';
import { fake } from './lib/vercel-fake.mjs';
import { Wire } from './lib/wire.mjs';

const directory = scratch('vercel');
const api = await fake(path.join(directory, 'api'));
mkdirSync(path.join(directory, 'tmp'));
after(() => api.close());

const base = { ...withoutAccount, HOME: directory, XDG_STATE_HOME: path.join(directory, 'state'), TMPDIR: path.join(directory, 'tmp') };
const vercelEnv = { ...base, ...account(api.url) };

const withServer = (use, options) => withVercelServer(use, { env: vercelEnv, cwd: directory, ...options });

const isRun = (method, where) => method === 'POST' && where.endsWith('/cmd');
const isCreate = (method, where) => method === 'POST' && /^\/v[23]\/sandboxes$/.test(where);
const marks = { n: 0 };
const mark = () => `mark-${process.pid}-${++marks.n}`;
const ours = (text) => api.started.filter((one) => one.includes(text)).length;

describe('the same tools, the same results', () => {
  const steps = [
    ['execute_command', { command: 'echo out; echo err >&2; exit 3' }],
    ['execute_command', { command: 'printf "\\303\\251 \\342\\202\\254 \\360\\237\\230\\200"; printf "a\\tb\\\\\\"\\001"' }],
    ['execute_command', { command: 'kill -TERM $$' }],
    ['execute_command', { command: 'no-such-program' }],
    ['execute_command', { command: 'sleep 60', timeoutMs: 300 }],
    ['execute_command', { command: 'echo "$A-$B"', env: { A: '1', B: 'x y "z"' } }],
    ['execute_command', { command: 'pwd', cwd: '/tmp' }],
    ['execute_command', { command: 'true', cwd: '/nowhere' }],
    ['execute_command', { command: 'seq 1 100000', maxOutputBytes: 1000 }],
    ['execute_command', { command: '' }],
    ['write_file', { path: 'a.txt', content: 'one\ntwo\n' }],
    ['write_file', { path: 'a.txt', content: 'three\n' }],
    ['read_file', { path: 'a.txt' }],
    ['write_file', { path: 'deep/er/b.txt', content: 'é€\n' }],
    ['read_file', { path: './deep/er/b.txt' }],
    ['write_file', { path: 'bytes', content: Buffer.from([0, 255, 1, 254]).toString('base64'), encoding: 'base64' }],
    ['read_file', { path: 'bytes' }],
    ['execute_command', { command: 'chmod 741 a.txt' }],
    ['write_file', { path: 'a.txt', content: 'mode\n' }],
    ['execute_command', { command: 'stat -c %a a.txt deep/er/b.txt; cat a.txt' }],
    ['execute_command', { command: 'ln -s a.txt link' }],
    ['write_file', { path: 'link', content: 'through the link\n' }],
    ['execute_command', { command: 'cat a.txt; test -L link; echo $?; ls -A' }],
    ['write_file', { path: 'deep', content: 'x' }],
    ['write_file', { path: 'a.txt/b', content: 'x' }],
    ['write_file', { path: 'new/', content: 'x' }],
    ['read_file', { path: 'missing' }],
    ['read_file', { path: 'deep' }],
    ['read_file', { path: 'a.txt/b' }],
    ['execute_command', { command: 'mkfifo pipe' }],
    ['read_file', { path: 'pipe' }],
    ['write_file', { path: 'empty', content: '' }],
    ['read_file', { path: 'empty' }],
    ['execute_command', { command: 'seq 1 5000 > lines' }],
    ['read_file', { path: 'lines', startLine: 4990, lines: 5 }],
    ['command_output', { commandId: 'c1' }],
    ['sandbox_stop', { sandbox: 'never-made' }],
    ['write_file', { sandbox: 'one', path: 'f', content: 'of one\n' }],
    ['sandbox_fork', { sandbox: 'one', name: 'two' }],
    ['read_file', { sandbox: 'two', path: 'f' }],
    ['read_file', { sandbox: 'one', path: 'f' }],
    ['sandbox_fork', { sandbox: 'never-made', name: 'three' }],
    ['sandbox_create', { name: 'two' }],
    ['sandbox_create', { name: 'no/name' }],
    ['sandbox_snapshot', { sandbox: 'one' }],
    ['sandbox_stop', { sandbox: 'one' }],
    ['read_file', { sandbox: 'one', path: 'f' }],
    ['sandbox_stop', { sandbox: 'two', delete: true }],
    ['sandbox_stop', { sandbox: 'two', delete: true }],
    ['sandbox_stop', { sandbox: 'one', delete: true }],
    ['sandbox_extend', { sandbox: 'one', durationMs: 60000 }],
    ['sandbox_stop', { sandbox: 'one', delete: true }],
  ];

  /** What may differ: identities, times, sizes, words that name the backend or the system in it;
   *  and the signal, which Vercel does not tell from an exit status. */
  const differs = ['commandId', 'durationMs', 'sandbox', 'notice', 'warning', 'remedy', 'signal', 'backend', 'os', 'user', 'home', 'cwd',
    'limits', 'createdAt', 'expiresAt', 'snapshot', 'bytes', 'id'];
  function plain(result) {
    const text = JSON.stringify(value(result), (key, one) =>
      differs.includes(key) ? undefined : one);
    return text.replaceAll(/sandbox:\/\/[^/]*/g, 'sandbox://').replaceAll('Local sandbox, isolation level 1 (full). ', '');
  }

  const all = (options, list = steps) => withServer(async (wire) => {
    const results = [];
    for (const [tool, args] of list) results.push(plain(await wire.tool(tool, args)));
    return results;
  }, options);
  let local;
  const expected = async () => (local ??= await all({ backend: 'local' }));

  test('every step of a session', async () => {
    const wanted = await expected();
    for (const [i, result] of (await all()).entries()) assert.equal(result, wanted[i], JSON.stringify(steps[i]));
  });

  test('every step, where sandquay itself serves the API', async () => {
    const wanted = await expected();
    const served = await serveVercel({ command: (args) => [sandquay, args], env: { ...base, XDG_STATE_HOME: path.join(directory, 'served') } });
    try {
      const results = await all({ env: { ...vercelEnv, VERCEL_SANDBOX_API_URL: `${served.base}/api` } });
      for (const [i, result] of results.entries()) assert.equal(result, wanted[i], JSON.stringify(steps[i]));
    } finally {
      await served.stop();
    }
  });

  test('16 MiB in and out, exactly', async () => {
    const bytes = Buffer.from(Uint8Array.from({ length: 16 << 20 }, (_, i) => (i * 2654435761) >>> 13));
    await withServer(async (wire) => {
      const written = value(await wire.tool('write_file', { path: 'big', content: bytes.toString('base64'), encoding: 'base64' }));
      assert.equal(written.bytes, bytes.length);
      const sum = await wire.run('sha256sum < big; wc -c < big');
      assert.match(sum.stdout, new RegExp(`\\n${bytes.length}\\n$`));
      const part = value(await wire.tool('read_file', { path: 'big', offset: 16000000, maxBytes: 1000 }));
      assert.ok(Buffer.from(part[0].resource.blob, 'base64').equals(bytes.subarray(16000000, 16001000)));
    });
  });

  test('a command in the background: its output, a signal, its end', async () => {
    await withServer(async (wire) => {
      const started = await wire.run('trap "echo bye; exit 4" TERM; echo first; while :; do sleep 0.05; done', { background: true });
      assert.equal(started.status, 'running');
      const { commandId } = started;
      await until(async () => value(await wire.tool('command_output', { commandId, stdoutOffset: 0 })).stdout?.includes('first'), 'output', 5000);
      await wire.tool('command_input', { commandId, signal: 'SIGTERM' });
      const ended = await until(async () => {
        const now = value(await wire.tool('command_output', { commandId, waitMs: 1000 }));
        return now.status !== 'running' && now;
      }, 'its end', 8000);
      assert.deepEqual([ended.status, ended.exitCode], ['exited', 4]);
      const input = value(await wire.tool('command_input', { commandId: (await wire.run('sleep 5', { background: true })).commandId, text: 'x' }));
      assert.equal(input.code, 'UNAVAILABLE');
      assert.match(input.remedy, /file/);
    });
  });

  test('stop keeps the files of a default sandbox, and the next use resumes it', async () => {
    await withServer(async (wire) => {
      await wire.tool('write_file', { path: 'kept', content: 'here' });
      assert.ok(!value(await wire.tool('sandbox_stop', {})).code);
      const again = await wire.run('cat kept');
      assert.equal(again.stdout, 'here');
    });
    assert.equal(api.sandboxes.size, 0);
  });

  test('a named one outlives its server; a second server finds it', async () => {
    await withServer((wire) => wire.tool('write_file', { sandbox: 'keeper', path: 'f', content: 'mine' }));
    assert.ok(api.sandboxes.has('keeper'));
    api.stop(api.sandboxes.get('keeper').session);
    await withServer(async (wire) => {
      const found = await wire.run('cat f', { sandbox: 'keeper' });
      assert.equal(found.stdout, 'mine');
      assert.match(found.notice ?? found.warning ?? '', /[Rr]esumed/);
      const { sandboxes } = value(await wire.tool('sandbox_list', {}));
      assert.ok(sandboxes.some((one) => one.sandbox === 'keeper'));
      assert.ok(!value(await wire.tool('sandbox_stop', { sandbox: 'keeper', delete: true })).code);
    });
    assert.ok(!api.sandboxes.has('keeper'));
  });
});

describe('what the server restricts holds there, too', () => {
  const sessionOf = (name) => api.sessions.get(api.sandboxes.get(name).session).session;

  test('a policy of the network, in new sandboxes and in those that were there', async () => {
    await withServer((wire) => wire.run('true', { sandbox: 'free' }));
    assert.equal(sessionOf('free').networkPolicy, undefined);
    await withServer(async (wire) => {
      await wire.run('true');
      assert.deepEqual([...api.sandboxes.values()].at(-1).policy, { allow: ['github.com', '*.npmjs.org'] });
      await wire.run('true', { sandbox: 'free' });
      assert.deepEqual(sessionOf('free').networkPolicy.allowedDomains, ['github.com', '*.npmjs.org']);
      api.stop(api.sandboxes.get('free').session);
      await wire.run('true', { sandbox: 'free' });
      assert.deepEqual(sessionOf('free').networkPolicy.allowedDomains, ['github.com', '*.npmjs.org']);
      await wire.tool('network_policy', { sandbox: 'free', allow: ['registry.npmjs.org', 'example.org'] });
      assert.deepEqual(sessionOf('free').networkPolicy.allowedDomains, ['registry.npmjs.org']);
      await wire.tool('network_policy', { sandbox: 'free', mode: 'deny-all' });
      assert.deepEqual(sessionOf('free').networkPolicy, { mode: 'deny-all' });
      await wire.tool('sandbox_stop', { sandbox: 'free', delete: true });
    }, { args: ['--network', 'github.com,*.npmjs.org', '--toolsets', 'all'] });
  });

  test('ports become routes', async () => {
    await withServer(async (wire) => {
      const one = value(await wire.tool('expose_port', { port: 3000 }));
      assert.match(one.url, /^https:\/\/sb-.*\.vercel\.run$/);
      assert.equal(value(await wire.tool('expose_port', { port: 8080 })).port, 8080);
      assert.deepEqual([...api.sandboxes.values()].at(-1).ports, [3000, 8080]);
      assert.equal(value(await wire.tool('expose_port', { port: 3000, close: true })).closed, true);
      await until(() => [...api.sandboxes.values()].at(-1).ports.join() === '8080', 'it is closed');
      assert.equal(value(await wire.tool('expose_port', { port: 3000, close: true })).code, 'NOT_FOUND');
    }, { args: ['--toolsets', 'all'] });
  });

  for (const [image, version, member] of [['node24', 'v2', 'runtime'], ['vercel/sandbox/python:3.14', 'v3', 'image']]) {
    test(`--image ${image} is asked for as ${member}`, async () => {
      await withServer(async (wire) => {
        assert.equal((await wire.run('echo in')).stdout, 'in\n');
        const asked = api.requests.filter((one) => isCreate(one.method, one.path)).at(-1);
        assert.equal(asked.path, `/${version}/sandboxes`);
        assert.equal(JSON.parse(asked.body)[member], image);
      }, { args: ['--image', image] });
    });
  }

  test('limits become vCPUs; environment and tags are given on', async () => {
    await withServer(async (wire) => {
      const made = value(await wire.tool('sandbox_create', { name: 'sized', memoryMb: 5000, env: { A: 'b' } }));
      assert.equal(made.limits.memoryMb, 8192);
      assert.equal(api.sandboxes.get('sized').vcpus, 4);
      assert.equal((await wire.run('echo $A', { sandbox: 'sized' })).stdout, 'b\n');
      await wire.tool('sandbox_stop', { sandbox: 'sized', delete: true });
    });
  });
});

describe('faults between us and the API', () => {
  test('429 with a short Retry-After is waited for', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      const word = mark();
      api.fault(isRun, 'status', { status: 429, headers: { 'retry-after': '1' } });
      assert.equal((await wire.run(`echo ${word}`)).stdout, `${word}\n`);
      assert.equal(ours(word), 1);
    });
  });

  test('429 with a long one is told at once', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      api.fault(isRun, 'status', { status: 429, headers: { 'retry-after': '300' } });
      const refused = await wire.run('echo no');
      assert.equal(refused.code, 'LIMIT');
      assert.match(refused.remedy, /300 s/);
    });
  });

  for (const [name, kind, options] of [
    ['a reset before it was read', 'reset', {}],
    ['a lost answer', 'lost', {}],
    ['a cut after the head', 'cut', {}],
    ['500 without effect', 'status', { status: 500 }],
    ['502 after the effect', 'done-status', { status: 502 }],
  ]) {
    test(`starting a command: ${name}`, async () => {
      await withServer(async (wire) => {
        await wire.run('true');
        const word = mark();
        api.fault(isRun, kind, options);
        const result = await wire.run(`echo ${word}; echo >> runs-${word}; sleep 0.2`);
        assert.ok(ours(word) <= 1, `it ran ${ours(word)} times`);
        if (ours(word) === 1) assert.deepEqual([result.stdout, result.exitCode], [`${word}\n`, 0], JSON.stringify(result));
        else assert.ok(['UNAVAILABLE', 'IO'].includes(result.code) && result.remedy, JSON.stringify(result));
      });
    });
  }

  test('two identical commands whose answers are lost are told apart', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      const word = mark();
      api.fault(isRun, 'lost', { times: 2 });
      const both = await Promise.all([1, 2].map(() => wire.run(`echo ${word} $$; sleep 0.3`)));
      assert.equal(ours(word), 2);
      assert.equal(new Set(both.map((one) => one.stdout)).size, 2);
      assert.deepEqual(both.map((one) => one.exitCode), [0, 0]);
    });
  });

  test('a stream that is cut in the middle of a line is followed, without loss or repetition', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      for (const bytes of [10, 200, 330, 450, 1000]) {
        api.fault(isRun, 'middle', { bytes });
        const result = await wire.run('for i in $(seq 1 60); do echo "é$i"; echo "e$i" >&2; done; sleep 0.2; exit 5');
        const lines = Array.from({ length: 60 }, (_, i) => i + 1);
        assert.equal(result.stdout, lines.map((i) => `é${i}\n`).join(''), `cut after ${bytes} bytes`);
        assert.equal(result.stderr, lines.map((i) => `e${i}\n`).join(''));
        assert.equal(result.exitCode, 5);
      }
    });
  });

  test('what is not JSON, and what has unknown members', async () => {
    await withServer(async (wire) => {
      api.fault(isCreate, 'edit', { edit: (answer) => ({ ...answer, later: [1], sandbox: { ...answer.sandbox, status: 'hibernating', currentSnapshotId: null }, routes: null }) });
      assert.equal((await wire.run('echo fine')).stdout, 'fine\n');
      const word = mark();
      api.fault(isRun, 'body', { text: '<html>a proxy</html>' });
      assert.equal((await wire.run(`echo ${word}`)).stdout, `${word}\n`);
      assert.equal(ours(word), 1);
    });
  });

  test('a token that is refused midway', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      api.tokens.delete('tok_test');
      try {
        const refused = await wire.run('echo no');
        assert.equal(refused.code, 'DENIED');
        assert.match(refused.cause, /VERCEL_TOKEN/);
        assert.ok(refused.remedy);
      } finally {
        api.tokens.add('tok_test');
      }
      assert.equal((await wire.run('echo yes')).stdout, 'yes\n');
    });
  });

  test('a session that stops between two calls is resumed, or told to be lost', async () => {
    await withServer(async (wire) => {
      await wire.run('echo x > f', { sandbox: 'between' });
      api.stop(api.sandboxes.get('between').session);
      const resumed = await wire.run('cat f', { sandbox: 'between' });
      assert.equal(resumed.stdout, 'x\n');
      assert.match(resumed.warning, /resumed/);
      await wire.tool('sandbox_stop', { sandbox: 'between', delete: true });
      await wire.run('true');
      api.stop([...api.sandboxes.values()][0].session);
      const lost = await wire.run('true');
      assert.equal(lost.code, 'UNAVAILABLE', JSON.stringify(lost));
      assert.match(lost.cause, /not kept/);
      assert.equal((await wire.run('echo new')).stdout, 'new\n');
    });
  });

  test('a session that stops during a command', async () => {
    await withServer(async (wire) => {
      await wire.run('true', { sandbox: 'during' });
      const running = wire.run('echo begun; sleep 30', { sandbox: 'during' });
      await until(() => api.started.some((one) => one.includes('begun')), 'its start');
      await pause(100);
      api.stop(api.sandboxes.get('during').session);
      const result = await running;
      assert.equal(result.status, 'killed', JSON.stringify(result));
      assert.match(result.warning, /stopped/);
      await wire.tool('sandbox_stop', { sandbox: 'during', delete: true });
    });
  });

  test('a sandbox that somebody else deletes', async () => {
    await withServer(async (wire) => {
      await wire.run('true', { sandbox: 'taken' });
      const { session } = api.sandboxes.get('taken');
      api.stop(session);
      api.sandboxes.delete('taken');
      const gone = await wire.run('true', { sandbox: 'taken' });
      assert.match(gone.cause, /deleted/, JSON.stringify(gone));
      assert.equal((await wire.run('echo again', { sandbox: 'taken' })).stdout, 'again\n');
      await wire.tool('sandbox_stop', { sandbox: 'taken', delete: true });
    });
  });

  test('a created sandbox whose answer is lost is found, not made twice', async () => {
    const before = api.count(isCreate);
    await withServer(async (wire) => {
      api.fault(isCreate, 'lost');
      assert.equal((await wire.run('echo found')).stdout, 'found\n');
      assert.equal(api.count(isCreate), before + 1);
      assert.equal(api.sandboxes.size, 1);
    });
    assert.equal(api.sandboxes.size, 0);
  });

  test('reads and writes survive what can be repeated', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      for (const kind of ['reset', 'lost', 'status']) {
        api.fault((method, where) => where.endsWith('/fs/write'), kind, { status: 502 });
        assert.equal(value(await wire.tool('write_file', { path: `f-${kind}`, content: kind })).bytes, kind.length);
        api.fault((method, where) => where.endsWith('/fs/read'), kind, { status: 503 });
        assert.equal(value(await wire.tool('read_file', { path: `f-${kind}` }))[0].text, kind);
      }
      await wire.run('seq 1 20000 > long');
      api.fault((method, where) => where.endsWith('/fs/read'), 'middle', { bytes: 50000 });
      const tail = value(await wire.tool('read_file', { path: 'long', startLine: 19999 }));
      assert.match(tail[0].text, /^19999\n20000\n$/);
    });
  });

  test('nothing listens', async () => {
    await withServer(async (wire) => {
      const refused = await wire.run('true');
      assert.equal(refused.code, 'UNAVAILABLE');
      assert.ok(refused.remedy);
    }, { env: { ...vercelEnv, VERCEL_SANDBOX_API_URL: 'http://127.0.0.1:1/api' } });
  });

  test('cancelling a call kills the command there, with its descendants', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      const nap = `7${process.pid % 10000}.5`;
      const id = 'to-cancel';
      void wire.request('tools/call', { name: 'execute_command', arguments: { command: `setsid sleep ${nap} & sleep ${nap}; true`, timeoutMs: 60000 } }, { id }).catch(() => {});
      const naps = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(`sleep\0${nap}`);
        } catch {
          return false;
        }
      }).length;
      await until(() => naps() === 2, 'both sleep', 5000);
      await wire.notify('notifications/cancelled', { requestId: id });
      await until(() => naps() === 0, 'both are dead', 10000);
    });
  });

  test('100 sandboxes are listed over pages', async () => {
    const headers = { authorization: 'Bearer tok_test', 'content-type': 'application/json' };
    for (let i = 0; i < 100; i++) {
      const made = await fetch(`${api.url}/v3/sandboxes?teamId=team_test`, { method: 'POST', headers, body: JSON.stringify({ projectId: 'prj_test', ports: [], name: `many-${i}` }) });
      assert.equal(made.status, 200);
    }
    await withServer(async (wire) => {
      const { sandboxes } = value(await wire.tool('sandbox_list', {}));
      assert.equal(sandboxes.filter((one) => /^many-/.test(one.sandbox)).length, 100);
    });
    for (let i = 0; i < 100; i++) await fetch(`${api.url}/v2/sandboxes/many-${i}?teamId=team_test&projectId=prj_test`, { method: 'DELETE', headers });
  });

  test('no sandbox is left behind', async () => {
    assert.deepEqual([...api.sandboxes.keys()], []);
    const wire = await vercelServer({ env: vercelEnv, cwd: directory });
    await wire.run('true');
    assert.equal(api.sandboxes.size, 1);
    wire.process.kill('SIGTERM');
    await wire.closed;
    await until(() => api.sandboxes.size === 0, 'it is deleted');
  });
});

describe('time', () => {
  test('a default sandbox is kept alive past its time-out while its server lives', async () => {
    api.forcedTimeoutMs = 5000;
    try {
      await withServer(async (wire) => {
        await wire.tool('write_file', { path: 'f', content: 'still here' });
        const [{ session }] = [...api.sandboxes.values()];
        await until(() => api.sessions.get(session).session.timeout > 10000, 'it is extended again and again', 20000);
        assert.equal((await wire.run('cat f')).stdout, 'still here');
        assert.equal([...api.sandboxes.values()][0].session, session);
      });
    } finally {
      api.forcedTimeoutMs = undefined;
    }
  });

  test('the end of a plan\'s longest session is told', async () => {
    api.forcedTimeoutMs = 2500;
    api.maxTimeoutMs = 3000;
    try {
      await withServer(async (wire) => {
        await wire.run('true');
        const notice = await until(async () => (await wire.run('true')).notice, 'the notice', 8000);
        assert.match(notice, /longest time.*save/);
      });
    } finally {
      api.forcedTimeoutMs = undefined;
      api.maxTimeoutMs = 45 * 60 * 1000;
    }
  });

  test('a long command is followed; a stream that stalls does not hide its end', async () => {
    await withServer(async (wire) => {
      await wire.run('true');
      api.fault((method, where) => where.endsWith('/logs'), 'middle', { bytes: 60, times: 2 });
      const long = await wire.run('for i in 1 2 3 4 5 6; do echo "line $i"; sleep 0.1; done; exit 9', { timeoutMs: 600000 });
      assert.deepEqual([long.stdout, long.exitCode], ['line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n', 9]);
      api.fault(isRun, 'stall', { lines: 2 });
      const stalled = await wire.run('echo a; sleep 0.3; echo b', { timeoutMs: 1500 });
      assert.deepEqual([stalled.status, stalled.stdout], ['timed_out', 'a\n'], JSON.stringify(stalled));
      const word = mark();
      api.fault(isRun, 'stall', { lines: 0 });
      const begun = await wire.run(`echo ${word}`);
      assert.deepEqual([begun.stdout, begun.exitCode, ours(word)], [`${word}\n`, 0, 1], JSON.stringify(begun));
    });
  });

  test('what takes its time is told as progress', async () => {
    await withServer(async (wire) => {
      const told = () => wire.notifications.filter((one) => one.method === 'notifications/progress').map((one) => one.params.message);
      await wire.run('true', {}, { progressToken: 1 });
      assert.ok(told().includes('creating the sandbox'), told().join());
      api.fault(isRun, 'status', { status: 429, headers: { 'retry-after': '1' } });
      await wire.run('true', {}, { progressToken: 2 });
      assert.ok(told().some((one) => /asks to wait 1 s/.test(one)), told().join());
    });
  });
});

describe('tokens', () => {
  const jwt = (claims) => ['{}', JSON.stringify(claims), 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const soon = () => Math.floor(Date.now() / 1000) + 30;
  const later = () => Math.floor(Date.now() / 1000) + 36000;

  function login(content) {
    const config = scratch('vercel-login');
    writeFileSync(path.join(config, 'auth.json'), JSON.stringify(content), { mode: 0o600 });
    return { config, read: () => JSON.parse(readFileSync(path.join(config, 'auth.json'))) };
  }

  test('the login of the CLI is used, renewed before it expires, and kept', async () => {
    const { config, read } = login({ token: 'old', refreshToken: 'refresh-1', expiresAt: soon(), other: { kept: true } });
    const asked = [];
    api.renewals = (method, where, query, json) => {
      if (where !== '/login/oauth/token') return undefined;
      asked.push(json());
      api.tokens.add('fresh');
      return { body: { access_token: 'fresh', refresh_token: 'refresh-2', expires_in: 36000 } };
    };
    await withServer(async (wire) => {
      assert.equal((await wire.run('echo in')).stdout, 'in\n');
      assert.doesNotMatch(wire.stderr, /refresh-|fresh/);
    }, { env: { ...base, VERCEL_SANDBOX_API_URL: api.url, VERCEL_AUTH_CONFIG_DIR: config } });
    assert.equal(asked.length, 1);
    assert.equal(asked[0].grant_type, 'refresh_token');
    assert.equal(asked[0].refresh_token, 'refresh-1');
    const kept = read();
    assert.deepEqual([kept.token, kept.refreshToken, kept.other], ['fresh', 'refresh-2', { kept: true }]);
    assert.ok(kept.expiresAt > Date.now() / 1000 + 30000);
    assert.equal(statSync(path.join(config, 'auth.json')).mode & 0o777, 0o600);
  });

  test('a token that is refused midway is renewed, and nothing runs twice', async () => {
    const { config } = login({ token: 'first', refreshToken: 'r', expiresAt: later() });
    api.tokens.add('first');
    api.renewals = (method, where) => {
      if (where !== '/login/oauth/token') return undefined;
      api.tokens.add('second');
      return { body: { access_token: 'second', expires_in: 36000 } };
    };
    await withServer(async (wire) => {
      await wire.run('true');
      api.tokens.delete('first');
      const word = mark();
      assert.equal((await wire.run(`echo ${word}`)).stdout, `${word}\n`);
      assert.equal(ours(word), 1);
    }, { env: { ...base, VERCEL_SANDBOX_API_URL: api.url, VERCEL_AUTH_CONFIG_DIR: config } });
  });

  test('a token goes to no other host in the clear', async () => {
    for (const url of ['http://example.org/api', 'http://127.0.0.1:1@example.org/api', 'http://127.0.0.1.example.org/api', 'ftp://x', 'https://']) {
      const wire = new Wire({ args: ['serve'], env: { ...vercelEnv, VERCEL_SANDBOX_API_URL: url }, cwd: directory, keepRecords: false });
      assert.equal((await wire.closed).code, 2, url);
      assert.match(wire.stderr, /VERCEL_SANDBOX_API_URL/);
    }
    // and a proxy is for what leaves this machine
    await withServer(async (wire) => {
      assert.equal((await wire.run('echo past')).stdout, 'past\n');
    }, { env: { ...vercelEnv, http_proxy: 'http://127.0.0.1:1', all_proxy: 'http://127.0.0.1:1' } });
  });

  test('an OIDC token says whose it is, and is renewed by the login', async () => {
    const { config } = login({ token: 'cli', expiresAt: later() });
    const claims = { owner_id: 'team_test', project_id: 'prj_test' };
    const fresh = jwt({ ...claims, exp: later() });
    api.tokens.add('cli').add(fresh);
    api.renewals = (method, where, query) => where === '/v1/projects/prj_test/token' && query.get('source') === 'vercel-oidc-refresh' ? { body: { token: fresh } } : undefined;
    await withServer(async (wire) => {
      assert.equal((await wire.run('echo in')).stdout, 'in\n');
    }, { env: { ...base, VERCEL_SANDBOX_API_URL: api.url, VERCEL_AUTH_CONFIG_DIR: config, VERCEL_OIDC_TOKEN: jwt({ ...claims, exp: soon() }) } });
  });

  test('one that cannot be renewed says when it ends', async () => {
    const token = jwt({ owner_id: 'team_test', project_id: 'prj_test', exp: Math.floor(Date.now() / 1000) + 600 });
    api.tokens.add(token);
    await withServer(async (wire) => {
      assert.match((await wire.run('true')).notice, /VERCEL_OIDC_TOKEN expires in \d+ min/);
    }, { env: { ...base, VERCEL_SANDBOX_API_URL: api.url, VERCEL_OIDC_TOKEN: token } });
  });

  test('team and project are asked for where nothing names them', async () => {
    await withServer(async (wire) => {
      assert.equal((await wire.run('echo in')).stdout, 'in\n');
    }, { env: { ...base, VERCEL_SANDBOX_API_URL: api.url, VERCEL_TOKEN: 'tok_test' } });
    assert.ok(api.projects.has('vercel-sandbox-default-project'));
  });

  test('auto takes Vercel where there are credentials, and says so; partial ones are no silent local', async () => {
    const env = { ...vercelEnv };
    const wire = new Wire({ args: ['serve'], env, cwd: directory, keepRecords: false });
    await wire.initialize();
    assert.equal(value(await wire.tool('sandbox_list', {})).backend, 'vercel');
    await wire.close();
    assert.match(wire.stderr, /backend vercel: VERCEL_TOKEN/);
    delete env.VERCEL_TOKEN;
    const partial = new Wire({ args: ['serve'], env, cwd: directory, keepRecords: false });
    const { code } = await partial.closed;
    assert.equal(code, 2);
    assert.match(partial.stderr, /VERCEL_TOKEN is missing/);
    const hostile = scratch('hostile');
    writeFileSync(path.join(hostile, '.env'), 'VERCEL_SANDBOX_API_URL=http://127.0.0.1:1/api\nHTTPS_PROXY=http://127.0.0.1:1\n');
    const local = new Wire({ args: ['serve'], env: base, cwd: hostile, keepRecords: false });
    await local.initialize();
    assert.equal(value(await local.tool('sandbox_list', {})).backend, 'local');
    await local.close();
  });
});

test('a slow reader holds the stream back: memory stays bounded', { skip: skipSanitized }, async () => {
  await withServer(async (wire) => {
    await wire.run('true');
    const bytes = 192 << 20;
    const { commandId } = await wire.run(`head -c ${bytes} /dev/zero | tr '\\0' 'x'`, { background: true, hold: true, timeoutMs: 600000 });
    await until(async () => value(await wire.tool('command_output', { commandId, stdoutOffset: 0, maxBytes: 10, hold: true })).stdoutBytes > 1 << 20, 'some output', 20000);
    await pause(1500); // as much as comes, comes
    const seen = value(await wire.tool('command_output', { commandId, stdoutOffset: 0, maxBytes: 10, hold: true }));
    assert.ok(seen.stdoutBytes < bytes / 2, `${seen.stdoutBytes} bytes were taken`);
    const rss = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${wire.pid}/status`, 'latin1'))[1]);
    assert.ok(rss < 100 << 10, `${rss} KiB`);
    await wire.tool('command_input', { commandId, signal: 'SIGKILL' });
  });
});

test('the stand-in for the API is one that the official SDK accepts', async () => {
  const { Sandbox, Snapshot } = await import('@vercel/sandbox');
  const options = { token: 'tok_test', teamId: 'team_test', projectId: 'prj_test',
    fetch: (url, more) => fetch(String(url).replace('https://vercel.com/api', api.url), more) };
  const sandbox = await Sandbox.create({ ...options, name: 'judged', ports: [3000], tags: { a: 'b' }, env: { E: 'v' }, networkPolicy: { allow: ['github.com'] } });
  const run = await sandbox.runCommand('sh', ['-c', 'echo "é$E"; echo err >&2; exit 3']);
  assert.deepEqual([run.exitCode, await run.stdout(), await run.stderr()], [3, 'év\n', 'err\n']);
  const detached = await sandbox.runCommand({ cmd: 'sh', args: ['-c', 'echo early; sleep 0.2; echo late'], detached: true });
  let text = '';
  for await (const { data } of detached.logs()) text += data;
  assert.equal(text, 'early\nlate\n');
  assert.equal((await detached.wait()).exitCode, 0);
  const killed = await sandbox.runCommand({ cmd: 'sleep', args: ['30'], detached: true });
  await killed.kill('SIGTERM');
  assert.equal((await killed.wait()).exitCode, 143);
  await assert.rejects(sandbox.runCommand('no-such-program'), /executable file not found/);
  await sandbox.writeFiles([{ path: 'a/b.txt', content: Buffer.from('hé') }, { path: `${'n'.repeat(120)}.txt`, content: Buffer.from('long'), mode: 0o755 }]);
  assert.equal((await sandbox.readFileToBuffer({ path: 'a/b.txt' })).toString(), 'hé');
  assert.equal(await sandbox.readFileToBuffer({ path: 'missing' }), null);
  await sandbox.mkDir('made');
  await assert.rejects(sandbox.mkDir('made'), /File exists/);
  await sandbox.extendTimeout(60000);
  await sandbox.update({ tags: { c: 'd' } });
  assert.equal((await Sandbox.get({ ...options, name: 'judged' })).name, 'judged');
  const snapshot = await sandbox.snapshot();
  assert.equal((await Snapshot.get({ ...options, snapshotId: snapshot.snapshotId })).status, 'created');
  assert.equal((await (await sandbox.runCommand('cat', ['a/b.txt'])).stdout()), 'hé'); // resumed
  const fork = await Sandbox.fork({ ...options, sourceSandbox: 'judged', name: 'forked' });
  assert.equal((await (await fork.runCommand('cat', ['a/b.txt'])).stdout()), 'hé');
  await sandbox.stop();
  const names = [];
  for await (const one of await Sandbox.list({ ...options, limit: 1, sortBy: 'name', sortOrder: 'asc' })) names.push(one.name);
  assert.deepEqual(names.sort(), ['forked', 'judged']);
  for (const one of [sandbox, fork]) await one.delete();
});

const requestsSeen = path.join(shared, 'data/vercel-sdk-requests.jsonl');
describe('what is sent', { skip: !existsSync(requestsSeen) && `${requestsSeen} is not there` }, () => {
  test('looks as what the official SDK and CLI were seen to send', async () => {
    const shape = (method, url) => {
      const { pathname, searchParams } = new URL(url, 'http://x');
      const plain = pathname.replace(/^\/api/, '').split('/').map((part, i, parts) =>
        /^(sbx|cmd|snap)_/.test(part) ? '*' : parts[2] === 'sandboxes' && i === 3 && !['sessions', 'snapshots', 'drives'].includes(part) ? '{name}' : part).join('/');
      return { key: `${method} ${plain}`, query: [...searchParams.keys()] };
    };
    const seen = new Map();
    for (const line of readFileSync(requestsSeen, 'utf8').split('\n').filter(Boolean)) {
      const { request, headers, body } = JSON.parse(line);
      const [method, url] = request.split(' ');
      if (!url?.startsWith('/api')) continue;
      const { key, query } = shape(method, url);
      const entry = seen.get(key) ?? { query: new Set(), body: new Map(), types: new Set() };
      seen.set(key, entry);
      for (const name of query) entry.query.add(name);
      entry.types.add(headers['content-type']);
      if (typeof body === 'string' && body.startsWith('{')) for (const [name, one] of Object.entries(JSON.parse(body))) entry.body.set(name, typeof one);
    }
    // What Vercel documents, or its Python SDK sends, and the JavaScript one does not.
    const known = { 'GET /v2/sandboxes/sessions/*/cmd': true };
    const members = { 'POST /v2/sandboxes/sessions/*/fs/mkdir': ['recursive'], 'POST /v2/sandboxes/{name}/fork': ['persistent', 'timeout'] };
    const judged = new Set();
    assert.ok(api.requests.length > 100);
    for (const { method, url, headers, body } of api.requests) {
      const { key, query } = shape(method, url);
      if (headers['user-agent']?.startsWith('sandquay/') !== true) continue;
      judged.add(key);
      assert.match(headers['user-agent'], /^sandquay\/\d+\.\d+\.\d+$/);
      assert.equal(headers.expect, undefined);
      if (known[key] || /^\S+ \/(login|v1)\//.test(key)) continue;
      if (key !== 'GET /v2/user') assert.equal(query[0], 'teamId', url);
      const like = seen.get(key);
      assert.ok(like, `nothing like ${key} was seen`);
      for (const name of query) assert.ok(like.query.has(name), `${key} has ?${name}`);
      assert.ok(like.types.has(headers['content-type']), `${key}: ${headers['content-type']}`);
      if (!key.endsWith('/fs/write') && body.length) {
        for (const [name, one] of Object.entries(JSON.parse(body))) {
          if (members[key]?.includes(name)) continue;
          assert.equal(typeof one, like.body.get(name), `${key}: ${name}`);
        }
      }
      if (key.endsWith('/fs/write')) assert.equal(headers['x-cwd'], '/');
    }
    assert.ok(judged.size >= 15, [...judged].join(', '));
  });
});
