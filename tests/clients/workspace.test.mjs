// A host directory as /workspace, and one that is looked at before it is touched; as root and as an
// ordinary user.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, lchownSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { owners } from './lib/owners.mjs';
import { root, until } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';

const wires = [];
after(() => {
  for (const wire of wires) if (wire.process.exitCode === null) wire.process.kill('SIGKILL');
});

for (const owner of owners('workspace')) {
  let counter = 0;
  const own = (file) => { if (owner.uid !== undefined) lchownSync(file, owner.uid, owner.uid); };
  /** A directory of the owner's with {name: content}; a content of null is a directory, {link} a link. */
  const make = (files = {}) => {
    const directory = path.join(owner.home, `ws${++counter}`);
    mkdirSync(directory);
    own(directory);
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(directory, name);
      if (content === null) mkdirSync(file);
      else if (typeof content === 'object') symlinkSync(content.link, file);
      else writeFileSync(file, content);
      own(file);
    }
    return directory;
  };
  const serve = (directory, ...more) => {
    const [program, args] = owner.command(['serve', '--workspace', directory, '--workspace-mode', 'overlay', ...more]);
    return open(program, args);
  };
  const open = async (program, args) => {
    const wire = await connect({ program, args, env: owner.env });
    wires.push(wire);
    return wire;
  };
  const exec = (...args) => new Promise((resolve) => {
    const [program, all] = owner.command(['exec', ...args]);
    const child = spawn(program, all, { env: owner.env, cwd: owner.home, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '', stderr = '';
    child.stdout.on('data', (text) => { stdout += text; });
    child.stderr.on('data', (text) => { stderr += text; });
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  const changes = async (wire, action) => {
    const result = await wire.tool('workspace_changes', { action });
    if (result.isError) throw Object.assign(new Error(result.content[0].text), JSON.parse(result.content[0].text));
    return result.structuredContent.changes.map(({ kind, path: name }) => `${kind} ${name}`).sort();
  };
  /** What a directory holds: {name: 'mode content'}. */
  const snapshot = (directory, below = '') => Object.assign({}, ...readdirSync(path.join(directory, below)).map((name) => {
    const file = path.join(below, name);
    const st = lstatSync(path.join(directory, file));
    const mode = (st.mode & 0o777).toString(8);
    if (st.isSymbolicLink()) return { [file]: `-> ${readlinkSync(path.join(directory, file))}` };
    if (st.isDirectory()) return { [file]: `${mode} directory`, ...snapshot(directory, file) };
    return { [file]: `${mode} ${st.isFile() ? readFileSync(path.join(directory, file), 'utf8') : 'special'}` };
  }));
  const before = { a: 'one\n', b: 'two\n', d: null, 'd/x': 'x\n', 'd/e': null, 'd/e/y': 'y\n', same: 'same\n', l: { link: 'a' }, was: 'a file\n', had: null, 'had/z': 'z\n' };
  const script = `echo new > n; echo more >> a; rm b; rm -r d; mkdir d; echo z > d/z; ln -sf n l; mkdir -p q/w; echo q > q/w/f; chmod 750 q/w/f
    touch same; echo same > same; rm was; mkdir was; echo i > was/i; rm -r had; echo file > had; mkfifo pipe; chmod 700 n`;
  const expected = ['A d/z', 'A n', 'A pipe', 'A q/', 'A q/w/', 'A q/w/f', 'A was/i', 'D b', 'D d/e/', 'D d/x', 'M a', 'M had', 'M l', 'M was/'];

  describe(`a workspace that is looked at, of ${owner.name}`, () => {
    test('changes are listed, committed, and then no changes', async () => {
      const directory = make(before);
      const was = snapshot(directory);
      const wire = await serve(directory);
      assert.deepEqual(await changes(wire), []);
      assert.equal((await wire.run(script)).exitCode, 0);
      assert.deepEqual(await changes(wire), expected);
      assert.deepEqual(snapshot(directory), was, 'nothing has reached it');
      assert.deepEqual(await changes(wire, 'commit'), expected);
      assert.deepEqual(snapshot(directory), {
        a: '644 one\nmore\n', n: '700 new\n', d: '755 directory', 'd/z': '644 z\n', l: '-> n', q: '755 directory', 'q/w': '755 directory',
        'q/w/f': '750 q\n', same: '644 same\n', was: '755 directory', 'was/i': '644 i\n', had: '644 file\n', pipe: '644 special',
      });
      for (const name of ['n', 'd/z', 'q/w', 'l']) assert.equal(lstatSync(path.join(directory, name)).uid, owner.uid ?? process.getuid());
      assert.deepEqual(await changes(wire), []);
      const { stdout } = await wire.run('cat a d/z q/w/f was/i had; ls');
      assert.equal(stdout, 'one\nmore\nz\nq\ni\nfile\na\nd\nhad\nl\nn\npipe\nq\nsame\nwas\n', 'inside it looks the same');
      await wire.run('echo again >> a; rm -r d; echo b > b');
      assert.deepEqual(await changes(wire, 'commit'), ['A b', 'D d/', 'M a']);
      assert.equal(readFileSync(path.join(directory, 'a'), 'utf8'), 'one\nmore\nagain\n');
      await wire.close();
    });

    test('discard brings back what was', async () => {
      const directory = make(before);
      const was = snapshot(directory);
      const wire = await serve(directory);
      const inside = 'find . -printf "%P %m %y %l\\n" | sort; find . -type f | sort | xargs cat';
      const first = (await wire.run(inside)).stdout;
      await wire.run(script);
      assert.deepEqual(await changes(wire, 'discard'), expected.filter((one) => !/^A (q|was)\/./.test(one)), 'directories go as a whole');
      assert.equal((await wire.run(inside)).stdout, first);
      assert.deepEqual(await changes(wire), []);
      assert.deepEqual(snapshot(directory), was);
      await wire.close();
    });

    test('what runs stands still meanwhile, and goes on', async () => {
      const directory = make();
      const wire = await serve(directory);
      await wire.run('i=0; while :; do i=$((i+1)); echo $i > one; echo $i > two; done &\nwhile ! [ -s two ]; do :; done');
      for (let i = 0; i < 20; i++) {
        await changes(wire, 'commit');
        const [one, two] = ['one', 'two'].map((name) => Number(readFileSync(path.join(directory, name), 'utf8') || NaN));
        assert.ok(Number.isNaN(one) || Number.isNaN(two) || one === two || one === two + 1, `${one} and ${two} are of one moment`);
      }
      const seen = async () => (await wire.run('cat two')).stdout;
      const last = await seen();
      await until(async () => (await seen()) !== last, 'the writer goes on');
      await wire.close();
    });

    test('no link leads a commit elsewhere', async () => {
      const victim = make({ file: 'mine\n' });
      const directory = make({ out: { link: victim }, dir: null });
      const wire = await serve(directory);
      const run = await wire.run(`rm out; mkdir out; echo hacked > out/file; rmdir dir; ln -s ${victim} dir; ln -s ${victim}/file link; mkdir deep; ln -s ${victim} deep/er`);
      assert.equal(run.exitCode, 0);
      await changes(wire, 'commit');
      assert.deepEqual(snapshot(victim), { file: '644 mine\n' });
      assert.equal(readFileSync(path.join(directory, 'out/file'), 'utf8'), 'hacked\n');
      assert.equal(readlinkSync(path.join(directory, 'dir')), victim);
      await wire.run('rm link dir; echo x > link; mkdir dir; echo y > dir/file');
      await changes(wire, 'commit');
      assert.deepEqual(snapshot(victim), { file: '644 mine\n' });
      await wire.close();
    });

    test('a named sandbox keeps its changes, through a snapshot too', async () => {
      const directory = make({ a: 'one\n' });
      let wire = await serve(directory, '--sandbox', 'looked', '--toolsets', 'lifecycle');
      await wire.run('echo two > a; echo n > n');
      await wire.close();
      wire = await serve(directory, '--sandbox', 'looked', '--toolsets', 'lifecycle');
      assert.deepEqual(await changes(wire), ['A n', 'M a']);
      const { isError } = await wire.tool('sandbox_snapshot', { sandbox: 'looked' });
      assert.ok(!isError);
      assert.equal((await wire.run('cat a n')).stdout, 'two\nn\n');
      assert.deepEqual(await changes(wire, 'commit'), ['A n', 'M a']);
      assert.equal(readFileSync(path.join(directory, 'a'), 'utf8'), 'two\n');
      await wire.close();
    });

    test('a great many changes', async () => {
      const wire = await serve(make());
      await wire.run('for i in $(seq 12000); do : > f$i; done', { timeoutMs: 60000 });
      const { structuredContent } = await wire.tool('workspace_changes', {});
      assert.equal(structuredContent.total, 12000);
      assert.equal(structuredContent.truncated, true);
      assert.ok(structuredContent.changes.length > 1000);
      await wire.close();
    });

    test('one that cannot be committed is told, and stays a change', { skip: owner.root && 'root can write everywhere' }, async () => {
      const directory = make({ locked: null, free: 'f\n' });
      chmodSync(path.join(directory, 'locked'), 0o555);
      const wire = await serve(directory);
      await wire.run('echo x >> free');
      await wire.run('chmod 755 locked; echo x > locked/new; chmod 555 locked');
      chmodSync(directory, 0o555);
      await assert.rejects(changes(wire, 'commit'), ({ cause, remedy }) => /workspace, at/.test(cause) && Boolean(remedy));
      chmodSync(directory, 0o755);
      assert.ok((await changes(wire)).length > 0);
      await wire.close();
    });

    test('exec lists them, and --commit writes them', async () => {
      const directory = make({ a: 'one\n' });
      const shown = await exec('--workspace', directory, '--workspace-mode', 'overlay', 'echo two > a; echo out');
      assert.deepEqual([shown.code, shown.stdout], [0, 'out\n']);
      assert.match(shown.stderr, /^M a\n.*--commit/m);
      const failed = await exec('--workspace', directory, '--workspace-mode', 'overlay', '--commit', 'echo two > a; exit 3');
      assert.equal(failed.code, 3);
      assert.equal(readFileSync(path.join(directory, 'a'), 'utf8'), 'one\n');
      const done = await exec('--workspace', directory, '--workspace-mode', 'overlay', '--commit', 'echo two > a');
      assert.equal(done.code, 0, done.stderr);
      assert.equal(readFileSync(path.join(directory, 'a'), 'utf8'), 'two\n');
      assert.match((await exec('--workspace', directory, '--workspace-mode', 'overlay', 'true')).stderr, /nothing .* changed/);
    });
  });

  describe(`other workspaces of ${owner.name}`, () => {
    test('modes', async () => {
      const directory = make({ a: 'one\n' });
      const readonly = await exec('--workspace', directory, '--workspace-mode', 'readonly', 'cat a; echo x > b');
      assert.equal(readonly.stdout, 'one\n');
      assert.equal(readonly.code, 1);
      assert.ok(!existsSync(path.join(directory, 'b')));
      assert.equal((await exec('--workspace', directory, '--workspace-mode', 'write', 'echo x > b')).code, 0);
      assert.equal(statSync(path.join(directory, 'b')).uid, owner.uid ?? process.getuid());
    });

    test('what is refused, with the remedy', async () => {
      const directory = make();
      symlinkSync(directory, `${directory}-link`);
      writeFileSync(`${directory}-file`, '');
      const refused = [
        [['--workspace', '/'], /root of this machine/], [['--workspace', `${directory}-link`], /symbolic link.*--workspace/],
        [['--workspace', `${directory}-file`], /not a directory/], [['--workspace', `${directory}-none`], /no such directory/i],
        [['--workspace-mode', 'overlay'], /without --workspace/], [['--workspace', directory, '--workspace-mode', 'often'], /none of write, readonly, overlay/],
        [['--commit'], /--workspace-mode overlay/],
      ];
      if (root && owner.uid !== undefined) refused.push([['--workspace', '/usr/local'], /belongs to user 0/]);
      for (const [flags, pattern] of refused) {
        const { code, stderr } = await exec(...flags, 'echo never');
        assert.ok(code === 2 || code === 125, `${flags}: ${code} ${stderr}`);
        assert.match(stderr, pattern);
      }
      assert.deepEqual(readdirSync(directory), []);
    });

    test('further directories, with --mount', async () => {
      const one = make({ f: 'one\n' }), two = make({ f: 'two\n' }), workspace = make();
      const both = ['--mount', `${one}:/mnt/one`, '--mount', `${two}:/data/two:ro`, '--workspace', workspace];
      const { code, stdout, stderr } = await exec(...both, 'cat /mnt/one/f /data/two/f; echo 1 >/mnt/one/new; stat -c %U /mnt/one/new; touch /data/two/new; pwd');
      assert.deepEqual([code, stdout], [0, 'one\ntwo\nroot\n/workspace\n'], stderr);
      assert.match(stderr, /Read-only file system/);
      assert.equal(statSync(path.join(one, 'new')).uid, owner.uid ?? process.getuid());
      assert.deepEqual(readdirSync(two), ['f']);
      const suid = await exec('--mount', `${one}:/mnt/one`, 'chmod u+s /mnt/one/new');
      assert.equal(suid.code, 1, 'no set-id bits on the host');
      const kept = await exec('--sandbox', 'mounted', '--mount', `${one}:/mnt/one`, 'ln -s /etc /mnt/two; cat /mnt/one/f');
      assert.equal(kept.stdout, 'one\n');
      const again = await exec('--sandbox', 'mounted', '--mount', `${two}:/mnt/two`, 'cat /mnt/two/f; readlink /mnt/two.displaced; ls /mnt/one');
      assert.equal(again.stdout, 'two\n/etc\n', 'what code arranged leads nowhere else, and a mount is of one run');
      for (const [mount, pattern] of [
        [`${one}:/usr/x`, /the system is there/], ['/:/mnt/x', /root of this machine/], [`${one}-none:/mnt/x`, /No such file/],
        [`${one}:/workspace`, /that is the workspace/], [`${one}:/mnt/../x`, /absolute path/], [one, /of the form HOST:INSIDE/], [`${one}:x`, /of the form HOST:INSIDE/],
      ]) {
        const refused = await exec('--mount', mount, 'true');
        assert.match(refused.stderr, pattern);
        assert.ok(refused.code === 2 || refused.code === 125, mount);
      }
      const nested = await exec('--mount', `${one}:/mnt/a`, '--mount', `${two}:/mnt/a/b`, 'true');
      assert.match(nested.stderr, /another mount is there/);
      if (root && owner.uid !== undefined) assert.match((await exec('--mount', '/usr/local:/mnt/x', 'true')).stderr, /belongs to user 0.*:ro/);
      assert.deepEqual(readdirSync(one).sort(), ['f', 'new']);
    });

    test('the tool is there only where it is of use', async () => {
      const [program, args] = owner.command(['serve']);
      const wire = await open(program, args);
      const { tools } = await wire.request('tools/list');
      assert.ok(!tools.some(({ name }) => name === 'workspace_changes'));
      assert.ok(JSON.stringify(tools).length < 12000);
      await wire.close();
      const [, more] = owner.command(['serve', '--toolsets', 'workspace']);
      const other = await open(program, more);
      const answer = await other.tool('workspace_changes', {});
      assert.equal(JSON.parse(answer.content[0].text).code, 'INVALID');
      await other.close();
    });
  });
}
