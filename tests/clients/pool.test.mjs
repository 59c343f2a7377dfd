// Many sandboxes: the one that is kept ready, many at once, a thousand in a row.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { cgroupsByName, descriptors, estate, family, leftOf, memoryKb, mounts } from './lib/processes.mjs';
import { owners } from './lib/owners.mjs';
import { sanitized, skipSanitized, until } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';

const wires = [];
after(() => {
  for (const wire of wires) if (wire.process.exitCode === null) wire.process.kill('SIGKILL');
});

for (const owner of owners('pool')) {
  const serve = async (...args) => {
    const [program, all] = owner.command(['serve', ...args]);
    const wire = await connect({ program, args: all, env: owner.env, keepRecords: false });
    wires.push(wire);
    return wire;
  };
  const ask = async (wire, tool, args = {}) => {
    const result = await wire.tool(tool, args);
    if (result.isError) throw Object.assign(new Error(result.content[0].text), JSON.parse(result.content[0].text));
    return result.structuredContent;
  };
  /** The guests of a server: the children of its zygote. */
  const guests = (wire) => {
    const all = family(wire.pid);
    const zygote = all.find((one) => one.parent === wire.pid && one.name === 'sandquay-guest');
    return zygote ? all.filter((one) => one.parent === zygote.pid) : [];
  };
  const ready = (wire, count) => until(() => guests(wire).length === count, `${count} guests`, 5000);

  describe(`sandboxes that are kept ready, of ${owner.name}`, () => {
    test('one, after the first use; it is nobody\'s until it is taken', async () => {
      const wire = await serve('--max-sandboxes', '2');
      await wire.run('echo first > /tmp/f');
      await ready(wire, 2);
      assert.deepEqual((await ask(wire, 'sandbox_list')).sandboxes.map((one) => one.sandbox), ['default']);
      const spare = guests(wire).map(({ pid }) => pid);
      const { sandbox } = await ask(wire, 'sandbox_create');
      const run = await wire.run('cat /tmp/f; hostname; echo mine > /tmp/f', { sandbox });
      assert.equal(run.stdout, 'sandbox\n');
      await assert.rejects(ask(wire, 'sandbox_create'), { code: 'LIMIT' });
      await ready(wire, 3);
      assert.ok(spare.every((pid) => guests(wire).some((one) => one.pid === pid)), 'the ready one was taken');
      assert.equal((await wire.run('cat /tmp/f')).stdout, 'first\n');
      await wire.close();
    });

    test('what asks for something special gets that', async () => {
      const wire = await serve();
      await wire.run('true');
      await ready(wire, 2);
      const { sandbox, limits } = await ask(wire, 'sandbox_create', { pids: 100, env: { WORD: 'mine' } });
      assert.equal(limits.pids, 100);
      assert.equal((await wire.run('echo $WORD', { sandbox })).stdout, 'mine\n');
      const other = await ask(wire, 'sandbox_create', { env: { WORD: 'also' } });
      assert.equal((await wire.run('echo $WORD', { sandbox: other.sandbox })).stdout, 'also\n');
      await wire.close();
    });

    test('killed, it is missed by nobody', async () => {
      const wire = await serve();
      await wire.run('true');
      const mine = guests(wire).map(({ pid }) => pid);
      await ready(wire, 2);
      const spare = guests(wire).find(({ pid }) => !mine.includes(pid));
      process.kill(spare.pid, 'SIGKILL');
      await ready(wire, 1);
      const { sandbox } = await ask(wire, 'sandbox_create');
      assert.equal((await wire.run('echo fine', { sandbox })).stdout, 'fine\n');
      await wire.close();
    });

    for (const signal of ['SIGTERM', 'SIGKILL']) {
      test(`gone with the server, ${signal}`, async () => {
        const wire = await serve();
        await wire.run('true');
        await ready(wire, 2);
        const had = { ...estate(wire.pid, owner.env.TMPDIR), marks: [] };
        wire.process.kill(signal);
        await wire.closed;
        await until(() => leftOf(had).length === 0, 'nothing is left', 5000);
      });
    }
  });

  describe(`many sandboxes of ${owner.name}`, () => {
    test('a hundred at once', async () => {
      const wire = await serve('--max-sandboxes', '200');
      const count = sanitized ? 10 : 100;
      const names = await Promise.all(Array.from({ length: count }, async () => (await ask(wire, 'sandbox_create')).sandbox));
      assert.equal(new Set(names).size, count);
      const runs = await Promise.all(names.map((sandbox) => wire.run('echo $((6*7))', { sandbox, timeoutMs: 60000 })));
      for (const run of runs) assert.equal(run.stdout, '42\n');
      await Promise.all(names.map((sandbox) => ask(wire, 'sandbox_stop', { sandbox, delete: true })));
      assert.ok((await ready(wire, 1), guests(wire).length) <= 1, 'but the ready one');
      await wire.close();
    });

    test('a thousand in a row leave no trace', { skip: skipSanitized, timeout: 300000 }, async () => {
      const wire = await serve();
      const round = async (n) => {
        const { sandbox } = await ask(wire, 'sandbox_create', n % 3 ? {} : { pids: 100 });
        if (n % 5 === 0) await wire.run('echo x > /tmp/f; sleep 100 & true', { sandbox });
        await ask(wire, 'sandbox_stop', { sandbox, delete: true });
      };
      const measure = async () => {
        await ready(wire, 1);
        const zygote = family(wire.pid).find((one) => one.parent === wire.pid).pid;
        return {
          descriptors: [descriptors(wire.pid), descriptors(zygote)],
          memory: [memoryKb(wire.pid), memoryKb(zygote)],
          mounts: mounts().length + readFileSync(`/proc/${zygote}/mountinfo`, 'utf8').split('\n').length,
          cgroups: cgroupsByName().filter((name) => name.includes(`sandquay-${zygote}-`)).length,
          temp: readdirSync(owner.env.TMPDIR).length,
        };
      };
      for (let n = 0; n < 100; n++) await round(n);
      const first = await measure();
      for (let n = 0; n < 1000; n++) await round(n);
      const last = await measure();
      for (const part of ['descriptors', 'mounts', 'cgroups', 'temp']) assert.deepEqual(last[part], first[part], part);
      for (const i of [0, 1]) assert.ok(last.memory[i] <= first.memory[i] + 1024, `memory grew from ${first.memory} to ${last.memory} kB`);
      await wire.close();
    });
  });
}
