// The official CLI `sandbox`, unmodified, against `sandquay vercel-api`.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { owners } from './lib/owners.mjs';
import { clients, have, scratch, until } from './lib/product.mjs';
import { serveVercel } from './lib/vercel.mjs';

const bin = path.join(clients, 'node_modules/sandbox/bin/sandbox.mjs');
const redirect = path.join(clients, 'lib/vercel-redirect.mjs');
const scope = ['--token', 'tok_opaque', '--scope', 'team_test', '--project', 'prj_test'];
const plain = (text) => text.replace(/\x1b\[[0-9;?]*[a-zA-Z]/g, '').replace(/[\r\x01\x02]/g, '');

describe('the CLI', () => {
  const directory = scratch('vercel-cli');
  const [owner] = owners('vercel-cli');
  let api;
  let env;
  const start = (command, args, options = {}) => {
    const child = spawn(command, args, { cwd: directory, env, ...options });
    child.out = '';
    child.errors = '';
    child.stdout.on('data', (chunk) => { child.out += chunk; });
    child.stderr.on('data', (chunk) => { child.errors += chunk; });
    child.ended = new Promise((resolve) => child.on('close', resolve));
    return child;
  };
  /** {code, out, errors} of `sandbox COMMAND... ` with token, team and project. */
  const sandbox = async (words, rest = []) => {
    const child = start(process.execPath, ['--import', redirect, bin, ...words, ...scope, ...rest], { stdio: ['ignore', 'pipe', 'pipe'] });
    const code = await child.ended;
    return { code, out: plain(child.out), errors: plain(child.errors) };
  };
  const works = async (words, rest) => {
    const result = await sandbox(words, rest);
    assert.equal(result.code, 0, `${words.join(' ')}: ${result.errors}`);
    return result.out;
  };

  before(async () => {
    api = await serveVercel(owner);
    env = {
      ...process.env, HOME: directory, XDG_DATA_HOME: directory, CI: '1', VERCEL_API_BASE: api.base,
      SANDBOX_SKIP_VERSION_CHECK: '1', VERCEL_TELEMETRY_DISABLED: '1',
    };
  });
  after(async () => assert.deepEqual(await api.stop(), { code: 0, signal: null }));

  test('create, run, exec: output and exit codes are the command\'s', async () => {
    assert.match(await works(['create', '--name', 'one']), /one/);
    const run = await sandbox(['run', '--name', 'one'], ['--', 'sh', '-c', 'echo out; echo err >&2; exit 3']);
    assert.equal(run.code, 3);
    assert.match(run.out, /^out$/m);
    assert.match(run.errors, /^err$/m);
    const exec = await sandbox(['exec'], ['one', '--', 'sh', '-c', 'pwd; exit 4']);
    assert.equal(exec.code, 4);
    assert.match(exec.out, /^\/workspace$/m);
    const gone = await sandbox(['run', '--rm', '--name', 'brief'], ['--', 'true']);
    assert.equal(gone.code, 0);
    assert.doesNotMatch(await works(['ls']), /brief/);
  });

  test('cp, both ways', async () => {
    writeFileSync(path.join(directory, 'up'), 'copied\n');
    await works(['cp'], ['up', 'one:/workspace/there']);
    await works(['cp'], ['one:/workspace/there', 'down']);
    assert.equal(readFileSync(path.join(directory, 'down'), 'utf8'), 'copied\n');
  });

  test('ls, sessions, config', async () => {
    assert.match(await works(['ls']), /^one +running/m);
    assert.match(await works(['sessions', 'list'], ['one']), /^sbx_\w+ +running/m);
    await works(['config', 'vcpus'], ['one', '4']);
    await works(['config', 'network-policy', '--network-policy', 'deny-all'], ['one']);
    await works(['config', 'timeout'], ['one', '20m']);
    const listed = await works(['config', 'list'], ['one']);
    assert.match(listed, /^vCPUs +4/m);
    assert.match(listed, /^Network policy +deny-all/m);
    assert.match(listed, /^Timeout +20 minutes/m);
  });

  test('snapshot, snapshots, fork, stop, remove', async () => {
    const [id] = (await sandbox(['snapshot', '--stop'], ['one'])).errors.match(/snap_\w+/);
    assert.match(await works(['snapshots', 'list']), new RegExp(`^${id} +created`, 'm'));
    assert.match(await works(['snapshots', 'get'], [id]), new RegExp(id));
    assert.match(await works(['snapshots', 'tree'], ['one']), new RegExp(id));
    await works(['fork', '--name', 'two'], ['one']);
    assert.equal((await sandbox(['exec'], ['two', '--', 'cat', 'there'])).out.trim(), 'copied');
    await works(['stop'], ['two']);
    assert.match(await works(['ls', '--all']), /^two +stopped/m);
    await works(['rm'], ['one', 'two']);
    await works(['snapshots', 'delete'], [id]);
    assert.doesNotMatch(await works(['ls', '--all']), /one|two/);
  });

  test('drives', async () => {
    await works(['drives', 'get-or-create'], ['cache']);
    assert.match(await works(['drives', 'list']), /cache/);
    await works(['create', '--name', 'driven', '--mount', 'cache:/data']);
    assert.equal((await sandbox(['exec'], ['driven', '--', 'sh', '-c', 'echo on > /data/f && cat /data/f'])).out.trim(), 'on');
    await works(['rm'], ['driven']);
    await works(['drives', 'delete'], ['cache']);
    assert.doesNotMatch(await works(['drives', 'list']), /cache/);
  });

  test('connect, on a terminal', { skip: !have('script') && 'there is no script(1)' }, async () => {
    await works(['create', '--name', 'shell']);
    const command = [process.execPath, '--import', redirect, bin, 'connect', ...scope, 'shell'].map((word) => `'${word}'`).join(' ');
    const child = start('script', ['-qec', `stty cols 100 rows 30; ${command}`, '/dev/null'], { env: { ...env, CI: '' }, stdio: ['pipe', 'pipe', 'pipe'] });
    const shown = (pattern, what) => until(() => pattern.test(plain(child.out)), what, 20000);
    await shown(/▲.*workspace/, 'the prompt');
    child.stdin.write('stty size; echo "<$((6*7))>"; exit 7\n');
    await shown(/30 100\n<42>/, 'the terminal\'s size and an answer');
    assert.equal(await child.ended, 7);
    await works(['rm'], ['shell']);
  });
});
