// Inside it feels like a machine: what people and models do on one, as root (system packages, users)
// and as an ordinary user (what a home directory can hold; what cannot be is said).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { have, ordinaryUser, root, sandquay } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';

const online = have('curl') && spawnSync('curl', ['-sfI', '-m', '5', 'http://deb.debian.org/debian/dists/bookworm/InRelease']).status === 0;
const DEB = `mkdir -p p/DEBIAN p/usr/bin && printf 'Package: from-a-deb\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n' > p/DEBIAN/control &&
  printf '#!/bin/sh\\necho from a deb\\n' > p/usr/bin/from-a-deb && chmod 755 p/usr/bin/from-a-deb && dpkg-deb -b p a.deb > /dev/null`;

function suite(name, open, { system }) {
  describe(`a machine for ${name}`, () => {
    let wire;
    before(async () => { wire = await open(); });
    after(async () => { await wire.close(); });

    // [what, command, expected stdout, or a pattern of it; a program that must be on this machine]
    const rows = [
      ['who and where', 'id -un; pwd; echo $HOME; test -t 0 || echo no terminal', 'root\n/workspace\n/root\nno terminal\n'],
      ['sudo', 'sudo -n id -u; sudo A=b sh -c \'echo $A\'; sudo -E -- echo ok', '0\nb\nok\n'],
      ['UTF-8', 'python3 -c "print(len(\'é\'), \'é\')"', '1 é\n', 'python3'],
      ['the time zone of the machine', 'date +%Z', spawnSync('date', ['+%Z'], { encoding: 'utf8', env: { ...process.env, TZ: undefined } }).stdout],
      ['shared memory', 'echo x > /dev/shm/x && cat /dev/shm/x', 'x\n'],
      ['terminals', 'python3 -c "import pty,os; print(os.ttyname(pty.openpty()[1]))"', /^\/dev\/pts\/\d+\n$/, 'python3'],
      ['a compiler', 'printf \'#include <stdio.h>\\nint main(void){puts("made");}\' > a.c && gcc a.c -o a && ./a', 'made\n', 'gcc'],
      ['git', 'git init -q r && cd r && git -c user.name=a -c user.email=b commit -q --allow-empty -m first && git log --format=%s', 'first\n', 'git'],
      ['a venv', 'python3 -m venv v && v/bin/python -c "import sys; print(sys.prefix)"', '/workspace/v\n', 'python3'],
      ['pip, from a directory', 'mkdir -p m && printf \'from setuptools import setup\\nsetup(name="m-local",version="1",py_modules=["m_local"])\' > m/setup.py && echo "x=42" > m/m_local.py && pip install -q --no-build-isolation --no-index ./m 2>&1 | grep -v "DEPRECATION\\|Discussion" ; cd / && python3 -c "import m_local; print(m_local.x)"', '42\n', 'pip'],
      ['npm -g, from a directory', 'mkdir -p n && echo \'{"name":"n-local","version":"1.0.0","bin":{"n-local":"n.js"}}\' > n/package.json && printf \'#!/usr/bin/env node\\nconsole.log("n")\' > n/n.js && chmod 755 n/n.js && npm install -g --silent ./n > /dev/null && n-local', 'n\n', 'npm'],
      ['processes', 'sleep 100 & until ps -o comm= -p $! | grep -x sleep; do sleep 0.01; done; kill $!', 'sleep\n'],
      ['a debugger may trace', 'strace -o t -f true && grep -c exit_group t', '1\n', 'strace'],
      ['a FIFO, a link, a sparse file', 'mkfifo f && ln -s f l && truncate -s 1G s && stat -c %F f l s', 'fifo\nsymbolic link\nregular file\n'],
    ];
    for (const [what, command, expected, needs] of rows) {
      test(what, { skip: needs && !have(needs) && `${needs} is not installed` }, async () => {
        const { stdout, stderr } = await wire.run(command, { timeoutMs: 60000 });
        if (expected instanceof RegExp) assert.match(stdout, expected, stderr);
        else assert.equal(stdout, expected, stderr);
      });
    }
    test('a server goes on, and later commands reach it', { skip: !have('python3') && 'python3 is not installed' }, async () => {
      await wire.run('echo served > page; python3 -m http.server -b 127.0.0.1 8123 > /dev/null 2>&1 & until curl -sf http://127.0.0.1:8123/ > /dev/null; do sleep 0.05; done');
      const { stdout } = await wire.run('curl -s http://127.0.0.1:8123/page');
      assert.equal(stdout, 'served\n');
    });
    test('a package that is a file', async () => {
      const { stdout, warning } = await wire.run(`${DEB} && sudo dpkg -i a.deb > /dev/null && from-a-deb`);
      if (system) assert.equal(stdout, 'from a deb\n');
      else assert.match(warning, /System packages cannot be installed in this sandbox/);
    });
    test('users', { skip: !system && 'there is one id' }, async () => {
      const { stdout, stderr } = await wire.run('useradd -m eve && su - eve -c "id -un; pwd; touch x && stat -c %U x" && sudo -u eve id -un');
      assert.equal(stdout, 'eve\n/home/eve\neve\neve\n', stderr);
    });
    test('apt-get', { skip: !online && 'no package mirror can be reached' }, async () => {
      const { stdout, warning, exitCode } = await wire.run('apt-get update > log 2>&1 && apt-get install -y --no-install-recommends figlet >> log 2>&1; tail -n 3 log >&2; figlet -v > o && grep -o FIGlet o | head -n 1', { timeoutMs: 44000 });
      if (system) assert.equal(stdout, 'FIGlet\n');
      else assert.match(warning, /System packages cannot be installed in this sandbox/, String(exitCode));
    });
  });
}

if (root) {
  suite('root', () => connect({}), { system: true });
  const user = ordinaryUser();
  suite('an ordinary user', () => {
    const [program, args] = user.command(user.sandquay, ['serve']);
    return connect({ program, args, cwd: '/', env: { ...process.env, ...user.env } });
  }, { system: false });
} else {
  suite('this user', () => connect({ program: sandquay }), { system: false });
}
