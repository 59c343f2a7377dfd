// The official SDKs, old and new, over HTTP and WebSocket with a token; every message that the
// server sent is judged by the official schema of its revision. The Inspector over HTTP.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { networkClients, recordTo } from './lib/network-adapters.mjs';
import { serve } from './lib/network.mjs';
import { marked } from './lib/processes.mjs';
import { clients as here, node24, scratch, until } from './lib/product.mjs';
import { judge, schemasMissing } from './lib/trace.mjs';

let server;
before(async () => { server = await serve({ args: ['serve'] }); });
after(async () => assert.deepEqual(await server.stop(), { code: 0, signal: null }));

for (const [number, kind] of networkClients.entries()) {
  describe(kind.name, () => {
    const records = [];
    let client;
    const answer = async (name, args, options) => {
      const result = await client.call(name, args, options);
      assert.ok(!result.isError, JSON.stringify(result.content));
      return result.structuredContent;
    };
    before(async () => {
      recordTo(records);
      client = await kind.open(server);
    });

    test('lists the tools', async () => {
      assert.ok((await client.list()).some((tool) => tool.name === 'execute_command'));
    });

    test('writes a script, runs it and reads it back', async () => {
      await client.call('write_file', { path: 'hello.sh', content: 'echo "grün €"; echo e >&2; exit 3\n' });
      const run = await answer('execute_command', { command: 'bash hello.sh' });
      assert.deepEqual([run.stdout, run.stderr, run.exitCode], ['grün €\n', 'e\n', 3]);
      assert.match((await client.call('read_file', { path: 'hello.sh' })).content[0].text, /^echo "grün €"/);
    });

    test('much output, many calls at once', async () => {
      const run = await answer('execute_command', { command: 'seq 1 100000' });
      assert.equal(run.truncated.stdoutBytes, 588895);
      const all = await Promise.all(Array.from({ length: 20 }, (_, i) => answer('execute_command', { command: `echo ${i}` })));
      assert.deepEqual(all.map((one) => one.stdout), Array.from({ length: 20 }, (_, i) => `${i}\n`));
    });

    const ai = kind.name.startsWith('@ai-sdk');
    test('progress, when asked for', { skip: ai && 'this client cannot ask' }, async () => {
      const seen = [];
      await answer('execute_command', { command: 'for i in 1 2 3; do echo line $i; sleep 0.3; done' },
        { onprogress: (progress) => seen.push(progress) });
      assert.ok(seen.length >= 1);
    });

    test('an abort kills the command', { skip: ai && 'this client tells nobody of an abort' }, async () => {
      const mark = `8${100 + number}2.25`;
      const control = new AbortController();
      const refused = assert.rejects(client.call('execute_command', { command: `sleep ${mark}`, timeoutMs: 60000 }, { signal: control.signal }));
      await until(() => marked(mark).length, 'the command runs', 5000);
      control.abort(new Error('not wanted any more'));
      await refused;
      await until(() => marked(mark).length === 0, 'the command is gone', 5000);
    });

    test('errors that a model can act on', async () => {
      const result = await client.call('read_file', { path: '/workspace/none.txt' });
      assert.equal(result.isError, true);
      assert.equal(JSON.parse(result.content[0].text).code, 'NOT_FOUND');
      await assert.rejects(client.call('no_such_tool', {}));
    });

    test('no error of the transport, and it closes', async () => {
      assert.deepEqual(client.errors.map(String).filter((text) => !/abort/i.test(text)), []);
      await client.close();
    });

    test('every message is valid', { skip: schemasMissing() }, () => {
      const seen = judge(records);
      assert.deepEqual(seen.problems, []);
      assert.ok(seen.messages >= 25, `${seen.messages} messages were judged`);
      assert.deepEqual([...seen.revisions], [kind.revision]);
    });
  });
}

describe('Inspector over HTTP', () => {
  const inspector = path.join(here, 'node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js');
  const directory = scratch('inspector');
  const inspect = (...args) => new Promise((resolve) => {
    execFile(node24, [inspector, '--cli', server.url, '--transport', 'http', '--header', `Authorization: Bearer ${server.token}`, ...args],
      { env: { PATH: process.env.PATH, HOME: directory }, cwd: directory, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => resolve({ status: error ? error.code : 0, stdout, stderr }));
  });
  for (const era of ['legacy', 'auto', 'modern']) {
    test(`${era}: tools/list --strict`, async () => {
      const { status, stdout, stderr } = await inspect('--method', 'tools/list', '--strict', '--protocol-era', era, '--format', 'json');
      assert.equal(status, 0, stderr);
      assert.match(stdout, /execute_command/);
    });
    test(`${era}: --load of 500 calls`, async () => {
      const { status, stdout, stderr } = await inspect('--method', 'tools/call', '--tool-name', 'execute_command', '--protocol-era', era,
        '--tool-args-json', '{"command":"true"}', '--load', '--load-concurrency', '8', '--load-requests', '500', '--format', 'json');
      assert.equal(status, 0, stderr);
      const { result } = JSON.parse(stdout);
      assert.deepEqual({ ok: result.ok, toolErrors: result.toolErrors, errors: result.errors }, { ok: 500, toolErrors: 0, errors: 0 });
    });
  }
  test('without the token: exit status 3', async () => {
    const { status } = await new Promise((resolve) => {
      execFile(node24, [inspector, '--cli', server.url, '--transport', 'http', '--method', 'tools/list'],
        { env: { PATH: process.env.PATH, HOME: directory }, cwd: directory }, (error) => resolve({ status: error ? error.code : 0 }));
    });
    assert.equal(status, 3);
  });
});
