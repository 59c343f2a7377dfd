// Another system as the root of sandboxes: --image and `sandquay image`, as root and as an ordinary user.
// The system is a small one of this machine's own programs; what mmdebstrap makes is a tar like any other.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, realpathSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { owners } from './lib/owners.mjs';
import { have, root, scratch } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';

const PROGRAMS = ['bash', 'cat', 'id', 'ls', 'mkdir', 'stat', 'touch'];
const wires = [];
after(() => {
  for (const wire of wires) if (wire.process.exitCode === null) wire.process.kill('SIGKILL');
});

/** A directory with bash, a few programs, their libraries and a name of its own. */
function system() {
  const directory = scratch('system');
  const put = (from, to) => {
    mkdirSync(path.join(directory, path.dirname(to)), { recursive: true });
    copyFileSync(realpathSync(from), path.join(directory, to));
  };
  for (const name of PROGRAMS) {
    const file = execFileSync('which', [name], { encoding: 'utf8' }).trim();
    put(file, `usr/bin/${name}`);
    for (const [, library] of execFileSync('ldd', [file], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)) put(library, path.join('usr', library.replace(/^\/usr/, '')));
  }
  for (const name of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, path.join(directory, name));
  mkdirSync(path.join(directory, 'etc'));
  mkdirSync(path.join(directory, 'tmp'));
  writeFileSync(path.join(directory, 'etc/os-release'), 'PRETTY_NAME="Quay 7"\n');
  symlinkSync('/run/elsewhere/resolv.conf', path.join(directory, 'etc/resolv.conf'));
  writeFileSync(path.join(directory, 'usr/own'), 'of the image\n');
  return directory;
}

const original = system();
const tars = scratch('tars');
execFileSync('chmod', ['755', original, tars]);
const tar = (name, ...args) => {
  const file = path.join(tars, name);
  execFileSync('tar', ['-C', original, '-P', '-cf', file, ...args]);
  return file;
};
const plain = tar('plain.tar', '.');
const gzip = tar('plain.tar.gz', '-z', '.');

for (const owner of owners('image')) {
  describe(`images of ${owner.name}`, () => {
    const directory = path.join(owner.home, 'system');
    execFileSync('cp', ['-a', original, directory]);
    if (owner.uid !== undefined) execFileSync('chown', ['-Rh', `${owner.uid}:${owner.uid}`, directory]);
    const run = (...words) => new Promise((resolve) => {
      const [program, args] = owner.command(words);
      const child = spawn(program, args, { env: owner.env, cwd: owner.home, stdio: ['ignore', 'pipe', 'pipe'] });
      let stdout = '', stderr = '';
      child.stdout.on('data', (text) => { stdout += text; });
      child.stderr.on('data', (text) => { stderr += text; });
      child.on('close', (code) => resolve({ code, stdout, stderr }));
    });
    const ok = async (...words) => {
      const { code, stdout, stderr } = await run(...words);
      assert.equal(code, 0, `${words.join(' ')}: ${stderr}`);
      return stdout;
    };
    const list = async () => JSON.parse(await ok('image', 'list', '--json')).images;

    test('a directory, a tar and a compressed one are the root', async () => {
      for (const image of [directory, plain, gzip]) {
        const said = await ok('exec', '--image', image, 'cat /usr/own; id -u; [ -e /usr/bin/tar ] || echo nothing of the host; cat /etc/resolv.conf');
        assert.match(said, /^of the image\n0\nnothing of the host\nnameserver 127\.0\.0\.1\n/, image);
      }
      assert.equal((await list()).length, 2, 'archives are unpacked once');
      const again = await run('exec', '--image', plain, 'cat /usr/own');
      assert.doesNotMatch(again.stderr, /unpacking/);
    });

    test('what is written over it stays in the sandbox', async () => {
      await ok('exec', '--image', directory, 'echo changed >/usr/own; touch /usr/bin/more');
      assert.equal(await ok('exec', '--image', directory, 'cat /usr/own; ls /usr/bin'), `of the image\n${PROGRAMS.join('\n')}\n`);
      assert.deepEqual(readdirSync(path.join(directory, 'usr/bin')).sort(), PROGRAMS);
    });

    test('a named sandbox goes on with the image that it began with', async () => {
      await ok('exec', '--image', directory, '--sandbox', 'quay', 'echo kept >/usr/mine');
      assert.equal(await ok('exec', '--sandbox', 'quay', 'cat /usr/own /usr/mine'), 'of the image\nkept\n');
      await ok('exec', '--sandbox', 'plainly', 'true');
      assert.equal(await ok('exec', '--image', directory, '--sandbox', 'plainly', '[ -e /usr/own ] || echo still the host'), 'still the host\n');
      await ok('rm', 'quay', 'plainly');
    });

    test('snapshots lie upon it; it is told what it is', async () => {
      const [program, args] = owner.command(['serve', '--image', directory, '--toolsets', 'default,lifecycle']);
      const wire = await connect({ program, args, env: owner.env });
      wires.push(wire);
      const ask = async (name, wanted) => {
        const result = await wire.tool(name, wanted);
        assert.ok(!result.isError, result.content[0].text);
        return result.structuredContent;
      };
      const made = await ask('sandbox_create', { name: 'below' });
      assert.equal(made.os, 'Quay 7');
      await ask('execute_command', { sandbox: 'below', command: 'echo 1 >/usr/one' });
      const { snapshot } = await ask('sandbox_snapshot', { sandbox: 'below' });
      await ask('sandbox_create', { name: 'above', snapshot });
      const { stdout } = await ask('execute_command', { sandbox: 'above', command: 'cat /usr/one /usr/own' });
      assert.equal(stdout, '1\nof the image\n');
      for (const sandbox of ['below', 'above']) await ask('sandbox_stop', { sandbox, delete: true });
      await ask('sandbox_snapshot', { action: 'delete', snapshot });
      await wire.close();
    });

    test('sandquay image: add, list, rm', async () => {
      const images = path.join(owner.env.XDG_STATE_HOME, 'sandquay/images');
      const abandoned = path.join(images, '.new-killed');
      mkdirSync(path.join(abandoned, 'root'), { recursive: true });
      utimesSync(abandoned, 1, 1);
      for (const made of [images, abandoned, path.join(abandoned, 'root')]) owner.own(made);
      await ok('image', 'add', plain, 'small');
      assert.ok(!existsSync(abandoned), 'what a crash has left is removed');
      execFileSync('chmod', ['777', images]);
      const open = await run('image', 'add', plain, 'other');
      assert.deepEqual([open.code, /others may write to it/.test(open.stderr)], [1, true], open.stderr);
      execFileSync('chmod', ['700', images]);
      const row = (await list()).find((one) => one.name === 'small');
      assert.equal(row.source, realpathSync(plain));
      assert.equal(await ok('exec', '--image', 'small', 'cat /usr/own'), 'of the image\n');
      const twice = await run('image', 'add', plain, 'small');
      assert.deepEqual([twice.code, /there is an image small/.test(twice.stderr)], [1, true]);
      const [program, args] = owner.command(['serve', '--image', 'small']);
      const wire = await connect({ program, args, env: owner.env });
      wires.push(wire);
      const used = await run('image', 'rm', 'small');
      assert.deepEqual([used.code, /a server uses the image/.test(used.stderr)], [1, true], used.stderr);
      await wire.close();
      await ok('image', 'rm', 'small');
      assert.ok(!existsSync(row.path));
      const gone = await run('exec', '--image', 'small', 'true');
      assert.match(gone.stderr, /there is no image small; `sandquay image list`/);
    });

    test('an archive leads nowhere else', async () => {
      const escape = path.join(owner.home, 'escaped');
      writeFileSync(path.join(tars, 'payload'), 'payload');
      const evil = path.join(tars, `evil-${owner.name.replaceAll(' ', '-')}.tar`);
      execFileSync('tar', ['-C', original, '-P', '-cf', evil, '.']);
      execFileSync('tar', ['-C', tars, '-P', '-rf', evil, '--transform', `s,^payload$,../../../../../../..${escape},`, 'payload']);
      execFileSync('tar', ['-C', tars, '-P', '-rf', evil, '--transform', `s,^payload$,${escape},`, 'payload']);
      symlinkSync(owner.home, path.join(tars, 'way'));
      execFileSync('tar', ['-C', tars, '-P', '-rf', evil, 'way']);
      execFileSync('tar', ['-C', tars, '-P', '-rf', evil, '--transform', 's,^payload$,way/escaped,', 'payload']);
      execFileSync('rm', [path.join(tars, 'way')]);
      await run('exec', '--image', evil, 'true');
      assert.ok(!existsSync(escape), 'nothing was written outside');
    });

    test('of somebody else', { skip: owner.uid === undefined && 'root may use all' }, async () => {
      const { code, stderr } = await run('exec', '--image', original, 'true');
      assert.match(stderr, /belongs to user 0, not to you; copy it/);
      assert.equal(code, 125);
    });

    test('bad images are refused, and nothing is left of them', async () => {
      const before = (await list()).map((one) => one.name);
      const broken = path.join(tars, 'broken.tar.gz');
      writeFileSync(broken, execFileSync('head', ['-c', '100000', gzip]));
      const empty = path.join(tars, 'empty.tar');
      execFileSync('tar', ['-C', tars, '-cf', empty, 'payload']);
      for (const [image, message] of [
        ['nope', /there is no image nope/], ['./nope', /No such file/], ['/', /this machine's own root/],
        ['/etc/passwd', /neither a tar nor a squashfs/], ['/var', /has no \/bin\/bash/],
        [broken, /could not be unpacked/], [empty, /has no \/bin\/bash/],
      ]) {
        const { code, stderr } = await run('exec', '--image', image, 'true');
        assert.match(stderr, message);
        assert.notEqual(code, 0, image);
      }
      assert.deepEqual((await list()).map((one) => one.name), before);
      const images = path.join(owner.env.XDG_STATE_HOME ?? path.join(owner.env.HOME, '.local/state'), 'sandquay/images');
      assert.deepEqual(readdirSync(images).filter((name) => name.startsWith('.')), []);
    });

    test('a squashfs', { skip: !have('mksquashfs') && 'there is no mksquashfs' }, async () => {
      const file = path.join(tars, `${owner.name.replaceAll(' ', '-')}.squashfs`);
      execFileSync('mksquashfs', [directory, file, '-quiet', '-no-progress', '-all-root'], { stdio: 'ignore' });
      assert.equal(await ok('exec', '--image', file, 'cat /usr/own'), 'of the image\n');
    });

    test('sandquay image build says what is missing', async () => {
      const [program, args] = owner.command(['image', 'build', 'some']);
      const child = spawn('env', ['PATH=/nonexistent', execFileSync('which', [program], { encoding: 'utf8' }).trim(), ...args], { env: owner.env, cwd: owner.home });
      let stderr = '';
      child.stderr.on('data', (text) => { stderr += text; });
      const code = await new Promise((resolve) => { child.on('close', resolve); });
      assert.equal(code, 1);
      assert.match(stderr, /mmdebstrap is missing; apt-get install mmdebstrap/);
    });
  });
}
