// Three servers with the Vercel backend behind HAProxy, with the configuration of docs/serve.md: one
// client's stateless requests are served by any of them, also when one is killed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { networkClients, recordTo } from './lib/network-adapters.mjs';
import { serve, freePort } from './lib/network.mjs';
import { have, repository, scratch, until } from './lib/product.mjs';
import { fake } from './lib/vercel-fake.mjs';

const TOKEN = 'replica-0123456789abcdef';
const directory = scratch('replicas');
const haproxy = have('haproxy') || '/usr/sbin/haproxy';

/** The one in the documentation, for these addresses. */
function configuration(port, servers) {
  let text = readFileSync(path.join(repository, 'docs/serve.md'), 'utf8').match(/```haproxy\n([^]*?)```/)[1];
  text = text.replace('bind :443 ssl crt /etc/haproxy/mcp.pem', `bind 127.0.0.1:${port}`);
  servers.forEach((server, i) => { text = text.replace(`10.0.0.${i + 1}:7777`, server.address); });
  assert.doesNotMatch(text, /10\.0\.0\.|:443\b/);
  return text;
}

describe('three servers', { timeout: 120000 }, () => {
  let api;
  let servers;
  let proxy;
  let url;
  let client; // the official one, of 2026-07-28
  before(async () => {
    api = await fake(path.join(directory, 'api'));
    mkdirSync(path.join(directory, 'tmp'));
    const file = path.join(directory, 'tokens');
    writeFileSync(file, `team ${TOKEN}\n`, { mode: 0o600 });
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^VERCEL_|_proxy$/i.test(name)));
    servers = await Promise.all(['a', 'b', 'c'].map((name) => serve({
      args: ['serve', '--backend', 'vercel', '--token-file', file, '--trust-proxy', '--verbose'],
      env: { ...clean, HOME: directory, XDG_STATE_HOME: path.join(directory, name), TMPDIR: path.join(directory, 'tmp'),
        VERCEL_SANDBOX_API_URL: api.url, VERCEL_TOKEN: 'tok_test', VERCEL_TEAM_ID: 'team_test', VERCEL_PROJECT_ID: 'prj_test' },
    })));
    const port = await freePort();
    writeFileSync(path.join(directory, 'haproxy.cfg'), configuration(port, servers));
    proxy = spawn(haproxy, ['-db', '-f', path.join(directory, 'haproxy.cfg')], { stdio: ['ignore', 'ignore', 'pipe'] });
    proxy.stderr.on('data', (chunk) => { proxy.said = (proxy.said ?? '') + chunk; });
    url = `http://127.0.0.1:${port}/mcp`;
    await until(async () => {
      if (proxy.exitCode !== null) throw new Error(`HAProxy has ended: ${proxy.said}`);
      return (await fetch(url, { method: 'POST' }).catch(() => ({}))).status === 401;
    }, 'HAProxy passes requests on', 10000);
    recordTo([]);
    client = await open('SDK 2.4.0 pinned over HTTP');
  });
  after(async () => {
    await client?.close();
    proxy.kill('SIGKILL');
    await Promise.all(servers.map((server) => server.stop()));
    await api.close();
  });

  const open = (name) => networkClients.find((one) => one.name === name).open({ url, token: TOKEN });
  const tool = async (name, args) => {
    const result = await client.call(name, args);
    assert.ok(!result.isError, JSON.stringify(result.content));
    return result.structuredContent ?? result.content[0].text;
  };
  const calls = (server) => (server.stderr.match(/rpc=tools\/call/g) ?? []).length;

  test('are one: a sandbox that is made through one is there for all', async () => {
    for (let i = 0; i < 6; i++) await tool('write_file', { sandbox: 'dev', path: `f${i}`, content: `of ${i}\n` });
    for (let i = 0; i < 6; i++) assert.match(await tool('read_file', { sandbox: 'dev', path: `f${5 - i}` }), new RegExp(`of ${5 - i}`));
    const { stdout } = await tool('execute_command', { sandbox: 'dev', command: 'cat f?' });
    assert.equal(stdout, 'of 0\nof 1\nof 2\nof 3\nof 4\nof 5\n');
    for (let i = 0; i < 3; i++) assert.deepEqual((await tool('sandbox_list', {})).sandboxes.map((row) => row.sandbox), ['dev']);
    assert.equal(api.sandboxes.size, 1);
    for (const server of servers) {
      assert.ok(calls(server) >= 3, 'each of them has served');
      const { body } = await server.ask('', { method: 'GET', path: '/metrics', Authorization: `Bearer ${TOKEN}` });
      const counted = body.matchAll(/^sandquay_backend_calls_total\{backend="vercel",call="(\w+)",outcome="(\w+)"\} (\d+)$/mg);
      const outcomes = Object.fromEntries([...counted].map(([, call, outcome, n]) => [`${call} ${outcome}`, Number(n)]));
      assert.ok(outcomes['GET 2xx'] >= 1 && outcomes['POST 2xx'] >= 3, body);
    }
  });

  test('read what a command says and how it ends, whichever began it', async () => {
    const command = 'for i in 1 2 3; do echo line $i; read -r go < go$i; done; echo done >&2; exit 7';
    await tool('execute_command', { sandbox: 'dev', command: 'mkfifo go1 go2 go3' });
    const { commandId } = await tool('execute_command', { sandbox: 'dev', command, background: true });
    let stdout = '';
    let last;
    for (let i = 1; i <= 3; i++) {
      while (!stdout.endsWith(`line ${i}\n`)) {
        last = await tool('command_output', { commandId, stdoutOffset: stdout.length, stderrOffset: 0, waitMs: 5000 });
        assert.equal(last.status, 'running');
        stdout += last.stdout;
      }
      await tool('execute_command', { sandbox: 'dev', command: `echo > go${i}` });
    }
    for (let i = 0; i < 3; i++) { // every one of them
      do last = await tool('command_output', { commandId, stdoutOffset: 0, stderrOffset: 0, waitMs: 5000 });
      while (!last.eof);
      assert.equal(last.stdout, 'line 1\nline 2\nline 3\n');
      assert.equal(last.stderr, 'done\n');
      assert.equal(last.exitCode, 7);
      assert.equal(last.commandId, commandId);
    }
    assert.equal(api.started.filter((one) => one.includes('echo line $i')).length, 1);
  });

  test('signal it, whichever began it, with its descendants', async () => {
    const { commandId } = await tool('execute_command', { sandbox: 'dev', command: 'sleep 1000 & sleep 1000', background: true });
    for (let i = 0; i < 2; i++) await tool('command_output', { commandId, stdoutOffset: 0 });
    await tool('command_input', { commandId, signal: 'SIGTERM' });
    const last = await tool('command_output', { commandId, stdoutOffset: 0, waitMs: 10000 });
    assert.notEqual(last.status, 'running');
  });

  test('refuse ids that are not of theirs', async () => {
    for (const commandId of ['dev:cmd_nothing', 'dev:..', 'dev:../..', 'dev:', 'other/x:cmd_1', ':cmd_1', `${'x'.repeat(200)}:cmd_1`]) {
      const result = await client.call('command_output', { commandId });
      assert.equal(result.isError, true, commandId);
      assert.match(result.content[0].text, /NOT_FOUND|INVALID/);
    }
  });

  test('keep sessions of the older revisions, and WebSockets', async () => {
    for (const name of ['SDK 1.32.2 over HTTP', 'SDK 1.32.2 over WebSocket']) {
      const older = await open(name);
      for (let i = 0; i < 5; i++) {
        const { structuredContent } = await older.call('execute_command', { sandbox: 'dev', command: `echo ${i}` });
        assert.equal(structuredContent.stdout, `${i}\n`);
      }
      await older.close();
    }
  });

  test('go on when one is killed: its commands, their output, the files', async () => {
    const before = servers.map(calls);
    const { commandId } = await tool('execute_command', { sandbox: 'dev', command: 'mkfifo last; echo began; read -r go < last; echo went on', background: true });
    await until(() => servers.some((server, i) => calls(server) > before[i]), 'the log tells who began it');
    const dead = servers.find((server, i) => calls(server) > before[i]);
    await dead.stop('SIGKILL');
    servers = servers.filter((server) => server !== dead);
    for (let i = 0; i < 6; i++) assert.match(await tool('read_file', { sandbox: 'dev', path: 'f1' }), /of 1/);
    assert.equal((await tool('command_output', { commandId, stdoutOffset: 0, waitMs: 5000 })).stdout, 'began\n');
    await tool('execute_command', { sandbox: 'dev', command: 'echo > last' });
    let last;
    do last = await tool('command_output', { commandId, stdoutOffset: 0, waitMs: 5000 });
    while (!last.eof);
    assert.equal(last.stdout, 'began\nwent on\n');
    assert.equal(last.exitCode, 0);
  });
});
