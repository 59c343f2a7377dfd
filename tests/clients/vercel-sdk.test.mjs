// The official SDK @vercel/sandbox, unmodified, against `sandquay vercel-api`: as root and as an
// ordinary user.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Sandbox, Snapshot } from '@vercel/sandbox';
import { WebSocket } from 'ws';
import { owners } from './lib/owners.mjs';
import { scratch, until } from './lib/product.mjs';
import { auth, serveVercel } from './lib/vercel.mjs';

for (const owner of owners('vercel')) {
  describe(`the SDK against the server of ${owner.name}`, () => {
    // What sources are fetched from is an address of this machine, which sandboxes do not reach unless named.
    const args = ['--max-sandboxes', '40', '--network', '*,127.0.0.2'];
    let api;
    let options;
    const create = (more = {}) => Sandbox.create({ ...options, ...more });
    /** A command's outcome as [exit code, stdout, stderr]. */
    const outcome = async (finished) => [finished.exitCode, await finished.stdout(), await finished.stderr()];
    const text = async (sandbox, cmd, args) => (await sandbox.runCommand(cmd, args)).stdout();

    before(async () => {
      api = await serveVercel(owner, args);
      options = { ...auth, fetch: api.fetch };
    });
    after(async () => assert.deepEqual(await api.stop(), { code: 0, signal: null }));

    test('create, get, list, delete', async () => {
      const sandbox = await create({ name: 'first', tags: { env: 't' }, timeout: 600000, resources: { vcpus: 4 } });
      assert.equal(sandbox.name, 'first');
      assert.equal(sandbox.status, 'running');
      assert.equal(sandbox.persistent, true);
      assert.equal(sandbox.timeout, 600000);
      assert.equal(sandbox.vcpus, 4);
      assert.equal(sandbox.memory, 8192);
      assert.deepEqual(sandbox.tags, { env: 't' });
      assert.equal((await Sandbox.get({ ...options, name: 'first' })).name, 'first');
      await assert.rejects(create({ name: 'first' }), /409.*already exists/);
      const unnamed = await create({ persistent: false });
      assert.match(unnamed.name, /^[a-z0-9-]+$/);
      const names = [];
      for await (const row of await Sandbox.list({ ...options, limit: 1, sortBy: 'name', sortOrder: 'asc' })) names.push(row.name);
      assert.deepEqual(names, ['first', unnamed.name].sort());
      const tagged = [];
      for await (const row of await Sandbox.list({ ...options, tags: { env: 't' } })) tagged.push(row.name);
      assert.deepEqual(tagged, ['first']);
      for (const one of [sandbox, unnamed]) await one.delete();
      await assert.rejects(Sandbox.get({ ...options, name: 'first' }), /404.*Named sandbox 'first' not found for this project/);
    });

    test('the working directory has the path that it has on Vercel, too', async () => {
      const image = await create({ persistent: false });
      await image.writeFiles([{ path: '/vercel/there', content: 'by its path' }]);
      assert.equal(await text(image, 'cat', ['there']), 'by its path');
      const runtime = await create({ runtime: 'node24', name: 'old' });
      await runtime.writeFiles([{ path: '/vercel/sandbox/there', content: 'in a runtime' }]);
      await runtime.stop();
      assert.equal(await (await runtime.runCommand({ cmd: 'cat', args: ['there'], cwd: '/vercel/sandbox' })).stdout(), 'in a runtime');
      for (const one of [image, runtime]) await one.delete({ deleteOrphanSnapshots: true });
    });

    test('getOrCreate', async () => {
      let made = 0;
      const ask = { ...options, name: 'goc', onCreate: () => { made++; } };
      const one = await Sandbox.getOrCreate(ask);
      const two = await Sandbox.getOrCreate(ask);
      assert.equal(made, 1);
      assert.equal(two.name, one.name);
      await two.delete();
    });

    test('what is wrong is told, and nothing is made', async () => {
      const cases = [
        [{ name: 'a b' }, /name/], [{ resources: { vcpus: 3 } }, /vcpus/], [{ timeout: 10 }, /timeout/],
        [{ image: 'me/own:1' }, /image/],
        [{ networkPolicy: { allow: { 'a.example': [{ transform: [{ headers: { x: 'y' } }] }] } } }, /networkPolicy/],
      ];
      for (const [more, pattern] of cases) {
        await assert.rejects(create(more), (error) => {
          assert.match(error.message, /Status code 400/);
          assert.match(error.message, pattern);
          return true;
        });
      }
      const { json } = await api.ask('GET', '/api/v2/sandboxes?project=prj_test');
      assert.deepEqual(json, { sandboxes: [], pagination: { count: 0, next: null } });
    });

    describe('in a sandbox', () => {
      let sandbox;
      before(async () => { sandbox = await create({ name: 'work', env: { FROM: 'sandbox', BOTH: 'sandbox' } }); });
      after(() => sandbox.delete());

      test('commands: output, exit codes, environment, directory, no shell', async () => {
        assert.deepEqual(await outcome(await sandbox.runCommand('sh', ['-c', 'echo out; echo err >&2; exit 3'])), [3, 'out\n', 'err\n']);
        assert.deepEqual(await outcome(await sandbox.runCommand('echo', ['$HOME', '*', 'a  b'])), [0, '$HOME * a  b\n', '']);
        assert.equal(await text(sandbox, 'sh', ['-c', 'echo $0']), 'sh\n');
        const env = await sandbox.runCommand({ cmd: 'sh', args: ['-c', 'echo $FROM $BOTH $OWN'], env: { BOTH: 'command', OWN: 'x=y' } });
        assert.equal(await env.stdout(), 'sandbox command x=y\n');
        assert.equal(await (await sandbox.runCommand({ cmd: 'pwd', cwd: '/tmp' })).stdout(), '/tmp\n');
        assert.equal(await text(sandbox, 'sh', ['-c', 'kill -9 $$']), '');
        assert.equal((await sandbox.runCommand('sh', ['-c', 'kill -9 $$'])).exitCode, 137);
        assert.equal((await sandbox.runCommand({ cmd: 'id', args: ['-u'], sudo: true })).exitCode, 0);
      });

      test('a program that does not exist', async () => {
        await assert.rejects(sandbox.runCommand('no-such-program'), (error) => {
          assert.deepEqual(error.json, { error: { code: 'executable_not_found', message: '[invalid_argument] executable file not found in $PATH: no-such-program' } });
          return true;
        });
        await assert.rejects(sandbox.runCommand({ cmd: 'true', cwd: '/nowhere' }), /400.*nowhere/);
      });

      test('characters survive any cut; bytes that are none become U+FFFD', async () => {
        const line = 'ä€😀 "\\'.repeat(20000);
        await sandbox.writeFiles([{ path: 'text', content: line }]);
        assert.equal(await text(sandbox, 'cat', ['text']), line);
        assert.equal(await text(sandbox, 'printf', ['a\\377b\\342\\202']), 'a\ufffdb\ufffd');
        assert.equal(await text(sandbox, 'sh', ['-c', 'printf "\\342"; sleep 0.05; printf "\\202\\254"']), '€');
      });

      test('16 MiB of output, and two readers of it', async () => {
        const bytes = 16 * 1024 * 1024;
        const args = ['-c', `yes 0123456789 | head -c ${bytes}`];
        assert.equal((await text(sandbox, 'sh', args)).length, bytes);
        const command = await sandbox.runCommand({ cmd: 'sh', args, detached: true });
        const [one, two] = await Promise.all([command.stdout(), command.stdout()]);
        assert.equal(one.length, bytes);
        assert.equal(two, one);
      });

      test('detached: logs from the first byte, wait, kill', async () => {
        await sandbox.runCommand('mkfifo', ['gate']);
        const command = await sandbox.runCommand({ cmd: 'sh', args: ['-c', 'echo one; read -r x < gate; echo two >&2; exit 5'], detached: true });
        assert.equal(command.exitCode, null);
        const waiting = command.wait();
        const again = await sandbox.getCommand(command.cmdId);
        assert.equal(again.exitCode, null);
        await sandbox.runCommand('sh', ['-c', 'echo x > gate']);
        assert.equal((await waiting).exitCode, 5);
        const logs = [];
        for await (const log of command.logs()) logs.push(log);
        assert.equal(logs.filter(({ stream }) => stream === 'stdout').map(({ data }) => data).join(''), 'one\n');
        assert.match(logs.filter(({ stream }) => stream === 'stderr').map(({ data }) => data).join(''), /^two\n$/);
        for (const [signal, code] of [['SIGTERM', 143], ['SIGKILL', 137], ['SIGINT', 130]]) {
          const sleeping = await sandbox.runCommand({ cmd: 'sleep', args: ['1000'], detached: true });
          await sleeping.kill(signal);
          assert.equal((await sleeping.wait()).exitCode, code, signal);
        }
      });

      test('time limits of commands', async () => {
        assert.equal((await sandbox.runCommand({ cmd: 'sleep', args: ['1000'], timeoutMs: 200 })).exitCode, 137);
        const detached = await sandbox.runCommand({ cmd: 'sleep', args: ['1000'], timeoutMs: 200, detached: true });
        assert.equal((await detached.wait()).exitCode, 137);
      });

      test('a client that leaves does not end the command', async () => {
        const leaving = new AbortController();
        const running = sandbox.runCommand({ cmd: 'sh', args: ['-c', 'touch began; sleep 0.3; touch ended'], signal: leaving.signal });
        await until(async () => (await sandbox.runCommand('test', ['-e', 'began'])).exitCode === 0, 'it runs');
        leaving.abort();
        await assert.rejects(running);
        await until(async () => (await sandbox.runCommand('test', ['-e', 'ended'])).exitCode === 0, 'it has ended by itself');
      });

      test('files: bytes, modes, names, parents, what is not there', async () => {
        const bytes = Buffer.from(Array.from({ length: 65536 }, (_, i) => i & 255));
        await sandbox.writeFiles([
          { path: 'bytes', content: bytes }, { path: '/tmp/run.sh', content: '#!/bin/sh\necho ran\n', mode: 0o755 },
          { path: `deep/er/${'n'.repeat(180)}`, content: 'long' }, { path: 'ünï/cödé', content: 'u' }, { path: 'empty', content: '' },
        ]);
        assert.ok((await sandbox.readFileToBuffer({ path: 'bytes' })).equals(bytes));
        assert.equal(await text(sandbox, '/tmp/run.sh'), 'ran\n');
        assert.equal(await text(sandbox, 'stat', ['-c', '%a', 'bytes', '/tmp/run.sh']), '644\n755\n');
        await sandbox.writeFiles([{ path: '/tmp/run.sh', content: 'x' }]);
        assert.equal(await text(sandbox, 'stat', ['-c', '%a', '/tmp/run.sh']), '644\n');
        assert.equal(await text(sandbox, 'cat', [`deep/er/${'n'.repeat(180)}`]), 'long');
        assert.equal(await text(sandbox, 'cat', ['ünï/cödé']), 'u');
        assert.equal((await sandbox.readFileToBuffer({ path: 'empty' })).length, 0);
        assert.equal((await sandbox.readFileToBuffer({ path: 'run.sh', cwd: '/tmp' })).toString(), 'x');
        assert.equal(await sandbox.readFileToBuffer({ path: 'nope' }), null);
        await sandbox.mkDir('made');
        await assert.rejects(sandbox.mkDir('made'), /error creating directory: .*made: File exists/);
        await assert.rejects(sandbox.mkDir('no/parent'), /error creating directory: .*No such file or directory/);
      });

      test('an upload in chunks, as the Python SDK sends it', async () => {
        const directory = scratch('vercel-chunks');
        execFileSync('/bin/sh', ['-ec', 'mkdir -p tmp; echo chunked > tmp/c; tar czf a.tgz tmp/c'], { cwd: directory });
        const archive = readFileSync(path.join(directory, 'a.tgz'));
        const status = await new Promise((resolve, reject) => {
          const request = http.request({
            port: api.port, method: 'POST', path: `/api/v2/sandboxes/sessions/${sandbox.currentSession().sessionId}/fs/write`,
            headers: { authorization: 'Bearer x', 'content-type': 'application/gzip', 'x-cwd': '/' },
          }, (response) => resolve(response.statusCode));
          request.on('error', reject);
          for (let i = 0; i < archive.length; i += 40) request.write(archive.subarray(i, i + 40));
          request.end();
        });
        assert.equal(status, 200);
        assert.equal(await text(sandbox, 'cat', ['/tmp/c']), 'chunked\n');
      });

      test('16 MiB up and down', async () => {
        const bytes = Buffer.alloc(16 * 1024 * 1024);
        for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
        await sandbox.writeFiles([{ path: 'large', content: bytes }]);
        assert.ok((await sandbox.readFileToBuffer({ path: 'large' })).equals(bytes));
      });

      test('fs', async () => {
        const { fs } = sandbox;
        await fs.mkdir('fs/a/b', { recursive: true });
        await fs.writeFile('fs/f', 'one');
        await fs.appendFile('fs/f', ' two');
        assert.equal(await fs.readFile('fs/f', 'utf8'), 'one two');
        assert.deepEqual((await fs.readdir('fs')).sort(), ['a', 'f']);
        const kinds = await fs.readdir('fs', { withFileTypes: true });
        assert.deepEqual(kinds.map((entry) => [entry.name, entry.isDirectory()]).sort(), [['a', true], ['f', false]]);
        assert.equal((await fs.stat('fs/f')).size, 7);
        await fs.symlink('f', 'fs/link');
        assert.equal(await fs.readlink('fs/link'), 'f');
        assert.ok((await fs.lstat('fs/link')).isSymbolicLink());
        await fs.chmod('fs/f', 0o600);
        assert.equal((await fs.stat('fs/f')).mode & 0o777, 0o600);
        await fs.copyFile('fs/f', 'fs/g');
        await fs.rename('fs/g', 'fs/h');
        await fs.truncate('fs/h', 3);
        assert.equal(await fs.readFile('fs/h', 'utf8'), 'one');
        assert.equal(await fs.exists('fs/g'), false);
        await fs.access('fs/h');
        await assert.rejects(fs.readFile('fs/none', 'utf8'), { code: 'ENOENT' });
        await assert.rejects(fs.rmdir('fs'), { code: 'ENOTEMPTY' });
        assert.match(await fs.realpath('fs/link'), /\/fs\/f$/);
        assert.match(await fs.mkdtemp('/tmp/t-'), /^\/tmp\/t-.{6}$/);
        await fs.unlink('fs/link');
        await fs.rm('fs', { recursive: true });
        assert.equal(await fs.exists('fs'), false);
      });

      test('update', async () => {
        await sandbox.update({ tags: { a: 'b' }, timeout: 700000, persistent: true });
        assert.deepEqual(sandbox.tags, { a: 'b' });
        assert.equal(sandbox.timeout, 700000);
      });
    });

    test('stop keeps the files of persistent ones; the next use resumes', async () => {
      const resumed = [];
      const sandbox = await create({ name: 'keeps', env: { WORD: 'kept' }, onResume: (s) => { resumed.push(s.name); } });
      await sandbox.writeFiles([{ path: 'f', content: 'still here' }]);
      const first = sandbox.currentSession().sessionId;
      await sandbox.runCommand({ cmd: 'sleep', args: ['1000'], detached: true });
      const stopped = await sandbox.stop();
      assert.equal(stopped.status, 'stopped');
      assert.equal((await sandbox.stop()).status, 'stopped');
      assert.equal((await Sandbox.get({ ...options, name: 'keeps' })).status, 'stopped');
      assert.equal(await text(sandbox, 'sh', ['-c', 'cat f; echo " $WORD"; pgrep -x sleep | wc -l']), 'still here kept\n0\n');
      assert.notEqual(sandbox.currentSession().sessionId, first);
      assert.deepEqual(resumed, ['keeps']);
      const sessions = [];
      for await (const session of await sandbox.listSessions({ limit: 1 })) sessions.push(session.id);
      assert.deepEqual(sessions, [sandbox.currentSession().sessionId, first]);
      await sandbox.delete();
    });

    test('what is not persistent is gone when it stops', async () => {
      const sandbox = await create({ name: 'forgets', persistent: false });
      await sandbox.stop();
      await assert.rejects(sandbox.runCommand('true'), /no snapshot available/);
      await sandbox.delete();
    });

    test('snapshots: on every stop, by hand, as a source, in a tree, deleted', async () => {
      const sandbox = await create({ name: 'snaps', env: { A: '1' }, snapshotExpiration: 86400000 });
      await sandbox.writeFiles([{ path: 'f', content: 'one' }]);
      await sandbox.runCommand('sh', ['-c', 'head -c 3000000 /dev/urandom > big']);
      const { snapshot: first } = await sandbox.stop();
      assert.ok(first.sizeBytes >= 3000000 && first.sizeBytes < 4000000, `${first.sizeBytes}`);
      assert.match(first.id, /^snap_\w{28}$/);
      assert.equal(first.creationMethod, 'automatic');
      assert.ok(Math.abs(first.expiresAt - Date.now() - 86400000) < 60000);
      await sandbox.writeFiles([{ path: 'f', content: 'two' }]);
      assert.equal(sandbox.currentSnapshotId, first.id);
      const second = await sandbox.snapshot({ expiration: 0 });
      assert.ok(second.sizeBytes > 0 && second.sizeBytes < 1000000, `${second.sizeBytes}`); // of its own
      assert.equal(second.expiresAt, undefined);
      assert.equal(await text(sandbox, 'cat', ['f']), 'two');
      const listed = [];
      for await (const row of await sandbox.listSnapshots()) listed.push([row.id, row.parentId, row.creationMethod]);
      assert.deepEqual(listed, [[second.snapshotId, first.id, 'manual'], [first.id, undefined, 'automatic']]);
      const old = await create({ source: { type: 'snapshot', snapshotId: first.id } });
      assert.equal(await text(old, 'cat', ['f']), 'one');
      assert.equal(old.currentSession().sourceSnapshotId, first.id);
      const walk = async (snapshotId, sortOrder) => (await Snapshot.tree({ ...options, snapshotId, sortOrder })).snapshots.map(({ snapshot }) => snapshot.id);
      assert.deepEqual(await walk(second.snapshotId, 'desc'), [first.id]);
      assert.deepEqual(await walk(first.id, 'asc'), [second.snapshotId]);
      await sandbox.update({ currentSnapshotId: first.id });
      await sandbox.stop();
      assert.equal(await text(sandbox, 'cat', ['f']), 'one');
      const found = await Snapshot.get({ ...options, snapshotId: second.snapshotId });
      await found.delete();
      assert.equal(found.status, 'deleted');
      await assert.rejects(create({ source: { type: 'snapshot', snapshotId: second.snapshotId } }), /410.*not available/);
      await assert.rejects(Snapshot.get({ ...options, snapshotId: 'snap_none' }), /404/);
      for (const one of [sandbox, old]) await one.delete({ deleteOrphanSnapshots: true });
      assert.equal((await api.ask('GET', '/api/v2/sandboxes/snapshots?project=prj_test&name=snaps')).json.snapshots.length, 0);
    });

    test('fork: files of the snapshot, settings of the source, what is given instead', async () => {
      const source = await create({ name: 'source', env: { A: '1', B: '1' }, tags: { t: '1' }, timeout: 600000 });
      await source.writeFiles([{ path: 'f', content: 'kept' }]);
      await source.stop();
      await source.writeFiles([{ path: 'f', content: 'live' }]);
      const fork = await Sandbox.fork({ ...options, sourceSandbox: 'source', name: 'forked', env: { B: '2' } });
      assert.equal(await text(fork, 'sh', ['-c', 'cat f; echo "-$A-$B"']), 'kept--2\n');
      assert.deepEqual(fork.tags, { t: '1' });
      assert.equal(fork.timeout, 600000);
      assert.equal(await text(source, 'cat', ['f']), 'live');
      await assert.rejects(Sandbox.fork({ ...options, sourceSandbox: 'source', name: 'forked' }), /409/);
      await assert.rejects(Sandbox.fork({ ...options, sourceSandbox: 'nobody' }), /404/);
      for (const one of [source, fork]) await one.delete({ deleteOrphanSnapshots: true });
    });

    test('keepLastSnapshots: those beyond it are deleted', async () => {
      const sandbox = await create({ name: 'keeplast', keepLastSnapshots: { count: 2, deleteEvicted: true } });
      for (let i = 0; i < 4; i++) {
        await sandbox.writeFiles([{ path: 'f', content: String(i) }]);
        await sandbox.stop();
      }
      assert.equal((await (await sandbox.listSnapshots()).toArray()).length, 2);
      assert.equal(await text(sandbox, 'cat', ['f']), '3');
      await sandbox.delete({ deleteOrphanSnapshots: true });
    });

    test('network policies: said as asked for, in force, and kept', async () => {
      const sandbox = await create({ name: 'net', networkPolicy: 'deny-all' });
      const said = async () => (await Sandbox.get({ ...options, name: 'net' })).networkPolicy;
      assert.equal(await said(), 'deny-all');
      await sandbox.update({ networkPolicy: { allow: ['example.com', '*.example.org'], subnets: { deny: ['10.0.0.0/8'] } } });
      const policy = await said();
      assert.deepEqual(policy.allow, ['example.com', '*.example.org']);
      assert.deepEqual(policy.subnets.deny, ['10.0.0.0/8']);
      const refused = await sandbox.runCommand('curl', ['-fsS', '-m', '5', 'http://other.example/']);
      assert.notEqual(refused.exitCode, 0);
      await sandbox.stop();
      assert.deepEqual((await said()).allow, ['example.com', '*.example.org']);
      await assert.rejects(sandbox.update({ networkPolicy: { allow: { 'a.example': [{ transform: [{ headers: { x: 'y' } }] }] } } }), /400/);
      await sandbox.delete({ deleteOrphanSnapshots: true });
    });

    test('ports: a URL of this machine for each, another set of them later', async () => {
      const sandbox = await create({ name: 'ports', ports: [3000] });
      assert.equal(sandbox.domain(3000), `https://${sandbox.routes[0].subdomain}.vercel.run`);
      await sandbox.runCommand({ cmd: 'python3', args: ['-m', 'http.server', '-d', '/etc/ssl', '3000'], detached: true });
      const answered = (url) => until(async () => (await fetch(url)).status === 200, 'the port answers', 10000);
      assert.match(sandbox.routes[0].url, /^http:\/\/127\.0\.0\.1:\d+\//);
      await answered(sandbox.routes[0].url);
      const old = sandbox.routes[0].url;
      await sandbox.update({ ports: [3001] });
      assert.deepEqual(sandbox.routes.map(({ port }) => port), [3001]);
      await assert.rejects(fetch(old));
      await sandbox.delete({ deleteOrphanSnapshots: true });
    });

    test('a terminal over a WebSocket', async () => {
      const sandbox = await create({ name: 'tty' });
      const { url, token } = await sandbox.openInteractive();
      const terminal = new WebSocket(`${url}?token=${encodeURIComponent(token)}`);
      let shown = '';
      const texts = [];
      terminal.on('message', (data, binary) => { if (binary) shown += data; else texts.push(JSON.parse(data)); });
      const closed = new Promise((resolve) => terminal.on('close', resolve));
      await new Promise((resolve) => terminal.on('open', resolve));
      terminal.send(JSON.stringify({ type: 'start', command: 'sh', args: [], env: ['PS1=> '], cwd: '/tmp', cols: 100, rows: 30 }));
      await until(() => shown.includes('> '), 'the prompt');
      terminal.send(Buffer.from('stty size; pwd\n'));
      await until(() => shown.includes('30 100\r\n/tmp\r\n'), 'its size and directory');
      terminal.send(JSON.stringify({ type: 'resize', cols: 120, rows: 40 }));
      terminal.send(Buffer.from('stty size\n'));
      await until(() => shown.includes('40 120'), 'another size');
      terminal.send(Buffer.from(`head -c 300000 /dev/zero | tr '\\0' x; exit 5\n`));
      assert.equal(await closed, 1000);
      assert.deepEqual(texts, [{ type: 'exit', code: 5 }]);
      assert.equal(shown.match(/x{1000,}/)[0].length, 300000);
      const again = new WebSocket(`${url}?token=${encodeURIComponent(token)}`);
      assert.match(String(await new Promise((resolve) => again.on('error', resolve))), /403/);
      await sandbox.delete({ deleteOrphanSnapshots: true });
    });

    test('what a terminal showed last is not lost when its command ends at once', async () => {
      const sandbox = await create({ name: 'brief-tty' });
      const shown = async () => {
        const { url, token } = await sandbox.openInteractive();
        const terminal = new WebSocket(`${url}?token=${encodeURIComponent(token)}`);
        let said = '';
        terminal.on('message', (data, binary) => { if (binary) said += data; });
        terminal.on('open', () => terminal.send(JSON.stringify({ type: 'start', command: 'echo', args: ['last words'], env: [], cwd: '/tmp', cols: 80, rows: 24 })));
        await new Promise((resolve, reject) => { terminal.on('close', resolve); terminal.on('error', reject); });
        return said;
      };
      for (let round = 0; round < 20; round++) assert.equal(await shown(), 'last words\r\n');
      await sandbox.delete({ deleteOrphanSnapshots: true });
    });

    test('sources: a git repository at any revision, a tarball; what cannot be fetched leaves nothing', async () => {
      const directory = scratch('vercel-source');
      const run = (line) => execFileSync('/bin/sh', ['-ec', line], { cwd: directory, stdio: 'pipe' });
      run(`git init -q work; cd work; git config user.email a@b; git config user.name n
        echo one > f; git add f; git commit -qm 1; git branch side; echo two > f; git commit -qam 2
        cd ..; git clone -q --bare work repo.git; git -C repo.git update-server-info
        mkdir t; echo tar > t/x; tar czf t.tgz t`);
      const host = http.createServer((request, response) => {
        const file = path.join(directory, new URL(request.url, 'http://x').pathname);
        if (!existsSync(file) || statSync(file).isDirectory()) response.writeHead(404).end();
        else response.end(readFileSync(file));
      });
      await new Promise((resolve) => host.listen(0, '127.0.0.2', resolve));
      const base = `http://127.0.0.2:${host.address().port}`;
      const made = async (source, command) => {
        const sandbox = await create({ source });
        const out = await text(sandbox, 'sh', ['-c', command]);
        await sandbox.delete();
        return out;
      };
      assert.equal(await made({ type: 'git', url: `${base}/repo.git` }, 'cat repo/f'), 'two\n');
      assert.equal(await made({ type: 'git', url: `${base}/repo.git`, revision: 'side' }, 'cat repo/f'), 'one\n');
      assert.equal(await made({ type: 'tarball', url: `${base}/t.tgz` }, 'cat t/x'), 'tar\n');
      await assert.rejects(create({ name: 'nothing', source: { type: 'git', url: `${base}/none.git` } }), /400.*could not be fetched/);
      await assert.rejects(Sandbox.get({ ...options, name: 'nothing' }), /404/);
      await assert.rejects(create({ source: { type: 'git', url: 'file:///etc' } }), /400.*https/);
      host.close();
    });

    test('time: it stops when that is over, and can be extended', async () => {
      const sandbox = await create({ name: 'brief', timeout: 1000 });
      const before = sandbox.currentSession().timeout;
      await sandbox.extendTimeout(1000);
      assert.equal(sandbox.currentSession().timeout, before + 1000);
      await until(async () => (await Sandbox.get({ ...options, name: 'brief', resume: false })).status === 'stopped', 'its time is over', 15000);
      await sandbox.delete();
    });

    test('a session that stops while its command runs ends the stream with a reason', async () => {
      const sandbox = await create({ name: 'cut' });
      const command = await sandbox.runCommand({ cmd: 'sh', args: ['-c', 'echo begun; sleep 1000'], detached: true });
      const logs = command.logs()[Symbol.asyncIterator]();
      assert.equal((await logs.next()).value.data, 'begun\n');
      const next = assert.rejects(async () => { await logs.next(); }, { code: 'sandbox_stream_closed' });
      await sandbox.stop();
      await next;
      await assert.rejects(command.kill(), /410/);
      await sandbox.delete();
    });

    test('users and groups, where the server can give them', async () => {
      const sandbox = await create({ name: 'users' });
      if (owner.root) {
        const user = await sandbox.createUser('bob');
        assert.match(await (await user.runCommand('id', ['-un'])).stdout(), /^bob$/m);
        await user.writeFiles([{ path: 'mine', content: 'hi' }]);
        assert.equal(await text(sandbox, 'stat', ['-c', '%U', '/home/bob/mine']), 'bob\n');
        await sandbox.createGroup('devs');
      } else {
        await assert.rejects(sandbox.createUser('bob'));
      }
      await sandbox.delete({ deleteOrphanSnapshots: true });
    });

    for (const signal of ['SIGTERM', 'SIGKILL']) {
      test(`${signal} to the server, and another one: what is persistent is there`, async () => {
        const before = await create({ name: 'survivor', env: { A: '1' }, tags: { t: 'v' } });
        await before.writeFiles([{ path: 'f', content: 'survived' }]);
        const snapshot = (await before.snapshot()).snapshotId;
        await before.writeFiles([{ path: 'g', content: 'since' }]);
        await api.stop(signal);
        api = await serveVercel(owner, args);
        options = { ...auth, fetch: api.fetch };
        const after_ = await Sandbox.get({ ...options, name: 'survivor' });
        assert.deepEqual(after_.tags, { t: 'v' });
        assert.notEqual(after_.status, 'running');
        assert.equal(await text(after_, 'sh', ['-c', 'cat f g; echo $A']), 'survivedsince1\n');
        assert.equal((await Snapshot.get({ ...options, snapshotId: snapshot })).status, 'created');
        await after_.delete({ deleteOrphanSnapshots: true });
      });
    }

    test('who may ask: a token, a host of this server', async () => {
      assert.equal((await api.ask('GET', '/api/v2/sandboxes?project=p', undefined, { authorization: '' })).status, 401);
      assert.equal((await api.ask('GET', '/api/v2/sandboxes')).status, 400);
      assert.equal((await api.ask('GET', '/api/v2/none')).json.error.code, 'not_found');
      assert.equal((await api.ask('POST', '/api/v3/sandboxes', '{"projectId":')).status, 400);
      const rebound = await new Promise((resolve) => http.get({ port: api.port, path: '/api/v2/user', headers: { host: 'evil.example', authorization: 'Bearer x' } }, resolve));
      assert.equal(rebound.statusCode, 403);
      const closed = await serveVercel(owner, ['--token-env', 'API_TOKEN', '--state-dir', path.join(owner.home, 'closed')], { env: { API_TOKEN: 'the-only-one' } });
      assert.equal((await closed.ask('GET', '/v2/user')).status, 403);
      assert.equal((await closed.ask('GET', '/v2/user', undefined, { authorization: 'Bearer the-only-one' })).status, 200);
      assert.equal((await closed.ask('GET', '/health')).status, 200);
      await closed.stop();
    });
  });
}
