// The MCP Inspector's command line in the three eras and over HTTP, and Anthropic's bundle tool.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serve } from './lib/network.mjs';
import { clients as here, node24, repository, sandquay, scratch } from './lib/product.mjs';
import { judge, readTraces, schemasMissing } from './lib/trace.mjs';

const inspector = path.join(here, 'node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js');
const mcpb = path.join(here, 'node_modules/@anthropic-ai/mcpb/dist/cli/cli.js');
const directory = scratch('inspector');
const TOKEN = 'inspector-0123456789abcdef';

function run(program, args) {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH, HOME: directory, TMPDIR: directory };
    execFile(program, args, { env, cwd: directory, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => resolve({ status: error ? error.code ?? error.signal : 0, stdout, stderr }));
  });
}

for (const era of ['legacy', 'auto', 'modern']) {
  describe(`Inspector, ${era} era`, () => {
    const traces = path.join(directory, era);
    mkdirSync(traces);
    const inspect = (...args) => run(node24, [inspector, '--cli', process.execPath, path.join(here, 'tee.mjs'), traces,
      sandquay, 'serve', '--protocol-era', era, ...args]);

    test('tools/list --strict has nothing to say', async () => {
      const { status, stdout, stderr } = await inspect('--method', 'tools/list', '--strict', '--format', 'json');
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stderr, /^(Warning|Error): /m);
      assert.match(stdout, /execute_command/);
    });

    test('tools/call', async () => {
      const { status, stdout, stderr } = await inspect('--method', 'tools/call', '--tool-name', 'execute_command',
        '--tool-args-json', '{"command":"echo $((6 * 7)); exit 3"}', '--format', 'json', '-q');
      assert.equal(status, 0, stderr);
      assert.match(stdout, /"stdout":\s*"42\\n"/);
      assert.match(stdout, /"exitCode":\s*3/);
    });

    test('a tool error has exit status 5', async () => {
      const { status } = await inspect('--method', 'tools/call', '--tool-name', 'read_file',
        '--tool-args-json', '{"path":"none.txt"}', '--format', 'json', '-q');
      assert.equal(status, 5);
    });

    test('--load of 200 calls', async () => {
      const { status, stdout, stderr } = await inspect('--method', 'tools/call', '--tool-name', 'execute_command',
        '--tool-args-json', '{"command":"true"}', '--load', '--load-concurrency', '8', '--load-requests', '200', '--format', 'json');
      assert.equal(status, 0, stderr);
      const { result } = JSON.parse(stdout);
      assert.deepEqual({ ok: result.ok, toolErrors: result.toolErrors, errors: result.errors }, { ok: 200, toolErrors: 0, errors: 0 });
    });

    test('every message is valid', { skip: schemasMissing() }, () => {
      const traced = readTraces(traces);
      assert.ok(traced.length >= 4);
      for (const { file, records } of traced) assert.deepEqual(judge(records).problems, [], file);
    });
  });
}

describe('Inspector, over HTTP', () => {
  let server;
  before(async () => { server = await serve({ args: ['serve', '--token-env', 'INSPECTED'], env: { ...process.env, INSPECTED: TOKEN } }); });
  after(() => server.stop());
  const inspect = (...args) => run(node24, [inspector, '--cli', server.url, '--transport', 'http', '--header', `Authorization: Bearer ${TOKEN}`, ...args]);

  test('tools/list --strict has nothing to say', async () => {
    const { status, stdout, stderr } = await inspect('--method', 'tools/list', '--strict', '--format', 'json');
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stderr, /^(Warning|Error): /m);
    assert.match(stdout, /execute_command/);
  });

  test('--load of 500 calls', async () => {
    const { status, stdout, stderr } = await inspect('--method', 'tools/call', '--tool-name', 'execute_command',
      '--tool-args-json', '{"command":"true"}', '--load', '--load-concurrency', '8', '--load-requests', '500', '--format', 'json');
    assert.equal(status, 0, stderr);
    const { result } = JSON.parse(stdout);
    assert.deepEqual({ ok: result.ok, toolErrors: result.toolErrors, errors: result.errors }, { ok: 500, toolErrors: 0, errors: 0 });
  });
});

test('the bundle manifest is valid', { skip: !existsSync(path.join(repository, 'manifest.json')) && 'there is no manifest.json' }, async () => {
  const { status, stdout, stderr } = await run(process.execPath, [mcpb, 'validate', path.join(repository, 'manifest.json')]);
  assert.equal(status, 0, stdout + stderr);
});
