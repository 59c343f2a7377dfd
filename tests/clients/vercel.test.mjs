// The Vercel backend: the same tools give the same results as local sandboxes; and whatever
// happens between us and the API, no command runs twice, nothing hangs, no sandbox is left behind.
import assert from 'node:assert/strict';

import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { pause, scratch, until } from './lib/product.mjs';
import { fake } from './lib/vercel-fake.mjs';
import { Wire } from './lib/wire.mjs';

const directory = scratch('vercel');
const api = await fake(path.join(directory, 'api'));
mkdirSync(path.join(directory, 'tmp'));
after(() => api.close());

const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^VERCEL_|_proxy$/i.test(name)));
const base = { ...clean, HOME: directory, XDG_STATE_HOME: path.join(directory, 'state'), TMPDIR: path.join(directory, 'tmp') };
const account = { VERCEL_SANDBOX_API_URL: api.url, VERCEL_TOKEN: 'tok_test', VERCEL_TEAM_ID: 'team_test', VERCEL_PROJECT_ID: 'prj_test' };
const vercelEnv = { ...base, ...account };

async function server({ backend = 'vercel', args = [], env = vercelEnv } = {}) {
  const wire = new Wire({ args: ['serve', '--backend', backend, '--toolsets', 'lifecycle', ...args], env, cwd: directory, keepRecords: false });
  await wire.initialize();
  wire.run = async (command, more = {}, meta) => value(await wire.tool('execute_command', { command, ...more }, meta));
  return wire;
}

/** structuredContent, or {code, ...} of an error. */
function value(result) {
  if (result.isError) return JSON.parse(result.content[0].text);
  return result.structuredContent ?? result.content;
}

async function withServer(use, options) {
  const wire = await server(options);
  try {
    return await use(wire);
  } finally {
    await wire.close();
    assert.doesNotMatch(wire.stderr, /Sanitizer|runtime error|tok_test/);
  }
}

const isRun = (method, where) => method === 'POST' && where.endsWith('/cmd');
const isCreate = (method, where) => method === 'POST' && /^\/v[23]\/sandboxes$/.test(where);
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

  test('every step of a session', async () => {
    const results = {};
    for (const backend of ['local', 'vercel']) {
      results[backend] = await withServer(async (wire) => {
        const all = [];
        for (const [tool, args] of steps) all.push(plain(await wire.tool(tool, args)));
        return all;
      }, { backend });
    }
    for (const [i, step] of steps.entries()) {
      assert.equal(results.vercel[i], results.local[i], JSON.stringify(step));
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
  const starts = { n: 0 };
  const mark = () => `mark-${process.pid}-${++starts.n}`;

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
    const wire = await server();
    await wire.run('true');
    assert.equal(api.sandboxes.size, 1);
    wire.process.kill('SIGTERM');
    await wire.closed;
    await until(() => api.sandboxes.size === 0, 'it is deleted');
  });
});

