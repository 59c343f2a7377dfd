// The exec verb, as a shell user sees it.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { family, marked } from './lib/processes.mjs';
import { have, ordinaryUser, root, sandquay, scratch, skipSanitized, until } from './lib/product.mjs';

const directory = scratch('exec');
const state = path.join(directory, 'state');
const env = { ...process.env, XDG_STATE_HOME: state, TMPDIR: path.join(directory, 'tmp') };
mkdirSync(env.TMPDIR);
const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Starts exec; .done resolves to {code, signal, stdout, stderr} (Buffers joined). */
function start(args, { input, stdin = 'ignore', extra = {} } = {}) {
  const child = spawn(sandquay, ['exec', ...args], {
    env: { ...env, ...extra }, cwd: directory, stdio: [input === undefined ? stdin : 'pipe', 'pipe', 'pipe'] });
  const out = [];
  const err = [];
  child.stdout.on('data', (chunk) => out.push(chunk));
  child.stderr.on('data', (chunk) => err.push(chunk));
  child.done = new Promise((resolve) => child.on('close', (code, signal) =>
    resolve({ code, signal, bytes: Buffer.concat(out), stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })));
  child.firstOutput = new Promise((resolve) => child.stdout.once('data', resolve));
  child.firstError = new Promise((resolve) => child.stderr.once('data', resolve));
  if (input !== undefined) child.stdin.on('error', () => {}).end(input);
  return child;
}
const exec = (args, options) => start(args, options).done;

describe('exec', () => {
  test('stdout, stderr and the exit status are the command\'s', async () => {
    const run = await exec(['echo out; echo err >&2; exit 7']);
    assert.deepEqual([run.code, run.stdout, run.stderr], [7, 'out\n', 'err\n']);
  });

  test('several words are one command', async () => {
    assert.equal((await exec(['echo', 'a', 'b'])).stdout, 'a b\n');
  });

  test('128+n for a signal', async () => {
    assert.equal((await exec(['kill -SEGV $$'])).code, 139);
  });

  test('wrong use is 2', async () => {
    for (const args of [[], ['--timeout'], ['--timeout', 'soon', 'true'], ['--no-such-flag', 'true']]) {
      const { code, stderr } = await exec(args);
      assert.equal(code, 2, JSON.stringify(args));
      assert.notEqual(stderr, '');
    }
  });

  test('5 MB of anything in and out, exactly', async () => {
    const bytes = Buffer.from(Uint8Array.from({ length: 5 << 20 }, (_, i) => (i * 2654435761) >>> 13));
    const run = await exec(['cat'], { input: bytes });
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.bytes.length, bytes.length);
    assert.equal(sha(run.bytes), sha(bytes));
  });

  test('what is not UTF-8 stays as it is, on both streams', async () => {
    const run = await exec(['printf "\\377\\000\\302"; printf "\\376" >&2']);
    assert.deepEqual([...run.bytes], [255, 0, 194]);
  });

  test('end of file on stdin is passed on', async () => {
    const run = await exec(['cat; echo " and the end"'], { input: 'text' });
    assert.equal(run.stdout, 'text and the end\n');
    const none = await exec(['read -r line || echo none']);
    assert.equal(none.stdout, 'none\n');
  });

  test('a command that does not read its stdin', async () => {
    const run = await exec(['echo done'], { input: Buffer.alloc(4 << 20, 'x') });
    assert.deepEqual([run.code, run.stdout], [0, 'done\n']);
  });

  test('stdin that is open and silent does not keep it', async () => {
    const run = start(['echo done'], { stdin: 'pipe' });
    assert.equal((await run.done).stdout, 'done\n');
  });

  test('conversation: each line is answered before the next is sent', async () => {
    const run = start(['while read -r line; do echo "<$line>"; done'], { stdin: 'pipe' });
    for (const word of ['one', 'two', 'three']) {
      const answer = new Promise((resolve) => run.stdout.once('data', (data) => resolve(String(data))));
      run.stdin.write(`${word}\n`);
      assert.equal(await answer, `<${word}>\n`);
    }
    run.stdin.end();
    assert.equal((await run.done).code, 0);
  });

  test('output appears as it is produced', async () => {
    const run = start(['echo a; read -r line; echo b'], { stdin: 'pipe' });
    assert.equal(String(await run.firstOutput), 'a\n');
    run.stdin.end('go on\n');
    assert.equal((await run.done).stdout, 'a\nb\n');
  });

  test('200 MB arrive completely', { skip: skipSanitized }, async () => {
    const child = spawn(sandquay, ['exec', 'head -c 200000000 /dev/zero'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const hash = createHash('sha256');
    let length = 0;
    child.stdout.on('data', (chunk) => { hash.update(chunk); length += chunk.length; });
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.deepEqual([code, length], [0, 200000000]);
    assert.equal(hash.digest('hex'), sha(Buffer.alloc(200000000)));
  });

  test('a slow reader holds the command back, and gets everything', { skip: skipSanitized }, async () => {
    const child = spawn(sandquay, ['exec', 'seq 1 12000000'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const hash = createHash('sha256');
    let seen = 0;
    let pauses = 0;
    child.stdout.on('data', (chunk) => {
      hash.update(chunk);
      seen += chunk.length;
      if (seen > pauses * (16 << 20)) {
        pauses += 1;
        child.stdout.pause();
        setTimeout(() => child.stdout.resume(), 150);
      }
    });
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
    const control = spawn('seq', ['1', '12000000']);
    const right = createHash('sha256');
    for await (const chunk of control.stdout) right.update(chunk);
    assert.equal(hash.digest('hex'), right.digest('hex'));
  });

  test('a reader that goes away ends it with 141', async () => {
    const mark = `5${process.pid}4.25`;
    const run = start([`yes; sleep ${mark}`]);
    await run.firstOutput;
    run.stdout.destroy();
    const code = await new Promise((resolve) => run.on('exit', resolve));
    assert.equal(code, 141);
    await until(() => marked(mark).length === 0, 'the command is gone');
  });

  test('Ctrl-C reaches the command', async () => {
    const run = start(['trap "echo caught; exit 42" INT; echo ready; while :; do sleep 0.1; done']);
    await run.firstOutput;
    run.kill('SIGINT');
    const { code, stdout } = await run.done;
    assert.deepEqual([code, stdout], [42, 'ready\ncaught\n']);
  });

  test('Ctrl-C of a command that does not mind it: 130', async () => {
    const run = start(['echo ready; exec sleep 100']);
    await run.firstOutput;
    run.kill('SIGINT');
    assert.equal((await run.done).code, 130);
  });

  test('Ctrl-C twice ends everything', async () => {
    const mark = `5${process.pid}5.25`;
    const run = start([`trap "echo caught" INT; echo ready; sleep ${mark}; sleep ${mark}; sleep ${mark}`]);
    await run.firstOutput;
    const all = family(run.pid);
    const caught = new Promise((resolve) => run.stdout.once('data', resolve));
    run.kill('SIGINT');
    await caught;
    run.kill('SIGINT');
    assert.equal((await run.done).code, 130);
    await until(() => marked(mark).length === 0, 'the command is gone');
    assert.ok(all.length >= 2, 'exec has a server');
  });

  for (const signal of ['SIGTERM', 'SIGKILL']) {
    test(`${signal} leaves nothing`, async () => {
      const mark = `5${process.pid}${signal.length}.75`;
      const run = start([`setsid sleep ${mark} & echo ready; sleep ${mark}`]);
      await run.firstOutput;
      const all = family(run.pid);
      run.kill(signal);
      await new Promise((resolve) => (run.exitCode ?? run.signalCode) === null ? run.on('exit', resolve) : resolve());
      await until(() => marked(mark).length === 0 && !family(all.at(-1).pid).length, 'nothing is left');
    });
  }

  test('--timeout', async () => {
    const run = await exec(['--timeout', '500ms', 'echo a; sleep 100']);
    assert.deepEqual([run.code, run.stdout], [137, 'a\n']);
    assert.notEqual(run.stderr, '', 'it says why');
    assert.equal((await exec(['--timeout', '60s', 'echo in time'])).stdout, 'in time\n');
  });

  test('--env and --cwd; nothing of the own environment', async () => {
    const run = await exec(['--env', 'A=1 2', '--env', 'B=x=y', '--cwd', '/usr/lib', 'echo "$A,$B,$PWD,$SECRET"'], { extra: { SECRET: 'secret' } });
    assert.equal(run.stdout, '1 2,x=y,/usr/lib,\n');
    const missing = await exec(['--cwd', '/nowhere', 'true']);
    assert.equal(missing.code, 125);
    assert.match(missing.stderr, /nowhere/);
  });

  test('a missing command is 127', async () => {
    const run = await exec(['no-such-program-anywhere']);
    assert.equal(run.code, 127);
    assert.match(run.stderr, /not found/);
  });

  const absent = [['node', 'nodejs'], ['go', 'golang'], ['ruby', 'ruby'], ['php', 'php'], ['cargo', 'cargo'], ['java', 'jre']].find(([program]) => !have(program));
  test('a runtime that this machine lacks is told with its remedy', { skip: !absent && 'this machine has all of them' }, async () => {
    const run = await exec([`${absent[0]} --version`]);
    assert.equal(run.code, 127);
    assert.match(run.stderr, new RegExp(`install.*${absent[1]}|${absent[1]}.*install`, 'is'));
  });

  test('the example of the README', { skip: !(have('python3') && have('node')) && 'python3 or node is not installed' }, async () => {
    const run = await exec(['python3 -c "print(6*7)"; id; pwd; ls -la; sleep 1; echo done; exit 3']);
    assert.equal(run.code, 3, run.stderr);
    assert.match(run.stdout, /^42\nuid=0\(root\)[^]*\n\/workspace\n[^]*done\n$/);
  });
});

test('as an ordinary user: what leaves no process behind has no warning', { skip: !(root && have('setpriv')) && 'needs root and setpriv' }, async () => {
  const user = ordinaryUser();
  const run = (command) => new Promise((resolve) => {
    const [program, args] = user.command(user.sandquay, ['exec', command]);
    execFile(program, args, { env: user.env, cwd: user.home }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
  });
  for (const command of ['true', 'sleep 0.01 & wait']) {
    const { code, stderr } = await run(command);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /still running/, command);
  }
  assert.match((await run('sleep 100 > /dev/null 2>&1 &')).stderr, /still running/);
});

describe('exec --workspace', () => {
  const make = (name) => {
    const workspace = path.join(directory, name);
    mkdirSync(workspace);
    chmodSync(workspace, 0o755);
    writeFileSync(path.join(workspace, 'job.sh'), 'echo from the host\n');
    return workspace;
  };

  test('the directory is /workspace, in both directions', async () => {
    const workspace = make('own');
    const run = await exec(['--workspace', workspace, 'bash job.sh; echo made > new.txt; mkdir -p a/b; echo x > a/b/c']);
    assert.deepEqual([run.code, run.stdout], [0, 'from the host\n'], run.stderr);
    assert.equal(readFileSync(path.join(workspace, 'new.txt'), 'utf8'), 'made\n');
    assert.deepEqual(readdirSync(workspace).sort(), ['a', 'job.sh', 'new.txt']);
    assert.equal(statSync(path.join(workspace, 'new.txt')).uid, process.getuid());
  });

  test('a relative directory', async () => {
    make('relative');
    assert.equal((await exec(['--workspace', 'relative', 'ls'])).stdout, 'job.sh\n');
  });

  test('of another owner: root inside, that owner outside', { skip: !root && 'only root may' }, async () => {
    const workspace = make('foreign');
    chownSync(workspace, 1234, 1234);
    chownSync(path.join(workspace, 'job.sh'), 1234, 1234);
    const run = await exec(['--workspace', workspace, 'stat -c "%u %g" . job.sh; echo more >> job.sh; echo made > new.txt; mkdir dir; stat -c "%u %g" new.txt dir']);
    assert.deepEqual([run.code, run.stdout], [0, '0 0\n'.repeat(4)], run.stderr);
    for (const name of ['job.sh', 'new.txt', 'dir']) {
      const { uid, gid } = statSync(path.join(workspace, name));
      assert.deepEqual([name, uid, gid], [name, 1234, 1234]);
    }
  });

  test('links in it do not lead to the host', async () => {
    const workspace = make('links');
    writeFileSync(path.join(directory, 'outside.txt'), 'outside\n');
    const run = await exec(['--workspace', workspace, `cat ../outside.txt ${path.join(directory, 'outside.txt')}; ls -A ..`]);
    assert.doesNotMatch(run.stdout, /outside/);
  });

  test('a directory that is not there', async () => {
    const run = await exec(['--workspace', path.join(directory, 'nowhere'), 'true']);
    assert.equal(run.code, 125);
    assert.match(run.stderr, /nowhere/);
  });
});

describe('exec --sandbox', () => {
  test('keeps files between runs', async () => {
    assert.equal((await exec(['--sandbox', 'kept', 'echo one > a.txt; echo two > ~/b.txt'])).code, 0);
    const second = await exec(['--sandbox', 'kept', 'cat a.txt ~/b.txt']);
    assert.deepEqual([second.code, second.stdout], [0, 'one\ntwo\n'], second.stderr);
    assert.notEqual((await exec(['cat a.txt'])).code, 0, 'another sandbox does not see them');
  });

  test('one process at a time holds it; the next is told which', async () => {
    const first = start(['--sandbox', 'held', 'echo ready; cat'], { stdin: 'pipe' });
    await first.firstOutput;
    const second = await exec(['--sandbox', 'held', 'echo never']);
    assert.equal(second.code, 125);
    assert.equal(second.stdout, '');
    const told = second.stderr.match(/\b\d{2,}\b/g)?.map(Number) ?? [];
    assert.ok(family(first.pid).some(({ pid }) => told.includes(pid)), second.stderr);
    first.stdin.end();
    assert.equal((await first.done).code, 0);
    assert.equal((await exec(['--sandbox', 'held', 'echo free'])).stdout, 'free\n');
  });

  test('the lock survives no crash', async () => {
    const first = start(['--sandbox', 'crashed', 'echo x > kept.txt; echo ready; sleep 100']);
    await first.firstOutput;
    first.kill('SIGKILL');
    await first.done;
    const second = await until(async () => {
      const run = await exec(['--sandbox', 'crashed', 'cat kept.txt']);
      return run.code === 0 && run;
    }, 'it is free again');
    assert.equal(second.stdout, 'x\n');
  });

  test('a bad name is refused', async () => {
    for (const name of ['../x', 'a/b', '', '.']) {
      const { code, stderr } = await exec(['--sandbox', name, 'true']);
      assert.ok(code === 2 || code === 125, `${JSON.stringify(name)}: ${code}`);
      assert.notEqual(stderr, '');
    }
  });
});

test('nothing is left in TMPDIR', () => assert.deepEqual(readdirSync(env.TMPDIR), []));
