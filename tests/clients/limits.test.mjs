// What a limit does is told in the command's result, with the remedy; by flags and by sandbox_create.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, describe, test } from 'node:test';
import { owners } from './lib/owners.mjs';
import { marked } from './lib/processes.mjs';
import { have, skipSanitized, until } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';

const wires = [];
after(() => {
  for (const wire of wires) if (wire.process.exitCode === null) wire.process.kill('SIGKILL');
});

for (const owner of owners('limits')) {
  const serve = async (...args) => {
    const [program, all] = owner.command(['serve', ...args]);
    const wire = await connect({ program, args: all, env: owner.env });
    wires.push(wire);
    return wire;
  };
  const create = async (wire, args) => {
    const result = await wire.tool('sandbox_create', args);
    assert.ok(!result.isError, result.content[0].text);
    return result.structuredContent.sandbox;
  };

  describe(`limits of ${owner.name}`, () => {
    test('memory', { skip: skipSanitized || (!have('python3') && 'python3 is not installed') }, async () => {
      const wire = await serve();
      const sandbox = await create(wire, { memoryMb: 128, diskMb: 16 });
      const run = await wire.run('python3 -c "x = b\'x\' * (1 << 30)"', { sandbox, timeoutMs: 60000 });
      assert.notEqual(run.exitCode, 0);
      assert.match(run.warning, /memory.*128 MiB.*memoryMb/s);
      assert.equal((await wire.run('echo fine', { sandbox })).stdout, 'fine\n');
      await wire.close();
    });

    test('processes', { skip: skipSanitized }, async () => {
      const wire = await serve();
      const sandbox = await create(wire, { pids: 320 });
      const run = await wire.run('for i in $(seq 400); do sleep 5 & done; wait', { sandbox, timeoutMs: 60000 });
      assert.match(run.warning, /limit is 320 processes.*pids/s, run.stderr.slice(0, 200));
      await wire.close();
    });

    test('disk: bytes, and files', async () => {
      const wire = await serve('--disk', '16m');
      const bytes = await wire.run('dd if=/dev/zero of=big bs=1M count=100');
      assert.notEqual(bytes.exitCode, 0);
      assert.match(bytes.warning, /disk is full.*16 MiB.*diskMb/s);
      const tool = await wire.tool('write_file', { path: 'x', content: 'x'.repeat(100000) });
      assert.ok(tool.isError);
      assert.match(tool.content[0].text, /LIMIT.*--disk/s);
      assert.equal((await wire.run('rm big; echo fine > f; cat f')).stdout, 'fine\n');
      const more = await create(wire, { diskMb: 64 });
      assert.equal((await wire.run('dd if=/dev/zero of=big bs=1M count=50', { sandbox: more })).exitCode, 0);
      await wire.close();
    });

    test('disk of a named sandbox: watched in total', async () => {
      const wire = await serve();
      const sandbox = await create(wire, { name: 'full', diskMb: 64 });
      const mark = `9${process.pid}4.5`;
      const listed = (await wire.tool('sandbox_list', {})).structuredContent.sandboxes.find((one) => one.sandbox === 'full');
      assert.equal(listed.limits.diskMb, 64);
      assert.match(listed.limits.enforcedBy, /disk: watched in total/);
      assert.equal((await wire.run('dd if=/dev/zero of=some bs=1M count=40', { sandbox })).exitCode, 0);
      const run = await wire.run(`sleep ${mark} & mkdir -p deep/er; chmod 000 deep; cd ~; for i in $(seq 10000); do dd if=/dev/zero of=$i bs=1M count=4 2>/dev/null; sleep 0.02; done`, { sandbox, timeoutMs: 60000 });
      assert.equal(run.timedOut, false);
      assert.notEqual(run.exitCode, 0);
      assert.match(run.warning, /64 MiB.*all of its processes were ended.*diskMb/s);
      await until(() => marked(mark).length === 0, 'what it had started is gone');
      const tool = await wire.tool('write_file', { path: 'x', content: 'x', sandbox });
      assert.match(tool.content[0].text, /LIMIT.*64 MiB.*delete files/s);
      assert.equal((await wire.run('rm -r ~/*; chmod 755 deep; ls deep; echo fine > f; cat f', { sandbox })).stdout, 'er\nfine\n');
      assert.ok(!(await wire.tool('write_file', { path: 'x', content: 'x', sandbox })).isError);
      await wire.tool('sandbox_stop', { sandbox, delete: true });
      await wire.close();
    });

    test('what is in force is told, and what is not', async () => {
      const wire = await serve('--memory', '512m', '--cpus', '1');
      const { limits } = (await wire.tool('sandbox_create', {})).structuredContent;
      assert.deepEqual([limits.memoryMb, limits.diskMb, limits.cpus, limits.pids], [512, 256, 1, 512]);
      assert.match(limits.enforcedBy, /memory: .*, pids: .*, cpus: .*, disk: tmpfs/);
      await wire.close();
    });

    test('beyond the machine: the server does not start', async () => {
      for (const [flag, value, pattern] of [['--memory', '900t', /this machine has/], ['--cpus', '1000', /this machine has/], ['--memory', '0', /at least/], ['--cpus', '0', /cpus/], ['--pids', '0', /pids/], ['--disk', '0', /at least/]]) {
        const [program, all] = owner.command(['exec', flag, value, 'echo never']);
        const { status, stdout, stderr } = spawnSync(program, all, { env: owner.env, encoding: 'utf8' });
        assert.ok(status === 2 || status === 125, `${flag} ${value}: ${status} ${stderr}`);
        assert.equal(stdout, '');
        assert.match(stderr, pattern);
      }
    });
  });
}
