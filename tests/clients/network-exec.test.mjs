// exec --connect: the same command through a server that runs already, over WebSocket and HTTP.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serve } from './lib/network.mjs';
import { marked } from './lib/processes.mjs';
import { sandquay, scratch, until } from './lib/product.mjs';

let server;
let env;
before(async () => {
  server = await serve({ args: ['serve'] });
  env = { ...process.env, SANDQUAY_TOKEN: server.token };
});
after(async () => assert.deepEqual(await server.stop(), { code: 0, signal: null }));

function exec(args, { input = '', environment = env } = {}) {
  const child = spawn(sandquay, ['exec', ...args], { env: environment });
  const seen = { stdout: [], stderr: '', child };
  child.stdout.on('data', (chunk) => seen.stdout.push(chunk));
  child.stderr.on('data', (chunk) => { seen.stderr += chunk; });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  seen.ended = new Promise((resolve) => child.on('close', (status) => resolve({ status, stdout: Buffer.concat(seen.stdout), stderr: seen.stderr })));
  return seen;
}

const urls = { WebSocket: () => server.url.replace('http', 'ws'), HTTP: () => server.url };
for (const [name, url] of Object.entries(urls)) {
  describe(`over ${name}`, () => {
    test('output, input and status are the command\'s', async () => {
      const { status, stdout, stderr } = await exec(['--connect', url(), '--env', 'A=b', 'cat; echo "$A"; echo err >&2; exit 7'], { input: 'in\n' }).ended;
      assert.deepEqual([status, stdout.toString()], [7, 'in\nb\n']);
      assert.match(stderr, /^err$/m);
    });

    test('exact bytes, many of them', async () => {
      const bytes = Buffer.alloc(3_000_000, Buffer.from([0, 255, 10, 13, 128, 65]));
      const { status, stdout } = await exec(['--connect', url(), 'cat'], { input: bytes }).ended;
      assert.equal(status, 0);
      assert.ok(stdout.equals(bytes));
    });

    test('each has a sandbox of its own, which ends with it; a named one stays', async () => {
      const run = (...args) => exec(['--connect', url(), ...args]).ended;
      await run('echo x > /workspace/mine');
      assert.notEqual((await run('cat /workspace/mine')).status, 0);
      const named = `net-${process.pid}-${name}`;
      await run('--sandbox', named, 'echo kept > /workspace/file');
      for (let i = 0; i < 5; i++) { // at once: what the server has not yet let go of is waited for
        const again = await run('--sandbox', named, 'cat /workspace/file');
        assert.deepEqual([again.status, again.stdout.toString()], [0, 'kept\n'], again.stderr);
      }
      await server.modern('tools/call', { name: 'sandbox_stop', arguments: { sandbox: named, delete: true } }, { Authorization: `Bearer ${server.token}` });
      const { body } = await server.ask('', { method: 'GET', path: '/metrics', Authorization: `Bearer ${server.token}` });
      assert.match(body, /^sandquay_sessions 0$/m);
    });

    test('Ctrl-C reaches the command; an end of ours ends it', async () => {
      const mark = `8${process.pid}7.5`;
      const running = exec(['--connect', url(), `trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done`]);
      await until(() => Buffer.concat(running.stdout).includes('ready'), 'it runs', 10000);
      running.child.kill('SIGINT');
      const { status, stdout } = await running.ended;
      assert.deepEqual([status, stdout.toString()], [5, 'ready\ncaught\n']);
      const ended = exec(['--connect', url(), `sleep ${mark}`]);
      await until(() => marked(mark).some((one) => one.name === 'sleep'), 'it sleeps', 10000);
      ended.child.kill('SIGTERM');
      assert.equal((await ended.ended).status, 143);
      await until(() => marked(mark).length === 0, 'it is gone', 10000);
    });

    test('what goes wrong is said, with status 125', async () => {
      for (const [args, environment, words] of [
        [['--connect', url(), 'true'], { ...env, SANDQUAY_TOKEN: 'wrong-0123456789abcdef' }, /unauthorized|401/],
        [['--connect', url().replace(/:\d+/, ':1'), 'true'], env, /connect/i],
        [['--connect', url().replace('127.0.0.1', '192.0.2.1'), 'true'], env, /in the clear/],
        [['--connect', url().replace('127.0.0.1', '192.0.2.1').replace('http:', 'HTTP:'), 'true'], env, /in the clear/]]) {
        const { status, stderr, stdout } = await exec(args, { environment }).ended;
        assert.equal(status, 125, stderr);
        assert.match(stderr, words);
        assert.equal(stdout.length, 0);
        assert.ok(!stderr.includes('wrong-'), 'no token is shown');
      }
    });
  });
}

test('the token from a file; flags that do not go together', async () => {
  const file = path.join(scratch('token'), 'token');
  writeFileSync(file, `${server.token}\n`, { mode: 0o600 });
  const { SANDQUAY_TOKEN: _, ...environment } = env;
  assert.equal((await exec(['--connect', server.url, '--token-file', file, 'exit 3'], { environment }).ended).status, 3);
  for (const args of [['--connect', 'ftp://x/', 'true'], ['--connect', server.url, '--memory', '1g', 'true'], ['--connect', server.url, '--workspace', '/tmp', 'true']]) {
    assert.equal((await exec(args).ended).status, 2);
  }
});
