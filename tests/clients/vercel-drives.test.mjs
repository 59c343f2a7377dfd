// Drives of `sandquay vercel-api`, by the official SDK: as root and as an ordinary user.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Drive, Sandbox } from '@vercel/sandbox';
import { owners } from './lib/owners.mjs';
import { until } from './lib/product.mjs';
import { auth, serveVercel } from './lib/vercel.mjs';

for (const owner of owners('drives')) {
  describe(`drives, of ${owner.name}`, () => {
    const state = path.join(owner.home, 'drives-state');
    let api;
    let options;
    const create = (more = {}) => Sandbox.create({ ...options, ...more });
    const drive = (name, more = {}) => Drive.getOrCreate({ ...options, name, ...more });
    const run = async (sandbox, script) => {
      const done = await sandbox.runCommand('sh', ['-c', script]);
      assert.equal(done.exitCode, 0, await done.stderr());
      return done.stdout();
    };
    const files = (one) => path.join(state, 'drives', one.driveId);

    before(async () => {
      api = await serveVercel(owner, ['--state-dir', path.relative('.', state)]);
      options = { ...auth, fetch: api.fetch };
    });
    after(async () => assert.deepEqual(await api.stop(), { code: 0, signal: null }));

    test('made once; other sizes and regions are a conflict', async () => {
      const one = await drive('cache', { maxSize: 2 ** 30 });
      assert.match(one.driveId, /^drv_/);
      assert.deepEqual([one.name, one.projectId, one.region, one.maxSize], ['cache', 'prj_test', 'iad1', 2 ** 30]);
      assert.equal((await drive('cache')).driveId, one.driveId);
      await assert.rejects(drive('cache', { maxSize: 2 ** 31 }), /409.*another region or size/);
      await assert.rejects(drive('cache', { region: 'sfo1' }), /409/);
      const answer = await api.ask('POST', '/api/v2/sandboxes/drives/a.b?teamId=team_test', { projectId: 'prj_test' });
      assert.equal(answer.status, 400);
      assert.equal((await api.ask('GET', '/api/v2/sandboxes/drives/none?projectId=prj_test')).json.error.code, 'not_found');
      assert.equal((await api.ask('GET', '/api/v2/sandboxes/drives/cache?projectId=prj_test')).json.drive.id, one.driveId);
    });

    test('files outlive sandboxes; a stopped one finds its drive again', async () => {
      const data = await drive('data');
      const writer = await create({ name: 'writer', mounts: { '/data': data } });
      assert.deepEqual(writer.mounts, { '/data': { drive: 'data', mode: 'read-write' } });
      await run(writer, 'mkdir /data/sub && echo kept > /data/sub/f && chmod 700 /data/sub');
      assert.equal((await drive('data')).currentSandboxName, 'writer');
      await writer.stop();
      assert.equal((await drive('data')).currentSandboxName, undefined);
      assert.equal(await run(writer, 'echo more >> /data/sub/f; cat /data/sub/f'), 'kept\nmore\n'); // resumed
      await writer.delete({ deleteOrphanSnapshots: true });
      const reader = await create({ mounts: { '/mnt/old': data } });
      assert.equal(await run(reader, 'cat /mnt/old/sub/f'), 'kept\nmore\n');
      await reader.delete();
      assert.equal(statSync(files(data)).isDirectory(), true);
    });

    test('one writes, or many read; a snapshot is read-only and does not change', async () => {
      const shared = await drive('shared');
      const first = await create({ mounts: { '/d': shared } });
      await run(first, 'echo 1 > /d/f');
      await assert.rejects(create({ mounts: { '/d': shared } }), /409.*mounted read-write by sandbox/);
      await assert.rejects(create({ mounts: { '/d': shared.snapshot() } }), /409/);
      await assert.rejects(shared.delete(), /409.*attached/);
      await first.delete();
      const readers = [await create({ mounts: { '/d': shared.snapshot() } }), await create({ mounts: { '/a': shared.snapshot(), '/b': await drive('other') } })];
      assert.deepEqual(readers[0].mounts, { '/d': { drive: 'shared', mode: 'snapshot' } });
      assert.equal(await run(readers[0], 'cat /d/f'), '1\n');
      const refused = await readers[0].runCommand('sh', ['-c', 'echo 2 > /d/f']);
      assert.match(await refused.stderr(), /[Rr]ead-only/);
      await run(readers[1], 'cp /a/f /b/f && cat /b/f');
      await assert.rejects(create({ mounts: { '/d': shared } }), /409.*as a snapshot/);
      for (const one of readers) await one.delete();
    });

    test('what is wrong is said, and leaves nothing', async () => {
      const known = (await Sandbox.list(options)).sandboxes.length;
      for (const [mounts, why] of [
        [{ '/d': { drive: 'no-such' } }, /400.*'no-such' not found/],
        [{ 'd': { drive: 'cache' } }, /400.*absolute/],
        [{ '/d': { drive: 'cache' }, '/d/e': { drive: 'shared' } }, /400.*lies in another/],
        [{ '/d': { drive: 'cache', mode: 'fast' } }, /400.*mode/],
        [{ '/usr/lib': { drive: 'cache' } }, /400.*the system is there/],
        [{ '/workspace': { drive: 'cache' } }, /400/],
        [{ '/d/../etc': { drive: 'cache' } }, /400/],
      ]) {
        const { status, text } = await api.ask('POST', '/api/v3/sandboxes?teamId=team_test', { projectId: 'prj_test', ports: [], mounts });
        assert.match(`${status} ${text}`, why, JSON.stringify(mounts));
      }
      await assert.rejects(create({ region: 'sfo1', mounts: { '/d': await drive('cache') } }), /422.*in iad1/);
      assert.equal((await Sandbox.list(options)).sandboxes.length, known);
    });

    test('listed by pages and by name; deleted with its files', async () => {
      for (let i = 0; i < 5; i++) await drive(`page-${i}`);
      const names = [];
      for await (const one of await Drive.list({ ...options, limit: 2, namePrefix: 'page-', sortBy: 'name', sortOrder: 'asc' })) names.push(one.name);
      assert.deepEqual(names, ['page-0', 'page-1', 'page-2', 'page-3', 'page-4']);
      const gone = await drive('page-0');
      const deep = await create({ mounts: { '/d': gone } });
      await run(deep, 'cd /d && for i in $(seq 300); do mkdir ddddddddddddddddd && cd ddddddddddddddddd; done; chmod 0 .; ln -s / /d/root; touch /d/f');
      await deep.delete();
      await gone.delete();
      assert.equal(existsSync(files(gone)), false);
      await until(() => !existsSync(path.join(state, 'trash')) || readdirSync(path.join(state, 'trash')).length === 0, 'its files are gone', 10000);
      assert.ok(existsSync('/usr'));
      const left = [];
      for await (const one of await Drive.list({ ...options, namePrefix: 'page-', sortBy: 'name' })) left.push(one.name);
      assert.deepEqual(left.sort(), ['page-1', 'page-2', 'page-3', 'page-4']);
    });

    test('mounts are changed for the next session; a restart keeps drives', async () => {
      const one = await create({ name: 'changing', mounts: { '/d': await drive('data') } });
      await one.update({ mounts: { '/e': await drive('data') } });
      await one.update({ mounts: {} });
      await assert.rejects((await drive('data')).delete(), /409.*attached/); // it is still mounted
      await one.update({ mounts: { '/e': await drive('data') } });
      await one.stop();
      assert.equal(await run(one, 'cat /e/sub/f; ls /d'), 'kept\nmore\n');
      await one.update({ mounts: {} });
      await one.stop();
      assert.equal(await run(one, 'ls /e'), '');
      await one.delete();
      await api.stop();
      api = await serveVercel(owner, ['--state-dir', state]);
      options = { ...auth, fetch: api.fetch };
      const again = await create({ mounts: { '/d': await drive('data') } });
      assert.equal(await run(again, 'cat /d/sub/f'), 'kept\nmore\n');
      await again.delete();
    });
  });
}
