// Independent clients, old and new, call every tool over stdio; every message that the server
// sent them is judged by the official schema of its revision.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { clients } from './lib/adapters.mjs';
import { alive, family, marked } from './lib/processes.mjs';
import { clients as here, sandquay, sanitized, scratch, timed, until } from './lib/product.mjs';
import { judge, readTraces, schemasMissing } from './lib/trace.mjs';

const TOOLS = ['execute_command', 'command_output', 'command_input', 'read_file', 'write_file'];
const directory = scratch('clients');

/** The problem of an isError result: {code, cause, remedy}. */
function problemOf(result) {
  assert.equal(result.isError, true, JSON.stringify(result));
  const problem = JSON.parse(result.content[0].text);
  assert.deepEqual(Object.keys(problem).sort(), ['cause', 'code', 'remedy']);
  return problem;
}

const living = ({ records }) => records.at(-1).exit === undefined;

for (const [number, kind] of clients.entries()) {
  describe(kind.name, () => {
    const traces = path.join(directory, String(number));
    let client;
    let server; // the process itself, behind the recorder
    const answer = async (name, args, options) => {
      const result = await client.call(name, args, options);
      assert.ok(!result.isError, JSON.stringify(result.content));
      return result.structuredContent;
    };
    const recorded = () => readTraces(traces);

    before(async () => {
      mkdirSync(traces);
      const temp = path.join(directory, `${number}.tmp`);
      mkdirSync(temp);
      client = await kind.open({
        command: process.execPath,
        args: [path.join(here, 'tee.mjs'), traces, sandquay, 'serve'],
        env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: temp },
        stderr: 'ignore',
      });
      // (In the auto and pinned modes there was another process, only to be asked; it has ended.)
      server = await until(() => recorded().filter(living).map(({ records }) => family(records[0].server)[0])[0], 'a server', 5000);
    });

    test('lists the tools, the same way twice', async () => {
      const list = await client.list();
      const names = list.map((tool) => tool.name);
      for (const name of TOOLS) assert.ok(names.includes(name), `${name} is listed`);
      assert.deepEqual(await client.list(), list);
      for (const tool of list) {
        assert.equal(tool.inputSchema.type, 'object');
        assert.ok(tool.description.length > 20, `${tool.name} is described`);
      }
    });

    if (kind.name === '@ai-sdk/mcp') {
      test('its tools() can be executed', async () => {
        const tools = await client.tools();
        const result = await tools.execute_command.execute({ command: 'echo from the AI SDK' }, {});
        assert.match(JSON.stringify(result), /from the AI SDK/);
      });
    }

    test('resources and prompts can be polled', async () => {
      assert.ok(Array.isArray(await client.resources()));
      assert.ok(Array.isArray(await client.prompts()));
    });

    if (kind.revision < '2026') test('ping', () => client.ping());

    const script = '#!/bin/bash\necho "to stdout: grün €"\necho "to stderr" >&2\nexit ${1:-0}\n';
    test('writes a script, runs it and reads it back', async () => {
      await client.call('write_file', { path: 'job/hello.sh', content: script });
      const run = await answer('execute_command', { command: 'bash job/hello.sh' });
      assert.equal(run.stdout, 'to stdout: grün €\n');
      assert.equal(run.stderr, 'to stderr\n');
      assert.equal(run.exitCode, 0);
      assert.equal(run.status, 'exited');
      assert.equal(run.timedOut, false);
      assert.ok(run.durationMs >= 0 && run.commandId && run.sandbox);
      const back = await client.call('read_file', { path: '/workspace/job/hello.sh' });
      assert.ok(!back.isError);
      const [block] = back.content;
      assert.ok((block.text ?? block.resource.text).startsWith(script), JSON.stringify(block));
    });

    test('a failing command is a result, not an error', async () => {
      const run = await answer('execute_command', { command: 'bash job/hello.sh 3' });
      assert.equal(run.exitCode, 3);
      const missing = await answer('execute_command', { command: 'no-such-program-anywhere' });
      assert.equal(missing.exitCode, 127);
      const killed = await answer('execute_command', { command: 'kill -TERM $$' });
      assert.equal(killed.exitCode, 143);
    });

    test('environment and working directory', async () => {
      const run = await answer('execute_command', { command: 'echo "$COLOUR in $PWD"', env: { COLOUR: 'blue' }, cwd: '/workspace/job' });
      assert.equal(run.stdout, 'blue in /workspace/job\n');
    });

    test('a timeout is hard and told', async () => {
      const mark = `8${number}0001.25`;
      const { value: run, ms } = await timed(answer('execute_command',
        { command: `echo first; setsid sleep ${mark} & sleep ${mark}`, timeoutMs: 300 }));
      assert.equal(run.timedOut, true);
      assert.equal(run.status, 'timed_out');
      assert.equal(run.exitCode, 137);
      assert.equal(run.stdout, 'first\n');
      assert.ok(ms >= 300 && ms < 5000, `${ms} ms`);
      await until(() => marked(mark).length === 0, 'the descendants are gone');
    });

    test('a command in the background, its output and its input', async () => {
      const start = await answer('execute_command', { command: 'read -r a; echo "got $a"; cat; echo end', background: true });
      assert.equal(start.status, 'running');
      assert.equal(start.exitCode, null);
      const { commandId } = start;
      await client.call('command_input', { commandId, text: 'one line\n' });
      let seen = '';
      for (let i = 0; i < 20 && !seen.includes('got one line'); i++) {
        seen = (await answer('command_output', { commandId, waitMs: 5000 })).stdout + seen;
      }
      assert.match(seen, /got one line/);
      await client.call('command_input', { commandId, text: 'the rest', close: true });
      let last;
      for (let i = 0; i < 20; i++) {
        last = await answer('command_output', { commandId, waitMs: 5000 });
        seen += last.stdout;
        if (last.status !== 'running') break;
      }
      assert.equal(last.status, 'exited');
      assert.equal(last.exitCode, 0);
      assert.match(seen, /the restend/);
    });

    test('a signal to a command, and the list of commands', async () => {
      const { commandId } = await answer('execute_command', { command: 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done', background: true });
      const read = (more) => client.call('command_output', { commandId, ...more }).then((result) => result.structuredContent);
      assert.match((await read({ waitMs: 5000 })).stdout, /ready/);
      await client.call('command_input', { commandId, signal: 'SIGINT' });
      const last = await until(async () => {
        const now = await read({ stdoutOffset: 0, waitMs: 1000 });
        return now.status !== 'running' && now;
      }, 'it ends', 5000);
      assert.deepEqual([last.status, last.exitCode, last.stdout], ['exited', 9, 'ready\ncaught\n']);
      const bytes = await read({ stdoutOffset: 1, maxBytes: 3, encoding: 'base64', stream: 'stdout' });
      assert.equal(Buffer.from(bytes.stdout, 'base64').toString(), 'ead');
      const list = await client.call('command_output', {});
      assert.match(list.content[0].text, new RegExp(`"${commandId}"`));
    });

    test('files: ranges, bytes and images', async () => {
      const lines = Array.from({ length: 50 }, (_, i) => `line ${i + 1}\n`).join('');
      await client.call('write_file', { path: 'lines.txt', content: lines });
      const part = await client.call('read_file', { path: 'lines.txt', startLine: 10, lines: 2 });
      assert.ok(part.content[0].text.startsWith('line 10\nline 11\n'), part.content[0].text);
      const bytes = Buffer.from([0, 255, 254, 10, 13, 128]);
      await client.call('write_file', { path: 'bytes.bin', content: bytes.toString('base64'), encoding: 'base64' });
      const blob = (await client.call('read_file', { path: 'bytes.bin' })).content.find((block) => block.type === 'resource').resource;
      assert.deepEqual(Buffer.from(blob.blob, 'base64'), bytes);
      assert.ok(blob.uri && blob.mimeType);
      const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
      await client.call('write_file', { path: 'dot.png', content: png, encoding: 'base64' });
      const image = (await client.call('read_file', { path: 'dot.png' })).content.find((block) => block.type === 'image');
      assert.deepEqual([image.mimeType, image.data], ['image/png', png]);
      const empty = await client.call('write_file', { path: 'deep/er/empty', content: '' });
      assert.ok(!empty.isError);
      assert.ok(!(await client.call('read_file', { path: 'deep/er/empty' })).isError);
    });

    test('much output is cut in the middle, and the sizes are told', async () => {
      const run = await answer('execute_command', { command: 'seq 1 100000' });
      assert.equal(run.truncated.stdoutBytes, 588895);
      assert.ok(run.stdout.startsWith('1\n2\n') && run.stdout.endsWith('99999\n100000\n'), 'head and tail');
      assert.ok(run.stdout.length < 30000);
    });

    test('progress, when asked for', { skip: kind.name === '@ai-sdk/mcp' && 'this client cannot ask' }, async () => {
      const seen = [];
      await answer('execute_command', { command: 'for i in 1 2 3 4; do echo line $i; sleep 0.3; done' },
        { onprogress: (progress) => seen.push(progress) });
      assert.ok(seen.length >= 1, 'at least one notification');
      for (let i = 1; i < seen.length; i++) assert.ok(seen[i].progress > seen[i - 1].progress, 'it grows');
    });

    test('what a command says at once is told while it runs', { skip: kind.name === '@ai-sdk/mcp' && 'this client cannot ask' }, async () => {
      const seen = [];
      await answer('execute_command', { command: 'sleep 0.05; echo said; sleep 2' }, { onprogress: ({ message }) => seen.push(message) });
      if (kind.name !== 'SDK 1.0.4') assert.ok(seen.includes('said'), `${seen}`); // that revision has no messages
    });

    test('an abort kills the command', { skip: kind.name === '@ai-sdk/mcp' && 'this client tells nobody of an abort' }, async () => {
      const mark = `8${number}0002.25`;
      const control = new AbortController();
      const call = client.call('execute_command', { command: `sleep ${mark}`, timeoutMs: 60000 }, { signal: control.signal });
      const refused = assert.rejects(call);
      await until(() => marked(mark).length, 'the command runs', 5000);
      control.abort(new Error('not wanted any more'));
      await refused;
      await until(() => marked(mark).length === 0, 'the command is gone');
    });

    test('errors that a model can act on', async () => {
      assert.equal(problemOf(await client.call('read_file', { path: '/workspace/none.txt' })).code, 'NOT_FOUND');
      problemOf(await client.call('read_file', { path: '/workspace' }));
      problemOf(await client.call('execute_command', { command: 42 }));
      problemOf(await client.call('execute_command', {}));
      problemOf(await client.call('execute_command', { command: 'true', timeoutMs: 1 }));
      problemOf(await client.call('write_file', { path: 'a\0b', content: '' }));
      problemOf(await client.call('command_output', { commandId: 'cmd-404' }));
      problemOf(await client.call('command_input', { commandId: 'cmd-404', text: 'x' }));
      await assert.rejects(client.call('no_such_tool', {}), (error) => {
        assert.match(JSON.stringify([error.code, error.message, String(error.cause)]), /-32602|no_such_tool/);
        return true;
      });
    });

    test('no error of the transport', () => {
      assert.deepEqual(client.errors.map(String).filter((text) => !/abort/i.test(text)), []);
    });

    test('closing ends the server and all of its processes', async () => {
      const all = family(server.pid);
      await client.close();
      await until(() => !all.some(alive), 'the server is gone');
      await until(() => !recorded().some(living), 'its end is recorded');
    });

    test('every message is valid', { skip: schemasMissing() }, () => {
      const spoken = new Set();
      let messages = 0;
      for (const { file, records } of recorded()) {
        const seen = judge(records);
        assert.deepEqual(seen.problems, [], file);
        messages += seen.messages;
        for (const revision of seen.revisions) spoken.add(revision);
        // (A sanitizer build looks for leaks at its end; a client's patience may be shorter.)
        if (!kind.kills && !sanitized) assert.equal(records.at(-1).exit, 0, `${file} ended by itself with status 0`);
      }
      assert.ok(messages >= 20, `${messages} messages were judged`);
      assert.deepEqual([...spoken], [kind.revision]);
    });

    after(() => client?.close());
  });
}
