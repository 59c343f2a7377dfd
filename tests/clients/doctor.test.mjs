// sandquay doctor: one row a probe and one a protection; its exit status says whether the configured
// level holds. What it tries inside can fail: outside a sandbox it does.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { build, have, ordinaryUser, root, sandquay, sanitized, scratch } from './lib/product.mjs';

const protections = ['host files', 'devices', 'kernel settings', 'host environment', 'host processes', 'host signals', 'pid 1',
  'descriptors', 'namespaces', 'mounts', 'kernel interfaces', 'host name and clock', 'privileges', 'core dumps', 'terminal',
  'host network', 'memory limit', 'process limit', 'disk limit', 'daemons'];
const machine = ['user namespace', 'own processes', 'own network', 'overlay', 'id range', 'cgroups', 'process limit', 'seccomp',
  'core dumps', 'bubblewrap', 'Landlock', 'user scope', 'KVM'];

function doctor({ forbid, user, flags = [] }) {
  const temp = scratch('doctor');
  const as = user && ordinaryUser();
  const [program, args] = as ? as.command(as.sandquay, ['doctor', ...flags]) : [sandquay, ['doctor', ...flags]];
  const all = forbid ? [path.join(build, 'tests/hostile_forbid'), forbid, program, ...args] : [program, ...args];
  const { status, stdout, stderr } = spawnSync(all[0], all.slice(1), {
    cwd: '/', encoding: 'utf8', env: { ...process.env, ...(as ? as.env : { TMPDIR: temp }) } });
  return { status, stdout, stderr };
}
const named = (report, group) => Object.fromEntries(report.rows.filter((row) => row.group === group).map((row) => [row.name, row]));

const suites = [
  { name: 'as this user', level: root ? 1 : 2 },
  { name: 'as an ordinary user', user: true, level: 2, skip: !root && 'only root can become another' },
  { name: 'where only bubblewrap may make namespaces', user: true, forbid: 'clone', level: 3, skip: (!root && 'only root can simulate it') || (!have('bwrap') && 'bubblewrap is not installed') },
  { name: "with a container's default profile", user: true, forbid: 'container', level: 4, flags: ['--allow-weak-isolation'], skip: !root && 'only root can simulate it' },
];
describe('doctor', { skip: sanitized && 'a sanitizer build has no small sandbox' }, () => {
  for (const { name, level, skip, flags = [], ...how } of suites) {
    test(name, { skip }, () => {
      const { status, stdout, stderr } = doctor({ ...how, flags: ['--json', ...flags] });
      const report = JSON.parse(stdout);
      assert.equal(report.level, level, stderr);
      const transparent = named(report, 'sandbox')['transparent network'];
      if (level < 3) assert.match(transparent.text, /reach every port|reach ports 443/);
      else assert.match(transparent.text, /not at this level/);
      assert.equal(report.holds, true, JSON.stringify(report.rows.filter((row) => row.verdict === 'missing')));
      assert.equal(status, 0);
      assert.deepEqual(Object.keys(named(report, 'machine')), machine);
      const rows = named(report, 'protection');
      assert.deepEqual(Object.keys(rows), protections);
      for (const [protection, { verdict, fix }] of Object.entries(rows)) {
        const weak = level > 1 && protection === 'memory limit' || level === 4 && protection === 'host processes';
        assert.equal(verdict, weak ? 'weaker' : 'held', protection);
        if (weak) assert.ok(fix, 'what is weaker says what to do');
      }
    });
  }
  test('less than is required: not held, with the fix', { skip: !root && 'root has level 1' }, () => {
    const { status, stdout } = doctor({ user: true, flags: ['--require-level', '1'] });
    assert.equal(status, 1);
    assert.match(stdout, /missing +sandbox: isolation level 1 is required, and this machine gives level 2; run it as root/);
  });
  test('nothing that is strong enough: not held', { skip: !root && 'only root can simulate it' }, () => {
    const { status, stdout } = doctor({ user: true, forbid: 'container' });
    assert.equal(status, 1);
    assert.match(stdout, /missing +user namespace/);
    assert.match(stdout, /A sandbox as configured cannot be had here\./);
  });
  test('in words, a line a row', () => {
    const { stdout } = doctor({});
    for (const protection of protections) assert.match(stdout, new RegExp(`^(held|weaker) +${protection}: `, 'm'));
    assert.match(stdout, /\nLevel \d: /);
  });
  test('the trials find what is open: outside a sandbox', async () => {
    const cwd = scratch('outside');
    mkdirSync(path.join(cwd, 'x'));
    const server = net.createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    server.unref();
    const program = path.join(build, 'sandquay-guest');
    const { stdout } = spawnSync(program, ['prove', '/etc/passwd', 'PATH=', String(server.address().port), 'nobody-listens', String(process.pid), '16', '8', '4'], { cwd, encoding: 'utf8' });
    const open = stdout.split('\n').filter((line) => line.startsWith('open\t')).map((line) => line.split('\t')[2]);
    for (const what of ['a file of the host', 'the system call filter', 'twice the limit', 'a fork bomb', '127.0.0.1 of the host']) {
      assert.ok(open.includes(what), `${what}: ${stdout}`);
    }
  });
});
