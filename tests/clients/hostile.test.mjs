// The hostile set: every row of ../hostile/table.json is tried in a sandbox, through the real way
// (write_file brings the programs in, execute_command runs them), as root and as an ordinary user.
//
// A row: `run` (a command; hostile_* are ../hostile/*.c) or `tool` with `args`; `before` prepares;
// `expect` is a pattern for what comes out, one for all levels, or one a level ("3"; "4u": only when
// an ordinary user started it, "4r": only for root) and "else": for a command its stdout and stderr,
// then "[exit N]", "[timed out]", "[oom]"; for a tool its result as JSON. null: that level does not
// promise it, for the reason in `weaker`.
// `then`: what must be true of the marked processes afterwards. `bomb`: not for sanitizer builds.
// {words} are filled in below. After each row the server answers a ping and runs a command, no host
// file was changed, and no secret of the host was in the answer.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, chownSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { groupOf, marked, memoryKb } from './lib/processes.mjs';
import { build, have, ordinaryUser, pause, repository, root, sandquay, sanitized, scratch, skipSanitized, until } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';
import { judge, schemasMissing } from './lib/trace.mjs';

const table = JSON.parse(readFileSync(path.join(repository, 'tests/hostile/table.json')));
const programs = ['syscalls', 'pid1', 'network', 'abi', 'forks', 'memory', 'inodes', 'daemon', 'swap'];
const PREPARE = 'export PATH=$TMPDIR/hostile:$PATH; ';
const digest = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');
const address = Object.values(os.networkInterfaces()).flat().find((one) => one.family === 'IPv4' && !one.internal)?.address;

/** What the host has and the sandbox must not: files, sockets, a variable. */
async function bait(owner) {
  const canary = `canary-${randomBytes(6).toString('hex')}`;
  const secret = `secret-${randomBytes(9).toString('hex')}`;
  const cwd = scratch('cwd');
  chmodSync(cwd, 0o777);
  const files = { tmp: `/tmp/${canary}`, cwd: path.join(cwd, canary), home: path.join(owner.env.HOME, canary) };
  for (const file of Object.values(files)) {
    writeFileSync(file, `${secret}\n`);
    chmodSync(file, 0o666);
    if (owner.uid !== undefined) chownSync(file, owner.uid, owner.uid);
  }
  const listen = (...where) => new Promise((resolve) => {
    const server = net.createServer((socket) => socket.end(secret)).listen(...where, () => resolve(server));
    server.unref();
  });
  const words = { ...files, canary, abstract: canary, socket: `/tmp/${canary}.sock`, address };
  const servers = [await listen(0, '0.0.0.0'), await listen(words.socket)];
  chmodSync(words.socket, 0o777);
  words.tcp = String(servers[0].address().port);
  try { // node 20 knows abstract sockets
    servers.push(await listen(`\0${words.abstract}`));
  } catch { /* the row then proves less */ }
  const guarded = [...Object.values(files), '/etc/passwd', '/etc/hosts', '/bin/true'].map((file) => [file, digest(file)]);
  return {
    words, cwd,
    env: { SANDQUAY_CANARY: secret, AWS_SECRET_ACCESS_KEY: secret, SOME_TOKEN: secret },
    secrets: [secret, ...(root ? [digest('/etc/shadow')] : [])],
    unchanged() {
      for (const [file, before] of guarded) assert.equal(digest(file), before, `${file} of the host was changed`);
    },
    clear() {
      for (const server of servers) server.close();
      for (const file of [...Object.values(files), words.socket]) rmSync(file, { force: true });
    },
  };
}

/** Who starts the server, and on what kind of machine: as it is, or with less, by ../hostile/forbid.c. */
const machines = [
  { level: undefined },
  { level: 3, forbid: 'namespaces', where: 'where user.max_user_namespaces is 0 and bubblewrap is setuid' },
  { level: 3, forbid: 'clone', where: 'where only a setuid bubblewrap may make namespaces' },
  { level: 4, forbid: 'container', where: "with a container's default profile" },
];
/** What must come out at this level, or undefined where nothing is promised. */
function expectation(row, level, uid) {
  const own = row.expect[`${level}${uid ? 'u' : 'r'}`] ?? row.expect[level];
  return typeof row.expect === 'string' ? row.expect : own === undefined ? row.expect.else : own ?? undefined;
}

const owners = [];
const userSkip = root && !have('setpriv') && 'setpriv is not installed';
for (const { level, forbid, where } of machines) {
  const skip = forbid && ((!root && 'only root can simulate it') || (level === 3 && !have('bwrap') && 'bubblewrap is not installed') ||
    (sanitized && 'a sanitizer build: one way of launching is enough'));
  const flags = level === 4 ? ['--allow-weak-isolation'] : [];
  const add = (name, env, uid, command) => owners.push({
    name: where ? `${name}, ${where}` : name, env, uid, level, skip,
    open: ({ env: more, ...options }) => {
      const [program, args] = command(['serve', ...flags]);
      const forbidden = forbid ? [path.join(build, 'tests/hostile_forbid'), [forbid, program, ...args]] : [program, args];
      return connect({ ...options, program: forbidden[0], args: forbidden[1], env: { ...more, ...env } });
    },
  });
  add(root ? 'root' : 'this user', { HOME: os.homedir() }, undefined, (args) => [sandquay, args]);
  if (root && !userSkip) {
    const user = ordinaryUser();
    add('an ordinary user', user.env, user.uid, (args) => user.command(user.sandquay, args));
  }
}
if (userSkip) test('as an ordinary user', { skip: userSkip }, () => {});

for (const owner of owners) {
  describe(`hostile programs, started by ${owner.name}`, { skip: owner.skip }, () => {
    const temp = scratch('tmp');
    chmodSync(temp, 0o1777);
    let lures, wire, level, places;
    const records = [];

    const install = async () => {
      const [workspace, tmp, proxy] = (await wire.run('pwd; echo $TMPDIR; echo ${HTTP_PROXY##*:}')).stdout.split('\n');
      places = { workspace, tmp, proxy };
      for (const name of programs) {
        const bytes = readFileSync(path.join(build, 'tests', `hostile_${name}`));
        const file = `${places.tmp}/hostile/hostile_${name}`;
        const written = await wire.tool('write_file', { path: file, content: bytes.toString('base64'), encoding: 'base64' });
        assert.ok(!written.isError, written.content?.[0]?.text);
        const { exitCode } = await wire.run(`chmod 755 ${file} && [ $(stat -c %s ${file}) = ${bytes.length} ]`);
        assert.equal(exitCode, 0);
      }
    };
    const serve = async () => {
      if (wire) return;
      wire = await owner.open({ cwd: lures.cwd, env: { ...process.env, TMPDIR: temp, ...lures.env } });
      const outside = readlinkSync('/proc/self/ns/mnt');
      const first = await wire.run('readlink /proc/self/ns/mnt; touch /tmp/{canary} 2>&1');
      const [inside, touched] = first.stdout.split('\n');
      level ??= Number(/level (\d)/i.exec(`${first.notice} ${first.warning}`)[1]);
      if (owner.level) assert.equal(level, owner.level, `the level that this machine can give: ${first.notice}`);
      // Before anything else: what follows is not for the host.
      if (level < 4) assert.notEqual(inside, outside, 'the sandbox has a mount namespace of its own');
      else assert.match(touched, /Permission denied/, 'Landlock guards the host');
      await install();
      wire.records.length = 0; // the programs are long, and were judged no worse than the rest
      await wire.initialize();
    };
    const ended = () => {
      records.push(...wire.records);
      wire = undefined;
    };

    before(async () => {
      lures = await bait(owner);
      await serve();
    });

    for (const row of table) {
      const skip = (row.bomb && skipSanitized) || (row.needs === 'address' && !address && 'this machine has no address but 127.0.0.1');
      test(`${row.group}: ${row.name}`, { skip }, async (context) => {
        await serve();
        // Without cgroups, what cannot be killed alone in 2 s goes with its sandbox (a fork bomb on a busy
        // machine), and at level 4 code can end its own; the next sandbox knows nothing of our programs.
        if (level > 1 && (await wire.run('test -x $TMPDIR/hostile/hostile_daemon')).exitCode !== 0) await install();
        const expected = expectation(row, level, owner.uid);
        if (expected === undefined) return context.skip(`not promised at level ${level}: ${row.weaker}`);
        const words = { ...lures.words, proxy: places.proxy, mark: `7${randomBytes(4).readUInt32BE()}.25` };
        const fill = (text) => text.replace(/\{(\w+)\}/g, (all, word) => words[word] ?? all).replaceAll('/workspace', places.workspace);
        if (row.before) await wire.run(fill(row.before));

        let outcome = '';
        let most = 0;
        for (let i = 0; i < (row.times ?? 1); i++) {
          const attack = row.run ? runOutcome(fill(row.run), row.timeoutMs) : toolOutcome(row.tool, row.args, fill);
          if (row.mostMemoryMB) most = await peak(attack);
          outcome = await attack;
          for (const secret of lures.secrets) assert.ok(!outcome.includes(secret), `a secret came out: ${outcome}`);
        }
        assert.match(outcome, new RegExp(expected));
        if (row.mostMemoryMB) assert.ok(most < row.mostMemoryMB, `the server used ${most} MB`);

        if (row.then) await afterwards[row.then](words.mark);
        if (row.after) await wire.run(row.after);
        if (wire) {
          await wire.ping();
          assert.equal((await wire.run('echo alive')).stdout, 'alive\n');
        }
        lures.unchanged();
      });
    }

    test('a directory that becomes a link while the file tools work, for 2 s', async () => {
      await serve();
      // In the host's cwd there is a file of that name, with a secret; nothing may reach it.
      const host = path.join(lures.cwd, 'file');
      writeFileSync(host, `${lures.secrets[0]}\n`);
      chmodSync(host, 0o666);
      const swapping = wire.run(`${PREPARE}rm -rf swap swap.link; hostile_swap swap ${lures.cwd} 2`, { timeoutMs: 20000 });
      let over = false;
      let reads = 0;
      swapping.finally(() => { over = true; }).catch(() => {});
      while (!over) {
        const [read] = await Promise.all([
          wire.tool('read_file', { path: 'swap/file' }),
          wire.tool('write_file', { path: 'swap/file', content: 'written inside\n' }),
        ]);
        assert.ok(!JSON.stringify(read).includes(lures.secrets[0]), 'a file of the host was read');
        reads++;
      }
      assert.equal(readFileSync(host, 'utf8'), `${lures.secrets[0]}\n`, 'a file of the host was written');
      const { stdout } = await swapping;
      assert.ok(Number(stdout) > 1000 && reads > 0, `${stdout} swaps, ${reads} reads`);
      await wire.run('rm -rf swap swap.link');
    });

    async function runOutcome(command, timeoutMs = 10000) {
      const run = await wire.run(PREPARE + command, { timeoutMs });
      const how = `[exit ${run.exitCode}]${run.timedOut ? '[timed out]' : ''}${run.oomKilled ? '[oom]' : ''}`;
      return [`${run.stdout}${run.stderr}`.trim(), how].filter(Boolean).join(' ');
    }
    async function toolOutcome(tool, args, fill) {
      const filled = Object.fromEntries(Object.entries(args).map(([key, value]) => [key, fill(value)]));
      const result = await wire.tool(tool, filled);
      const bytes = result.content?.map((block) => Buffer.from(block.resource?.blob ?? '', 'base64').toString('latin1')).join('');
      return (result.isError ? 'isError ' : '') + JSON.stringify(result) + bytes;
    }
    async function peak(attack) {
      let running = true;
      let most = 0;
      attack.finally(() => { running = false; }).catch(() => {});
      while (running) {
        most = Math.max(most, memoryKb(wire.pid) / 1024);
        await pause(50);
      }
      return most;
    }
    // A daemon that goes on forking is missed by a look at /proc, but not by one at its process group.
    const groups = new Set();
    const found = (mark) => {
      for (const { pid } of marked(mark)) {
        try {
          groups.add(groupOf(pid));
        } catch { /* it has ended */ }
      }
      return groups.size > 1; // the one that stays, and the one that moves
    };
    const empty = (group) => {
      try {
        process.kill(-group, 0);
      } catch (error) {
        return error.code === 'ESRCH';
      }
      return false;
    };
    const afterwards = {
      gone: async (mark) => {
        await until(() => marked(mark).length === 0, 'the marked processes are gone');
        await until(() => [...groups].every(empty), 'their process groups are gone', 10000);
        groups.clear();
      },
      there: (mark) => until(() => marked(mark).length > 0, 'a daemon goes on until its sandbox ends'),
      end: async (mark) => {
        await until(() => found(mark), 'the daemons run', 10000);
        const { code } = await wire.close();
        assert.equal(code, 0);
        ended();
        await afterwards.gone(mark);
      },
      kill: async (mark) => {
        await until(() => found(mark), 'the daemons run', 10000);
        wire.process.kill('SIGKILL');
        await wire.exited;
        ended();
        await afterwards.gone(mark);
      },
    };

    test('every message is valid', { skip: schemasMissing() }, () => {
      assert.deepEqual(judge([...records, ...(wire?.records ?? [])]).problems, []);
    });

    after(async () => {
      await wire?.close();
      lures?.clear();
    });
  });
}
