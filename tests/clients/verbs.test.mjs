// The verbs that look after named sandboxes: sandboxes, stop, rm, cp; as root and as an ordinary user.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { owners } from './lib/owners.mjs';

for (const owner of owners('verbs')) {
  const place = path.join(owner.home, 'place');
  mkdirSync(place);
  owner.own(place);
  /** Runs a verb in `place`; resolves to {code, stdout, stderr}. */
  const run = (...args) => new Promise((resolve) => {
    const [program, all] = owner.command(args);
    const child = spawn(program, all, { env: owner.env, cwd: place, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '', stderr = '';
    child.stdout.on('data', (text) => { stdout += text; });
    child.stderr.on('data', (text) => { stderr += text; });
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  const fine = async (...args) => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const refused = async (code, pattern, ...args) => {
    const answer = await run(...args);
    assert.equal(answer.code, code, `${args.join(' ')}: ${answer.stdout}${answer.stderr}`);
    assert.match(answer.stderr, pattern);
  };
  const file = (name) => path.join(place, name);
  const write = (name, content, mode = 0o644) => {
    writeFileSync(file(name), content);
    chmodSync(file(name), mode);
    owner.own(file(name));
  };

  describe(`verbs of ${owner.name}`, () => {
    test('sandboxes, stop, rm', async () => {
      assert.equal(await fine('sandboxes'), '');
      await fine('exec', '--sandbox', 'one', 'true');
      await fine('exec', '--sandbox', 'two', 'true');
      assert.match(await fine('sandboxes'), /^NAME.*\none +stopped .*\ntwo +stopped .*\n$/);
      const { sandboxes } = JSON.parse(await fine('sandboxes', '--json'));
      assert.deepEqual(sandboxes.map(({ sandbox }) => sandbox), ['one', 'two']);
      assert.equal(await fine('stop', 'one'), 'one\n');
      const some = await run('rm', 'one', 'nobody', 'two');
      assert.deepEqual([some.code, some.stdout], [1, 'one\ntwo\n']);
      assert.match(some.stderr, /nobody/);
      assert.equal(await fine('sandboxes'), '');
    });

    test('one that another server runs', async () => {
      const [program, args] = owner.command(['exec', '--sandbox', 'held', 'echo ready; cat']);
      const child = spawn(program, args, { env: owner.env, stdio: ['pipe', 'pipe', 'inherit'] });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const [, pid] = /^held +running .* (\d+)$/m.exec(await fine('sandboxes'));
      for (const verb of ['stop', 'rm']) await refused(1, new RegExp(`held by process ${pid}`), verb, 'held');
      child.stdin.end();
      await new Promise((resolve) => child.on('close', resolve));
      await fine('rm', 'held');
    });

    test('wrong use is 2', async () => {
      for (const args of [['stop'], ['rm'], ['cp'], ['cp', 'a'], ['cp', 'a', 'b'], ['cp', 'x:a', 'x:b'], ['sandboxes', 'x'], ['rm', '--no-such-flag', 'x']]) {
        await refused(2, /./, ...args);
      }
      for (const verb of ['sandboxes', 'stop', 'rm', 'cp']) assert.match(await fine(verb, '--help'), new RegExp(`^sandquay ${verb}`));
      await refused(1, /not a sandbox name/, 'rm', 'a/b');
    });

    test('cp of a file', async () => {
      const bytes = Buffer.from(Array.from({ length: 70000 }, (_, i) => i * 7 % 256));
      write('data.bin', bytes, 0o750);
      await fine('cp', 'data.bin', 'box:');
      await fine('cp', 'data.bin', 'box:new/place/');
      await fine('cp', file('data.bin'), 'box:/tmp/gone');
      await fine('cp', 'data.bin', 'box:other name');
      assert.equal(await fine('exec', '--sandbox', 'box', 'stat -c "%n %s %a %u" data.bin new/place/data.bin "other name"'),
        'data.bin 70000 750 0\nnew/place/data.bin 70000 750 0\nother name 70000 750 0\n');
      await fine('cp', 'box:data.bin', 'back.bin');
      assert.deepEqual(readFileSync(file('back.bin')), bytes);
      assert.equal(statSync(file('back.bin')).mode & 0o777, 0o750);
      mkdirSync(file('into'));
      owner.own(file('into'));
      await fine('cp', 'box:/workspace/new/place/data.bin', 'into');
      assert.deepEqual(readdirSync(file('into')), ['data.bin']);
      await fine('cp', 'box:data.bin', 'second:');
      assert.equal(await fine('exec', '--sandbox', 'second', 'ls'), 'data.bin\n');
      await fine('rm', 'second');
    });

    test('cp of a directory', async () => {
      mkdirSync(path.join(file('tree'), 'a/b'), { recursive: true });
      for (const name of ['tree', 'tree/a', 'tree/a/b']) owner.own(file(name));
      write('tree/a/b/c', 'deep\n');
      write('tree/run', '#!/bin/sh\n', 0o755);
      symlinkSync('../outside', file('tree/link'));
      await fine('cp', 'tree', 'box:copy');
      await fine('cp', './tree/', 'box:copy');
      assert.equal(await fine('exec', '--sandbox', 'box', 'cd copy; find . | LC_ALL=C sort; readlink link; stat -c %a run; cat a/b/c'),
        './a\n./a/b\n./a/b/c\n./link\n./run\n./tree\n./tree/a\n./tree/a/b\n./tree/a/b/c\n./tree/link\n./tree/run\n'.replace(/^/, '.\n') + '../outside\n755\ndeep\n');
      await fine('cp', 'box:copy', 'back');
      assert.deepEqual(readdirSync(file('back')).sort(), ['a', 'link', 'run', 'tree']);
      assert.equal(readFileSync(file('back/a/b/c'), 'utf8'), 'deep\n');
      assert.equal(readlinkSync(file('back/link')), '../outside');
      assert.equal(statSync(file('back')).uid, owner.uid ?? process.getuid());
    });

    test('cp of a tar stream', async () => {
      await fine('exec', '--sandbox', 'box', 'mkdir -p /srv/t; echo in > /srv/t/f; echo x > /etc/own');
      const [program, args] = owner.command([]);
      const product = [program, ...args].join(' ');
      const shell = (command) => new Promise((resolve) => {
        spawn('bash', ['-c', command.replaceAll('sandquay', product)], { env: owner.env, cwd: place, stdio: 'inherit' }).on('close', resolve);
      });
      assert.equal(await shell('sandquay cp box:/srv/t - > t.tar && tar -tf t.tar | grep -qx ./f && sandquay cp - imported:/srv/t < t.tar'), 0);
      assert.equal(await fine('exec', '--sandbox', 'imported', 'cat /srv/t/f'), 'in\n');
      assert.equal(await shell('sandquay cp box:/ - | sandquay cp - imported:/'), 0);
      assert.equal(await fine('exec', '--sandbox', 'imported', 'cat /etc/own'), 'x\n');
      await fine('rm', 'imported');
      await refused(1, /not a directory/, 'cp', 'box:/etc/own', '-');
    });

    test('a hostile directory does not lead elsewhere', async () => {
      write('victim', 'mine\n');
      // tar of the sandbox's own, which answers with a link and then writes through it
      await fine('exec', '--sandbox', 'box', `mkdir -p evil ~/.local/bin; cat > ~/.local/bin/tar <<'EOF'
#!/bin/bash
cd "$(mktemp -d)"; ln -s ${place} out; /usr/bin/tar -cf a.tar out; rm out; mkdir out; echo hacked > out/victim
/usr/bin/tar -rf a.tar out/victim; /usr/bin/tar -rPf a.tar --transform 's|^out|../../${place}|' out/victim; cat a.tar
EOF
chmod 755 ~/.local/bin/tar`);
      await run('cp', 'box:evil', 'evil');
      assert.equal(readFileSync(file('victim'), 'utf8'), 'mine\n');
      await fine('exec', '--sandbox', 'box', 'rm ~/.local/bin/tar');
    });

    test('cp of what is not there makes nothing', async () => {
      await refused(1, /nobody/, 'cp', 'nobody:file', '.');
      await refused(1, /nothing/, 'cp', 'box:nothing', '.');
      await refused(1, /missing/, 'cp', 'missing', 'box:');
      await refused(1, /null/, 'cp', '/dev/null', 'box:');
      await refused(1, /not a file/, 'cp', 'box:/dev/null', 'null');
      assert.ok(!existsSync(file('nothing')) && !existsSync(file('null')));
      assert.doesNotMatch(await fine('sandboxes'), /nobody/);
      assert.throws(() => lstatSync(file('file')));
      await fine('rm', 'box');
    });
  });
}
