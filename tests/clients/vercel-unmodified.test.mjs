// Nothing is told to the SDK and the CLI: vercel.com is this machine's server on port 443, in a network and
// with a hosts file and a certificate authority of the test's own.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { clients, have, root, sandquay, scratch, until } from './lib/product.mjs';
import { serveVercel } from './lib/vercel.mjs';

const missing = (!root && 'namespaces need root')
  || ['ip', 'nsenter', 'unshare', 'openssl', 'script'].map((name) => !have(name) && `${name} is not installed`).find(Boolean) || false;
const bin = path.join(clients, 'node_modules/sandbox/bin/sandbox.mjs');

describe('the SDK and the CLI as they are', { skip: missing }, () => {
  const directory = scratch('unmodified');
  const file = (name) => path.join(directory, name);
  let holder;
  let api;
  const inside = (program, args) => ['nsenter', ['-t', String(holder.pid), '-m', '-n', '--', program, ...args]];
  const env = {
    ...process.env, HOME: directory, XDG_DATA_HOME: directory, XDG_STATE_HOME: file('state'), TMPDIR: directory,
    NODE_EXTRA_CA_CERTS: file('ca.pem'), SANDBOX_SKIP_VERSION_CHECK: '1', VERCEL_TELEMETRY_DISABLED: '1', CI: '',
  };
  const finished = async (child) => {
    let out = '';
    child.stdout.on('data', (chunk) => { out += chunk; });
    const code = await new Promise((resolve) => child.on('close', resolve));
    return { code, out };
  };

  before(async () => {
    const openssl = (line) => execFileSync('openssl', line.split(' '), { cwd: directory, stdio: 'pipe' });
    writeFileSync(file('ext'), 'subjectAltName=DNS:vercel.com,DNS:api.vercel.com,DNS:*.vercel.run\n');
    writeFileSync(file('hosts'), '127.0.0.1 localhost vercel.com api.vercel.com\n');
    writeFileSync(file('resolv.conf'), 'nameserver 127.0.0.1\n');
    openssl('req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority');
    openssl('req -newkey rsa:2048 -nodes -keyout key.pem -out csr.pem -subj /CN=vercel.com');
    openssl('x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext');
    holder = spawn('unshare', ['-m', '-n', 'sh', '-c', 'ip link set lo up && mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && exec "$2" "$3"',
      file('hosts'), file('resolv.conf'), process.execPath, path.join(clients, 'lib/vercel-names.mjs')],
      { stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    holder.stdout.on('data', (chunk) => { said += chunk; });
    await until(() => said.includes('ready'), 'the namespaces', 10000);
    api = await serveVercel({ env, command: (args) => inside(sandquay, args) },
      ['--tls-cert', file('cert.pem'), '--tls-key', file('key.pem')], { listen: '127.0.0.1:443' });
  });
  after(async () => {
    await api?.stop();
    holder?.stdin.end();
  });

  test('a program with the SDK: commands, files, a terminal, its health', async () => {
    const [program, args] = inside(process.execPath, [path.join(clients, 'lib/vercel-app.mjs')]);
    const { code, out } = await finished(spawn(program, args, { env, stdio: ['ignore', 'pipe', 'inherit'] }));
    assert.equal(code, 0);
    const told = JSON.parse(out);
    assert.match(told.shown, /^sh\r\n\/dev\/pts\/\d+\r\n$/);
    assert.match(told.domain, /^https:\/\/sb-[a-z0-9]{12}\.vercel\.run$/);
    assert.deepEqual({ ...told, shown: '', domain: '' },
      { out: 'hello', health: 200, url: 'wss://vercel.com/ws/interactive', shown: '', code: 6, snapshot: 'created', domain: '',
        early: 502, page: 'HOST/page?x=1', big: 3 << 20, posted: String(5 << 20), many: true, greeting: 'hello', late: 410 });
  });

  test('the CLI: run, and connect on a terminal', async () => {
    const scope = ['--token', 'tok_opaque', '--scope', 'team_test', '--project', 'prj_test'];
    const [program, args] = inside(process.execPath, [bin, 'run', '--name', 'shell', ...scope, '--', 'sh', '-c', 'echo ran; exit 4']);
    const run = await finished(spawn(program, args, { env, cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] }));
    assert.equal(run.code, 4);
    assert.match(run.out, /ran\n$/);
    const line = [process.execPath, bin, 'connect', ...scope, 'shell'].map((word) => `'${word}'`).join(' ');
    const [shell, words] = inside('script', ['-qec', `stty cols 100 rows 30; ${line}`, '/dev/null']);
    const child = spawn(shell, words, { env, cwd: directory, stdio: ['pipe', 'pipe', 'pipe'] });
    let shown = '';
    child.stdout.on('data', (chunk) => { shown += chunk; });
    await until(() => /▲.*workspace/.test(shown), 'the prompt', 20000);
    child.stdin.write('stty size; exit 7\n');
    await until(() => /30 100/.test(shown), 'the size', 20000);
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 7);
  });
});
