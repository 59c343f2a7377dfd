// Named sandboxes through the tools, as root and as an ordinary user: what is kept, what is refused,
// and what is left when the server dies at any moment.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { estate, leftOf, marked } from './lib/processes.mjs';
import { owners } from './lib/owners.mjs';
import { pause, sanitized, until } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';
import { judge, schemasMissing } from './lib/trace.mjs';

const conversations = [];

for (const owner of owners('sandboxes')) {
  const serve = async (args = [], more = {}) => {
    const [program, all] = owner.command(['serve', '--toolsets', 'all', ...args]);
    const wire = await connect({ program, args: all, env: { ...owner.env, ...more } });
    conversations.push(wire);
    return wire;
  };
  /** A tool's answer as an object; errors throw {code, cause, remedy}. */
  const ask = async (wire, tool, args = {}) => {
    const result = await wire.tool(tool, args);
    if (result.isError) throw Object.assign(new Error(result.content[0].text), JSON.parse(result.content[0].text));
    return result.structuredContent;
  };
  const names = async (wire) => (await ask(wire, 'sandbox_list')).sandboxes.map(({ sandbox, status }) => `${sandbox} ${status}`);
  const state = path.join(owner.env.XDG_STATE_HOME, 'sandquay');
  const shelf = (name = '') => path.join(state, 'sandboxes', name);
  const kept = () => (existsSync(shelf()) ? readdirSync(shelf()) : []);

  describe(`sandboxes of ${owner.name}`, () => {
    test('create, list, stop, resume, delete', async () => {
      const wire = await serve();
      assert.deepEqual(await names(wire), []);
      const made = await ask(wire, 'sandbox_create', { name: 'dev', memoryMb: 300, env: { WORD: 'one two' } });
      assert.equal(made.sandbox, 'dev');
      assert.equal(made.status, 'running');
      assert.equal(made.filesKept, true);
      assert.equal(made.limits.memoryMb, 300);
      assert.match(made.limits.enforcedBy, /memory: .*pids: /);
      await assert.rejects(ask(wire, 'sandbox_create', { name: 'dev' }), { code: 'CONFLICT' });
      const mark = `7${process.pid}1.5`;
      await wire.run(`echo "$WORD" > kept; echo home > ~/kept; setsid sleep ${mark} &`, { sandbox: 'dev' });
      await until(() => marked(mark).length, 'the daemon runs');
      assert.equal((await ask(wire, 'sandbox_stop', { sandbox: 'dev' })).status, 'stopped');
      assert.deepEqual(marked(mark), []);
      assert.deepEqual(await names(wire), ['dev stopped']);
      const run = await wire.run('cat kept ~/kept; echo "$WORD"', { sandbox: 'dev' });
      assert.equal(run.stdout, 'one two\nhome\none two\n');
      assert.match(run.notice, /resumed: files kept, processes of before are gone/i);
      assert.equal((await wire.run('true', { sandbox: 'dev' })).notice, undefined);
      assert.equal((await ask(wire, 'sandbox_stop', { sandbox: 'dev', delete: true })).status, 'deleted');
      assert.deepEqual(await names(wire), []);
      assert.deepEqual(kept(), []);
      assert.deepEqual(readdirSync(path.join(state, 'trash')), []);
      await assert.rejects(ask(wire, 'sandbox_stop', { sandbox: 'dev', delete: true }), { code: 'NOT_FOUND' });
      await wire.close();
    });

    test('without a name it ends with the session', async () => {
      const wire = await serve();
      const { sandbox, filesKept } = await ask(wire, 'sandbox_create');
      assert.equal(filesKept, false);
      await wire.run('echo x > f', { sandbox });
      await ask(wire, 'sandbox_stop', { sandbox });
      assert.equal((await wire.run('cat f', { sandbox })).stdout, 'x\n');
      await wire.close();
      assert.deepEqual(kept(), []);
    });

    test('the default sandbox stops in place', async () => {
      const wire = await serve();
      const mark = `7${process.pid}2.5`;
      await wire.run(`echo x > /tmp/f; setsid sleep ${mark} & sleep ${mark} & true`);
      const running = await ask(wire, 'execute_command', { command: `sleep ${mark}`, background: true });
      assert.equal((await ask(wire, 'sandbox_stop')).status, 'stopped');
      assert.deepEqual(marked(mark), []);
      const output = await ask(wire, 'command_output', { commandId: running.commandId });
      assert.equal(output.status, 'killed');
      const run = await wire.run('cat /tmp/f');
      assert.equal(run.stdout, 'x\n');
      assert.match(run.notice, /resumed/i);
      await ask(wire, 'sandbox_stop', { delete: true });
      assert.equal((await wire.run('cat /tmp/f')).exitCode, 1);
      await wire.close();
    });

    test('a later server finds them; a second one at the same time is refused', async () => {
      const first = await serve();
      await ask(first, 'sandbox_create', { name: 'later', env: { A: '1' }, pids: 99 });
      await first.run('echo x > f', { sandbox: 'later' });
      const second = await serve();
      assert.deepEqual(await names(second), ['later running']);
      const [held] = (await ask(second, 'sandbox_list')).sandboxes;
      assert.equal(held.heldByPid, first.pid);
      for (const [tool, args] of [['execute_command', { command: 'true' }], ['sandbox_stop', {}], ['sandbox_stop', { delete: true }]]) {
        await assert.rejects(ask(second, tool, { ...args, sandbox: 'later' }),
          ({ code, cause }) => code === 'CONFLICT' && cause.includes(String(first.pid)));
      }
      await first.close();
      const run = await second.run('cat f; echo $A', { sandbox: 'later' });
      assert.equal(run.stdout, 'x\n1\n');
      const [resumed] = (await ask(second, 'sandbox_list')).sandboxes;
      assert.equal(resumed.limits.pids, 99);
      await ask(second, 'sandbox_stop', { sandbox: 'later', delete: true });
      await second.close();
    });

    test('its time', async () => {
      const wire = await serve();
      const { expiresAt } = await ask(wire, 'sandbox_create', { name: 'timed', timeoutMs: 1000 });
      const longer = await ask(wire, 'sandbox_extend', { sandbox: 'timed', durationMs: 1000 });
      assert.equal(Date.parse(longer.expiresAt) - Date.parse(expiresAt), 1000);
      const { commandId } = await ask(wire, 'execute_command', { sandbox: 'timed', command: 'echo x > f; sleep 100', background: true });
      const ended = await ask(wire, 'command_output', { commandId, waitMs: 20000 });
      assert.equal(ended.status, 'killed');
      assert.match(ended.warning, /its time is over/);
      assert.ok(Date.now() >= Date.parse(longer.expiresAt) - 5);
      assert.equal((await wire.run('cat f', { sandbox: 'timed' })).stdout, 'x\n');
      await ask(wire, 'sandbox_stop', { sandbox: 'timed', delete: true });
      await assert.rejects(ask(wire, 'sandbox_extend', { durationMs: 1000 }), { code: 'INVALID' });
      await wire.close();
    });

    test('bad input is refused, says what to do, and makes nothing', async () => {
      const wire = await serve();
      const bad = [
        ['sandbox_create', { name: '../x' }], ['sandbox_create', { name: 'a/b' }], ['sandbox_create', { name: '' }],
        ['sandbox_create', { name: 'x'.repeat(129) }], ['sandbox_create', { name: 'default' }], ['sandbox_create', { name: 'ä' }],
        ...['memoryMb', 'diskMb', 'cpus', 'pids', 'timeoutMs'].flatMap((limit) => [
          ['sandbox_create', { name: 'bad', [limit]: 0 }], ['sandbox_create', { name: 'bad', [limit]: -1 }]]),
        ['sandbox_create', { name: 'bad', memoryMb: 1 }], ['sandbox_create', { name: 'bad', memoryMb: 2 ** 40 }],
        ['sandbox_create', { name: 'bad', cpus: 100000 }], ['sandbox_create', { name: 'bad', pids: 1e12 }],
        ['sandbox_create', { memoryMb: 100, diskMb: 99 }],
        ['sandbox_create', { name: 'bad', env: { 'A=B': 'x' } }], ['sandbox_create', { name: 'bad', size: 1 }],
        ['execute_command', { command: 'true', sandbox: 'a/b' }],
        ['sandbox_stop', { sandbox: '..' }],
      ];
      for (const [tool, args] of bad) {
        await assert.rejects(ask(wire, tool, args), ({ code, cause, remedy }) => code === 'INVALID' && Boolean(cause && remedy), JSON.stringify(args));
      }
      await assert.rejects(ask(wire, 'sandbox_stop', { sandbox: 'nobody' }), { code: 'NOT_FOUND' });
      await assert.rejects(ask(wire, 'sandbox_stop'), { code: 'NOT_FOUND' });
      assert.deepEqual(await names(wire), []);
      assert.deepEqual(kept(), []);
      await wire.close();
    });

    test('what may be removed by nobody else is removed', async () => {
      const wire = await serve();
      await wire.run('mkdir -p a/b/c; cd a/b; for i in $(seq 300); do mkdir d$i; cd d$i; done; echo x > deep; chmod 000 /workspace/a/b; mkdir -m 000 ~/none; ln -s /etc/passwd l; touch "$(printf "\\n\\377")"', { sandbox: 'odd', timeoutMs: 60000 });
      await ask(wire, 'sandbox_stop', { sandbox: 'odd', delete: true });
      assert.deepEqual(kept(), []);
      assert.deepEqual(readdirSync(path.join(state, 'trash')), []);
      await wire.close();
    });

    test('snapshots', async () => {
      const wire = await serve();
      const mark = `7${process.pid}3.5`;
      await ask(wire, 'sandbox_create', { name: 'source', env: { WORD: 'of the source' } });
      await wire.run(`echo one > f; mkdir d; echo x > d/x; echo gone > g; echo etc > /etc/own; setsid sleep ${mark} &`, { sandbox: 'source' });
      const { snapshot } = await ask(wire, 'sandbox_snapshot', { sandbox: 'source' });
      assert.deepEqual(marked(mark), []);
      const run = await wire.run('cat f d/x g /etc/own; echo two > f; rm -r d g; mkdir d; echo y > d/y', { sandbox: 'source' });
      assert.equal(run.stdout, 'one\nx\ngone\netc\n');
      assert.match(run.notice, /resumed/i);
      await ask(wire, 'sandbox_stop', { sandbox: 'source' });
      const second = await ask(wire, 'sandbox_snapshot', { sandbox: 'source' });
      assert.equal((await wire.run('cat f; ls d; cat g', { sandbox: 'source' })).stdout, 'two\ny\n');
      await ask(wire, 'sandbox_create', { name: 'old', snapshot });
      assert.equal((await wire.run('cat f g; ls d; echo $WORD', { sandbox: 'old' })).stdout, 'one\ngone\nx\n\n');
      const fork = await ask(wire, 'sandbox_fork', { sandbox: 'source', name: 'fork' });
      assert.equal(fork.filesKept, true);
      assert.equal((await wire.run('cat f; ls d; echo $WORD; echo mine > f', { sandbox: 'fork' })).stdout, 'two\ny\nof the source\n');
      assert.equal((await wire.run('cat f', { sandbox: 'source' })).stdout, 'two\n');
      const { sandbox } = await ask(wire, 'sandbox_fork', { sandbox: 'fork' });
      assert.equal((await wire.run('cat f', { sandbox })).stdout, 'mine\n');
      const listed = async () => (await ask(wire, 'sandbox_snapshot', { action: 'list' })).snapshots.map((one) => one.snapshot).sort();
      assert.deepEqual(await listed(), [snapshot, second.snapshot].sort());
      await ask(wire, 'sandbox_snapshot', { action: 'delete', snapshot });
      assert.deepEqual(await listed(), [second.snapshot]);
      await assert.rejects(ask(wire, 'sandbox_create', { name: 'late', snapshot }), { code: 'NOT_FOUND' });
      assert.deepEqual(kept().sort(), ['fork', 'old', 'source']);
      assert.equal((await wire.run('cat g', { sandbox: 'old' })).stdout, 'gone\n', 'it lies upon a deleted one');
      await wire.close();
      const later = await serve();
      assert.equal((await later.run('cat f', { sandbox: 'fork' })).stdout, 'mine\n');
      for (const name of ['fork', 'old', 'source']) await ask(later, 'sandbox_stop', { sandbox: name, delete: true });
      await ask(later, 'sandbox_snapshot', { action: 'delete', snapshot: second.snapshot });
      assert.deepEqual(readdirSync(path.join(state, 'snapshots')), []);
      assert.deepEqual(readdirSync(path.join(state, 'trash')), []);
      await later.close();
    });

    test('snapshots of sandboxes that are not kept', async () => {
      const wire = await serve();
      const mark = `7${process.pid}8.5`;
      const all = `find /workspace /root /etc/own /usr/share/sandquay /usr/bin/tac -xdev -printf '%p %y %m %U %G %l %T@ %s ' \\( -type f -exec sha1sum -b {} \\; -o -printf '\\n' \\) 2>/dev/null | sed -E 's/ (d .*) [0-9]+ $/ \\1/' | sort`;
      const usr = owner.name === 'root' ? 'mkdir -p /usr/share/sandquay/keep; rm -f /usr/bin/tac; chown 12:34 /usr/share/sandquay; echo x > owned; chown 33:44 owned; chown -h 5:6 odd/link;' : '';
      const made = await wire.run(`set -e; mkdir odd shut; mkfifo odd/fifo; ln -s /etc/passwd odd/link; echo 1 > odd/a; ln odd/a odd/b; chmod 4755 odd/a; echo own > /etc/own; \
        truncate -s 40M odd/sparse; printf end >> odd/sparse; head -c 3000000 /dev/urandom > odd/random; touch -d @1000000000 odd; echo x > shut/x; chmod 000 shut; ${usr} setsid sleep ${mark} & ${all}`);
      assert.match(made.stdout, /\/workspace\/odd\/random f/);
      const { snapshot } = await ask(wire, 'sandbox_snapshot', { sandbox: 'default' });
      assert.deepEqual(marked(mark), []);
      assert.match((await wire.run('cat odd/a')).notice, /resumed/i);
      const { sandbox } = await ask(wire, 'sandbox_create', { snapshot });
      assert.equal((await wire.run(all, { sandbox })).stdout, made.stdout);
      assert.equal((await wire.run('[ odd/a -ef odd/b ] && stat -c %b odd/sparse', { sandbox })).stdout.length < 4, true);
      /* One that lies upon others, and what is deleted in it. */
      await wire.run('rm -r odd/a odd/sparse; rm -rf shut; mkdir shut; echo new > odd/new; rm /etc/own', { sandbox });
      const after = (await wire.run(all, { sandbox })).stdout;
      const second = await ask(wire, 'sandbox_snapshot', { sandbox });
      await ask(wire, 'sandbox_create', { name: 'named', snapshot: second.snapshot });
      assert.equal((await wire.run(all, { sandbox: 'named' })).stdout, after);
      const fork = await ask(wire, 'sandbox_fork', { sandbox });
      assert.equal((await wire.run(`cat odd/new; ls shut`, { sandbox: fork.sandbox })).stdout, 'new\n');
      let last = second.snapshot;
      for (let i = 0; i < 32; i++) {
        const one = await ask(wire, 'sandbox_create', { snapshot: last });
        if (i % 8 === 0) await wire.run(`echo ${i} > odd/${i}`, { sandbox: one.sandbox });
        last = (await ask(wire, 'sandbox_snapshot', { sandbox: one.sandbox })).snapshot;
        await ask(wire, 'sandbox_stop', { sandbox: one.sandbox, delete: true });
      }
      await ask(wire, 'sandbox_create', { name: 'far', snapshot: last });
      assert.equal((await wire.run('cd odd; cat 0 8 16 24 new; ls; ls ../shut', { sandbox: 'far' })).stdout, '0\n8\n16\n24\nnew\n0\n16\n24\n8\nb\nfifo\nlink\nnew\nrandom\n');
      for (const name of ['far', 'named', sandbox, fork.sandbox]) await ask(wire, 'sandbox_stop', { sandbox: name, delete: true });
      for (const one of (await ask(wire, 'sandbox_snapshot', { action: 'list' })).snapshots) await ask(wire, 'sandbox_snapshot', { action: 'delete', snapshot: one.snapshot });
      assert.deepEqual(readdirSync(path.join(state, 'snapshots')), []);
      await wire.close();
    });

    test('snapshots that are refused', async () => {
      const wire = await serve();
      await wire.run('echo x > f');
      const bad = [
        ['sandbox_snapshot', {}], ['sandbox_snapshot', { action: 'delete' }],
        ['sandbox_fork', { sandbox: 'default' }], ['sandbox_fork', { sandbox: 'a/b' }], ['sandbox_snapshot', { sandbox: '..' }],
      ];
      for (const [tool, args] of bad) await assert.rejects(ask(wire, tool, args), { code: 'INVALID' }, JSON.stringify(args));
      for (const [tool, args] of [['sandbox_snapshot', { sandbox: 'nobody' }], ['sandbox_fork', { sandbox: 'nobody', name: 'x' }],
        ['sandbox_create', { name: 'x', snapshot: 'snap_none' }], ['sandbox_create', { name: 'x', snapshot: '../x' }],
        ['sandbox_snapshot', { action: 'delete', snapshot: 'snap_none' }]]) {
        await assert.rejects(ask(wire, tool, args), { code: 'NOT_FOUND' }, JSON.stringify(args));
      }
      assert.deepEqual(kept(), []);
      assert.equal((await wire.run('cat f')).stdout, 'x\n');
      await ask(wire, 'sandbox_create', { name: 'deep' });
      await assert.rejects(ask(wire, 'sandbox_fork', { sandbox: 'deep', name: 'deep' }), { code: 'CONFLICT' });
      assert.equal((await wire.run('echo fine', { sandbox: 'deep' })).stdout, 'fine\n');
      await ask(wire, 'sandbox_stop', { sandbox: 'deep', delete: true });
      for (const { snapshot } of (await ask(wire, 'sandbox_snapshot', { action: 'list' })).snapshots) await ask(wire, 'sandbox_snapshot', { action: 'delete', snapshot });
      assert.deepEqual(readdirSync(path.join(state, 'snapshots')), []);
      await wire.close();
    });

    test('more snapshots than layers can lie upon each other: nothing of the files differs', async () => {
      const wire = await serve();
      const sandbox = 'layers';
      await ask(wire, 'sandbox_create', { name: sandbox });
      const run = async (script) => {
        const result = await wire.run(`set -e; cd /workspace; ${script}`, { sandbox, timeoutMs: 60000 });
        assert.equal(result.exitCode, 0, result.stderr);
        return result.stdout;
      };
      const all = `find /workspace /root /etc/own /etc/ssl /usr/share/sandquay /usr/bin/tac -xdev \
        \\( -path '/workspace/chain/*' -o -path /etc/ssl/certs \\) -prune -o -printf '%p %y %m %U %G %l %T@ ' \\( -type f -printf '%s ' -exec sha1sum -b {} \\; -o -printf '\\n' \\) 2>&1 | sort`;
      const deep = 'for i in $(seq 250); do cd a-long-name-of-a-directory; done;';
      const usr = owner.name === 'root' ? 'mkdir -p /usr/share/sandquay/keep; rm -f /usr/bin/tac; chmod 711 /usr/share/sandquay;' : '';
      await run(`${usr} mkdir -p a/b/c gone/x becomes-file becomes-dir-2 shut chain; echo 1 > a/b/c/one; echo 1 > gone/x/f; echo 1 > becomes-file/f; \
        echo 1 > becomes-dir; echo 1 > shut/f; ln -s a/b link; ln a/b/c/one hard; mkfifo fifo; printf x > "$(printf 'odd\\tname\\377')"; \
        chmod 2750 a; chmod 000 shut; touch -d @1000000000 a/b; \
        cd chain; for i in $(seq 250); do mkdir a-long-name-of-a-directory; cd a-long-name-of-a-directory; done; echo deep > f`);
      const ids = [];
      const changes = ['rm -r gone; mkdir gone; echo 2 > gone/new', 'rm -r becomes-file; echo now > becomes-file; rm becomes-dir; mkdir becomes-dir; echo 2 > becomes-dir/f',
        'rm gone/new; echo more >> a/b/c/one; touch a/b/c/two', 'rm -r gone', 'rm -rf a/b/c; mkdir a/b/c; echo 3 > a/b/c/three', 'echo 4 > a/b/c/one; rm link; ln -s elsewhere link',
        'mv a/b b2; echo 1 > /etc/own', 'mkdir -p gone/x/y; rm /etc/own; mkdir /etc/own', 'rm -r becomes-dir'];
      for (let i = 0; i < 32; i++) {
        if (i < changes.length) await run(changes[i]);
        ids.push((await ask(wire, 'sandbox_snapshot', { sandbox })).snapshot);
      }
      await run('echo last > upper');
      const before = await run(all);
      assert.match(before, /^\/workspace\/b2\/c\/three f/m);
      ids.push((await ask(wire, 'sandbox_snapshot', { sandbox })).snapshot);
      assert.equal(await run(all), before);
      assert.equal(await run(`cd chain; ${deep} cat f`), 'deep\n');
      /* What is made of one of the old ones is as it was then. */
      const old = await ask(wire, 'sandbox_create', { snapshot: ids[3] });
      assert.equal((await wire.run('ls; cat a/b/c/one', { sandbox: old.sandbox })).stdout.includes('gone'), false);
      for (let i = 0; i < 34; i++) ids.push((await ask(wire, 'sandbox_snapshot', { sandbox })).snapshot);
      assert.equal(await run(all), before);
      await wire.close();
      const later = await serve();
      await later.run('echo mine > forked', { sandbox: (await ask(later, 'sandbox_fork', { sandbox, name: 'layers-fork' })).sandbox });
      for (const name of [sandbox, 'layers-fork']) await ask(later, 'sandbox_stop', { sandbox: name, delete: true });
      for (const { snapshot } of (await ask(later, 'sandbox_snapshot', { action: 'list' })).snapshots) await ask(later, 'sandbox_snapshot', { action: 'delete', snapshot });
      assert.deepEqual(readdirSync(path.join(state, 'snapshots')), []);
      assert.deepEqual(readdirSync(path.join(state, 'trash')), []);
      await later.close();
    });

    test('all that it writes is kept, but /run', async () => {
      const wire = await serve();
      await wire.run('echo a > /etc/own; echo b > /opt/own; echo c > /tmp/own; echo d > /srv/own; echo e > /run/own; echo "mine:x:0:0::/root:/bin/sh" >> /etc/passwd', { sandbox: 'whole' });
      const usr = await wire.run('cp /bin/true /usr/bin/mine && chmod u+s /usr/bin/mine && rm /usr/bin/yes', { sandbox: 'whole' });
      assert.equal(usr.exitCode === 0, owner.root, 'only root\'s /usr can be written to');
      await ask(wire, 'sandbox_stop', { sandbox: 'whole' });
      const { stdout } = await wire.run('cat /etc/own /opt/own /tmp/own /srv/own; ls /run/own; grep -c ^mine: /etc/passwd; mine && ! command -v yes && echo usr', { sandbox: 'whole' });
      assert.equal(stdout, `a\nb\nc\nd\n1\n${owner.root ? 'usr\n' : ''}`);
      await ask(wire, 'sandbox_stop', { sandbox: 'whole', delete: true });
      await wire.close();
    });

    test('what code has arranged does not lead the next start elsewhere', async () => {
      const victim = path.join(owner.home, 'victim');
      mkdirSync(path.join(victim, 'tmp'), { recursive: true });
      for (const directory of [victim, path.join(victim, 'tmp')]) {
        owner.own(directory);
        chmodSync(directory, 0o777);
      }
      const before = readdirSync(victim);
      const wire = await serve();
      const run = await wire.run(`for d in /home /opt /srv /mnt /var/cache /var/log /var/tmp /root/.ssh; do mkdir -p $d; mv $d /x\${d##*/}; ln -s ${victim} $d; done
        mv /etc /y; ln -s ${victim} /etc; ln -s ${victim} /usr/local/etc/x 2>/dev/null; rm -rf /srv; mkfifo /srv; echo x > /newfile`, { sandbox: 'hostile' });
      assert.equal(run.exitCode, 0, run.stderr);
      await ask(wire, 'sandbox_stop', { sandbox: 'hostile' });
      const again = await wire.run('ls -ld /home /opt /srv /mnt /etc /var/log | cut -c1; id -un; ls /newfile; readlink /etc.displaced', { sandbox: 'hostile' });
      assert.equal(again.stdout, `d\nd\nd\nd\nd\nd\nroot\n/newfile\n${victim}\n`, again.stderr);
      assert.deepEqual(readdirSync(victim), before);
      assert.deepEqual(readdirSync(path.join(victim, 'tmp')), []);
      assert.equal(statSync(victim).mode & 0o777, 0o777);
      await ask(wire, 'sandbox_stop', { sandbox: 'hostile', delete: true });
      assert.deepEqual(readdirSync(victim), before);
      await wire.close();
    });

    test('killed at any moment: what was written is there, nothing else is left', { timeout: 300000 }, async () => {
      const rounds = sanitized ? 5 : 30;
      let written = 0;
      for (let round = 0; round < rounds; round++) {
        const wire = await serve();
        const mark = `7${process.pid}${round}.75`;
        // By turns a long life, and one that has hardly begun.
        const life = round % 2 ? Math.random() * 60 : 50 + Math.random() * 150;
        const work = (async () => {
          await wire.run(`cat log; setsid sleep ${mark} &`, { sandbox: 'crash' });
          await wire.run(`setsid sleep ${mark} & true`);
          for (;;) {
            const { exitCode } = await wire.run(`echo ${written} >> log`, { sandbox: 'crash' });
            if (exitCode !== 0) continue; // a snapshot has ended it
            written += 1;
            const written2 = await wire.tool('write_file', { sandbox: 'crash', path: 'file', content: `${written}\n`.repeat(1000) });
            assert.ok(!written2.isError);
          }
        })().catch(() => {});
        const side = (async () => {
          for (let n = 0; ; n++) {
            await ask(wire, 'sandbox_create', { name: `side${n % 3}` });
            await ask(wire, 'sandbox_stop', { sandbox: `side${n % 3}`, delete: n % 2 === 0 });
            if (n % 2) await ask(wire, 'sandbox_fork', { sandbox: `side${n % 3}` });
            if (n % 2) await ask(wire, 'sandbox_stop', { sandbox: `side${n % 3}`, delete: true });
            if (n % 4 === 0) await ask(wire, 'sandbox_snapshot', { sandbox: 'crash' });
          }
        })().catch(() => {});
        await pause(life);
        const had = { ...estate(wire.pid, owner.env.TMPDIR), marks: [mark] };
        wire.process.kill('SIGKILL');
        await Promise.all([wire.closed, work, side]);
        await until(() => leftOf(had).length === 0, 'nothing is left', 5000)
          .catch((error) => { throw new Error(`${error.message}: ${leftOf(had).join(', ')}`); });
      }
      const wire = await serve();
      const { stdout } = await wire.run('cat log; echo; cat file', { sandbox: 'crash', maxOutputBytes: 262144 });
      const [log, file] = stdout.split('\n\n');
      const numbers = new Set(log.split('\n').map(Number));
      for (let i = 0; i < written; i++) assert.ok(numbers.has(i), `${i} of ${written} is lost`);
      const lines = file.trim().split('\n');
      assert.equal(lines.length, 1000, 'the file is a whole one');
      assert.equal(new Set(lines).size, 1);
      assert.ok(Number(lines[0]) >= written - 1);
      for (const { sandbox } of (await ask(wire, 'sandbox_list')).sandboxes) await ask(wire, 'sandbox_stop', { sandbox, delete: true });
      for (const { snapshot } of (await ask(wire, 'sandbox_snapshot', { action: 'list' })).snapshots) await ask(wire, 'sandbox_snapshot', { action: 'delete', snapshot });
      assert.deepEqual(readdirSync(path.join(state, 'trash')), []);
      await wire.close();
    });

    test('a record that cannot be read', async () => {
      let wire = await serve();
      await ask(wire, 'sandbox_create', { name: 'damaged' });
      await wire.close();
      writeFileSync(path.join(shelf('damaged'), 'record.json'), '{"version":');
      wire = await serve();
      assert.deepEqual(await names(wire), ['damaged stopped']);
      await assert.rejects(ask(wire, 'execute_command', { command: 'true', sandbox: 'damaged' }), ({ remedy }) => /sandquay rm/.test(remedy));
      writeFileSync(path.join(shelf('damaged'), 'record.json'), '{"version":99}');
      await assert.rejects(ask(wire, 'execute_command', { command: 'true', sandbox: 'damaged' }), { code: 'UNAVAILABLE' });
      await ask(wire, 'sandbox_stop', { sandbox: 'damaged', delete: true });
      assert.deepEqual(kept(), []);
      await wire.close();
    });

    test('a state directory that others may write to is refused', async () => {
      const open = path.join(owner.home, 'open');
      mkdirSync(path.join(open, 'sandquay'), { recursive: true });
      owner.own(open);
      owner.own(path.join(open, 'sandquay'));
      chmodSync(path.join(open, 'sandquay'), 0o777);
      const wire = await serve([], { XDG_STATE_HOME: open });
      await assert.rejects(ask(wire, 'sandbox_create', { name: 'x' }), ({ code, remedy }) => code === 'DENIED' && /XDG_STATE_HOME/.test(remedy));
      assert.equal((await wire.run('echo fine')).stdout, 'fine\n');
      await wire.close();
    });
  });
}

test('every message was valid', { skip: schemasMissing() }, () => {
  for (const wire of conversations) {
    if (wire.process.signalCode === null) assert.deepEqual(judge(wire.records).problems, []);
  }
});

after(() => {
  for (const wire of conversations) if (wire.process.exitCode === null) wire.process.kill('SIGKILL');
});
