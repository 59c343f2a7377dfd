// --bind-toolchain: programs of a home are found inside, read-only and first, and nothing else of the
// home is there.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { owners } from './lib/owners.mjs';
import { build, have, root, sanitized, scratch } from './lib/product.mjs';

const home = scratch('toolchains');
chmodSync(home, 0o755);
const tree = path.join(home, '.tools/versions/v9');
const twin = path.join(home, '.other/v9');
for (const dir of [path.join(tree, 'bin'), path.join(tree, 'lib'), path.join(twin, 'bin'), path.join(home, 'bad/bin'), path.join(home, 'bad/.ssh')]) mkdirSync(dir, { recursive: true });
copyFileSync('/bin/sh', path.join(tree, 'bin/interpreter'));
// As pip and others are installed: the interpreter by its path on the host.
writeFileSync(path.join(tree, 'bin/node'), `#!${tree}/bin/interpreter\necho "v9 $(cat "$(dirname "$0")/../lib/data")"\n`);
writeFileSync(path.join(tree, 'lib/data'), 'of the toolchain\n');
writeFileSync(path.join(twin, 'bin/second'), '#!/bin/sh\necho second\n');
writeFileSync(path.join(home, 'secret'), 'of the home\n');
for (const file of ['interpreter', 'node']) chmodSync(path.join(tree, 'bin', file), 0o755);
chmodSync(path.join(twin, 'bin/second'), 0o755);

for (const owner of owners('toolchain')) {
  const run = (args, { machine, env = {} } = {}) => {
    const [program, all] = owner.command(args);
    const [first, ...rest] = machine ? [path.join(build, 'tests/hostile_forbid'), machine, program, ...all] : [program, ...all];
    const { status, stdout, stderr } = spawnSync(first, rest, { env: { ...owner.env, ...env }, encoding: 'utf8', cwd: '/' });
    return { status, stdout, stderr };
  };

  describe(`toolchains of ${owner.name}`, () => {
    test('found first, read-only; two of one name; nothing else of the home', () => {
      const { stdout, stderr } = run(['exec', '--bind-toolchain', tree, '--bind-toolchain', `${twin}/`,
        `command -v node; node; second; touch /opt/toolchains/v9/x; rm -f ${tree}/lib/data; cat ${home}/secret; ls -A ${home}; node`]);
      assert.equal(stdout, '/opt/toolchains/v9/bin/node\nv9 of the toolchain\nsecond\n.other\n.tools\nv9 of the toolchain\n', stderr);
      assert.equal(stderr.match(/Read-only file system/g).length, 2);
      assert.match(stderr, /secret: No such file/);
    });
    test('in a named sandbox, for a run', () => {
      assert.match(run(['exec', '--sandbox', 'tools', '--bind-toolchain', tree, 'node']).stdout, /^v9 /);
      assert.doesNotMatch(run(['exec', '--sandbox', 'tools', 'node --version; echo $PATH']).stdout, /v9/);
      assert.match(run(['exec', '--sandbox', 'tools', '--bind-toolchain', tree, 'node']).stdout, /^v9 /);
    });
    test('at level 3', { skip: (!root && 'only root can simulate other machines') || (!have('bwrap') && 'bubblewrap is not installed') || (sanitized && 'a sanitizer build') }, () => {
      const { stdout, stderr } = run(['exec', '--bind-toolchain', tree, 'node; touch /opt/toolchains/v9/x'], { machine: 'namespaces' });
      assert.equal(stdout, 'v9 of the toolchain\n', stderr);
      assert.match(stderr, /isolation level 3[^]*Read-only file system/);
    });
    test('what is no toolchain is refused', () => {
      for (const [dir, words] of [[path.join(home, 'bad'), /\.ssh/], [path.join(home, '.tools'), /no directory bin.*versions/], [path.join(home, 'nothing'), /No such file/], ['/', /directory/]]) {
        const { status, stderr } = run(['exec', '--bind-toolchain', dir, 'true']);
        assert.equal(status, 125);
        assert.match(stderr, words);
      }
      assert.equal(run(['exec', '--backend', 'vercel', '--bind-toolchain', tree, 'true']).status, 125);
    });
    test('doctor says what is used instead, and how to have it', () => {
      const env = { PATH: `${tree}/bin:${process.env.PATH}` };
      assert.match(run(['doctor'], { env }).stdout, new RegExp(`node: .*${tree}/bin/node.*; --bind-toolchain ${tree}\\n|node: not seen inside.*; --bind-toolchain ${tree}\\n`));
      assert.match(run(['doctor', '--bind-toolchain', tree], { env }).stdout, /node: \/opt\/toolchains\/v9\/bin\/node \(v9/);
    });
  });
}
