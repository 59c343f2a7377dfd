// Which level of isolation a machine gives is found by trying, told, and never below what was asked
// for. Machines that give less are simulated by ../hostile/forbid.c; what holds at each level is in
// hostile.test.mjs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { marked } from './lib/processes.mjs';
import { build, have, ordinaryUser, root, sandquay, sanitized, scratch } from './lib/product.mjs';

const skip = (!root && 'only root can simulate other machines') || (sanitized && 'a sanitizer build');
const bwrap = !have('bwrap') && 'bubblewrap is not installed';
const machines = [
  { what: 'namespaces', level: 3, skip: bwrap, why: /No space left on device.*max_user_namespaces/ },
  { what: 'clone', level: 3, skip: bwrap, why: /Operation not permitted.*allow user namespaces/ },
  { what: 'bubblewrap', level: 4, skip: bwrap, why: /Operation not permitted.*allow user namespaces/ },
  { what: 'container', level: 4, why: /Operation not permitted.*allow user namespaces/ },
];
const temp = scratch('levels');
chmodSync(temp, 0o1777);

function starters() {
  const user = ordinaryUser();
  return {
    root: { env: { ...process.env, TMPDIR: temp }, command: (args) => [sandquay, args] },
    'an ordinary user': {
      env: { ...process.env, ...user.env, TMPDIR: temp },
      command: (args) => user.command(user.sandquay, args),
    },
  };
}

describe('levels', { skip }, () => {
  for (const [who, { env, command }] of Object.entries(skip ? {} : starters())) {
    const exec = (machine, flags, script, more = {}) => {
      const [program, args] = command(['exec', ...flags, script]);
      const all = machine ? [path.join(build, 'tests/hostile_forbid'), machine.what, program, ...args] : [program, ...args];
      const { status, stdout, stderr } = spawnSync(all[0], all.slice(1), { env: { ...env, ...more }, encoding: 'utf8', cwd: '/' });
      return { status, stdout, stderr };
    };
    const weak = ['--allow-weak-isolation'];

    test(`${who}: this machine as it is`, () => {
      const { status, stdout, stderr } = exec(undefined, ['--require-level', '2'], 'echo $HOME; pwd');
      assert.equal(stdout, '/root\n/workspace\n', stderr);
      assert.equal(status, 0);
    });

    for (const machine of machines) {
      describe(`${who}, ${machine.what} forbidden`, { skip: machine.skip }, () => {
        test('the level is told', () => {
          const mark = `7${process.pid}.5`;
          const flags = machine.level === 4 ? weak : [];
          const { status, stdout, stderr } = exec(machine, flags, `(setsid sleep ${mark} &); sudo echo here; id -u`);
          assert.match(stderr, new RegExp(`isolation level ${machine.level}`));
          assert.match(stdout, /^here\n\d+\n$/);
          assert.doesNotMatch(stdout, /\n0\n/, 'nobody is root outside');
          assert.equal(status, 0);
          assert.deepEqual(marked(mark), [], 'a daemon ends with its sandbox');
          assert.deepEqual(readdirSync(temp), [], 'no directory stays');
        });
        test('less than required is refused, with the reason and the remedy', () => {
          const { status, stdout, stderr } = exec(machine, [...weak, '--require-level', String(machine.level - 1)], 'id');
          assert.equal(status, 125);
          assert.equal(stdout, '');
          assert.match(stderr, machine.why);
        });
        test('the weak level is only given when it was asked for', { skip: machine.level < 4 && 'it gives more' }, () => {
          const { status, stderr } = exec(machine, [], 'id');
          assert.equal(status, 125);
          assert.match(stderr, machine.why);
          assert.match(stderr, /--allow-weak-isolation/);
        });
        test('a named sandbox says why it is not made, and leaves nothing', () => {
          const state = scratch('levels-state');
          chmodSync(state, 0o1777);
          const { status, stderr } = exec(machine, [...(machine.level === 4 ? weak : []), '--sandbox', 'named'], 'true', { XDG_STATE_HOME: path.join(state, who.replaceAll(' ', '-')) });
          assert.equal(status, 125);
          assert.match(stderr, /a name or from a snapshot needs isolation level 1 or 2.*without a name/);
          assert.deepEqual(readdirSync(path.join(state, who.replaceAll(' ', '-'), 'sandquay/sandboxes')), []);
        });
        test('a failing program is found out about, and files can be filled in', () => {
          const flags = machine.level === 4 ? weak : [];
          const { status, stdout } = exec(machine, flags, 'echo text > file; cat file; mkdir -p ~/a/b $TMPDIR/c; exit 3');
          assert.equal(stdout, 'text\n');
          assert.equal(status, 3);
        });
      });
    }
  }

  test('a tree that is deep and unreadable goes, too', () => {
    const { env, command } = starters()['an ordinary user'];
    const [program, args] = command(['exec', '--allow-weak-isolation', 'for i in $(seq 300); do mkdir 0123456789abcdef; cd 0123456789abcdef; done; chmod 0 .; cd ~; mkdir -p x/y/z; chmod 0 x/y x']);
    const { status, stderr } = spawnSync(path.join(build, 'tests/hostile_forbid'), ['container', program, ...args], { env, encoding: 'utf8', cwd: '/' });
    assert.equal(status, 0, stderr);
    assert.deepEqual(readdirSync(temp), []);
  });
});
