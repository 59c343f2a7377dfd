// The agent's MCP side: further servers, who may be called, servers that die, interruptions.
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { describe, test } from 'node:test';
import { agent, lines, place, start, terminal } from './lib/agent.mjs';
import { call, hang, modelServer, results, say, turn } from './lib/model.mjs';
import { family, leftOf, marked, estate } from './lib/processes.mjs';
import { until } from './lib/product.mjs';

const where = place('agent-servers');
const fake = path.join(import.meta.dirname, 'lib/fake-server.mjs');
const config = (name, servers) => {
  const file = path.join(where.directory, `${name}.json`);
  writeFileSync(file, JSON.stringify({ mcpServers: servers }));
  return file;
};
const one = (mode = '', env = {}) => ({ command: process.execPath, args: [fake, mode], env });

describe('further servers', () => {
  const file = config('two', { files: one('', { COLOUR: '${COLOUR:-red}' }), 'odd name!': one() });

  test('their tools have their names before them; all pages are listed; results of all kinds', async () => {
    const run = await agent(where, [
      (body) => {
        const names = body.tools.map(({ name }) => name);
        assert.ok(names.includes('execute_command'));
        assert.ok(names.includes('files__everything') && names.includes('files__environment'), 'the second page, too');
        assert.ok(names.includes('odd_name___everything'));
        assert.equal(new Set(names).size, names.length);
        for (const name of names) assert.match(name, /^[a-zA-Z0-9_-]{1,64}$/);
        assert.deepEqual(names.filter((name) => name.startsWith('files__same')).length, 2, 'names that would be the same');
        assert.match(JSON.stringify(body.system), /Be kind to the fake server/);
        return turn([call('files__everything', {}), call('files__environment', {}), call('files__structured', {}), call('files__fails', {})]);
      },
      (body) => {
        const [everything, environment, structured, fails] = body.messages.at(-1).content;
        assert.deepEqual(everything.content.map(({ type }) => type), ['text', 'image', 'text', 'text', 'text', 'document', 'text']);
        assert.deepEqual(everything.content[1].source, { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' });
        assert.match(everything.content[3].text, /^\[resource_link file:\/\/\/x\]$/);
        const env = JSON.parse(results(body)[1].text);
        assert.equal(env.COLOUR, 'red');
        assert.equal(env.PATH, process.env.PATH);
        assert.equal(env.ANTHROPIC_API_KEY, undefined);
        assert.equal(env.VERCEL_TEST_TOKEN, undefined);
        assert.deepEqual(JSON.parse(structured.content[0].text), { only: 'structured' });
        assert.deepEqual([fails.is_error, fails.content[0].text], [true, 'Error: it broke']);
        return turn(say('ok'));
      },
    ], ['--mcp-config', file, '--approve', 'auto', 'x'], { extra: { VERCEL_TEST_TOKEN: 'secret' } });
    assert.deepEqual([run.code, run.stdout], [0, 'ok\n'], run.stderr);
  });

  test('a result that no request can hold: the model is told, and goes on', async () => {
    const run = await agent(where, [
      turn([call('files__big', {}), call('execute_command', { command: 'true' })]),
      (body) => {
        for (const { error, text } of results(body)) assert.deepEqual([error, /too large for what is left/.test(text)], [true, true]);
        return turn(say('without it, then'));
      },
    ], ['--mcp-config', file, '--approve', 'auto', 'x']);
    assert.deepEqual([run.code, run.stdout], [0, 'without it, then\n'], run.stderr);
  });

  test('without a terminal their tools are refused, unless they are allowed', async () => {
    const script = () => [
      turn([call('files__environment', {}), call('files__structured', {}), call('execute_command', { command: 'true' })]),
      (body) => turn(say(results(body).map(({ error }) => error).join())),
    ];
    assert.equal((await agent(where, script(), ['--mcp-config', file, 'x'])).stdout, 'true,true,false\n');
    assert.equal((await agent(where, script(), ['--mcp-config', file, '--allowed-tools', 'nothing, files__env*', 'x'])).stdout, 'false,true,false\n');
    assert.equal((await agent(where, script(), ['--mcp-config', file, '--approve', 'auto', 'x'])).stdout, 'false,false,false\n');
    assert.equal((await agent(where, script(), ['--mcp-config', file, '--approve', 'never', 'x'])).stdout, 'true,true,false\n');
  });

  test('on a terminal they are asked about, one after the other', async () => {
    const model = await modelServer([
      turn([call('files__environment', {}), call('files__structured', {}), call('files__fails', { why: '\x1b[2J' })]),
      (body) => {
        assert.deepEqual(results(body).map(({ text }) => /does not allow/.test(text)), [false, true, false]);
        return turn([call('files__environment', {}), call('files__fails', {})]);
      },
      (body) => {
        assert.deepEqual(results(body).map(({ text }) => /does not allow/.test(text)), [true, false], 'always');
        return turn(say('done'));
      },
    ]);
    const screen = terminal(where, model, ['--mcp-config', file, 'x']);
    await screen.shown('The model wants to call files__environment {}');
    await screen.shown('[a]lways this tool: ');
    screen.type('what?\r');
    await screen.shown('please answer y, n or a: ');
    screen.type('y\r');
    await screen.shown('files__structured');
    await screen.shown('tool: ');
    screen.type('n\r');
    await screen.shown('files__fails');
    await screen.shown('tool: ');
    screen.type('a\r');
    await screen.shown('files__environment {}');
    await screen.shown('tool: ');
    screen.type('n\r');
    const end = await screen.done;
    assert.equal(end.code, 0, end.screen);
    assert.match(end.screen, /done/);
    assert.doesNotMatch(end.screen, /\x1b\[2J/);
    await model.close();
  });

  test('they are asked about also when something is piped in', async () => {
    const model = await modelServer([turn(call('files__structured', {})), (body) => turn(say(results(body)[0].error ? 'no' : 'yes'))]);
    const screen = terminal(where, model, ['--mcp-config', file, 'x'], { shell: 'echo piped | "$@"' });
    await screen.shown('[a]lways this tool: ');
    screen.type('y\r');
    await screen.shown('yes');
    assert.equal((await screen.done).code, 0);
    assert.match(model.requests[0].body.messages[0].content[0].text, /piped/);
    await model.close();
  });

  test('one that cannot be started is told, with its last words, and left out', async () => {
    const broken = config('broken', { good: one(), gone: { command: '/no/such/server' }, dead: one('dies-at-once') });
    const run = await agent(where, [turn(call('good__structured', {})), turn(say('ok'))], ['--mcp-config', broken, '--approve', 'auto', 'x']);
    assert.deepEqual([run.code, run.stdout], [0, 'ok\n'], run.stderr);
    assert.match(run.stderr, /server gone: starting \/no\/such\/server: No such file/);
    assert.match(run.stderr, /server dead: .*status 3; it wrote: I cannot go on/);
  });

  test('a file that is wrong says where', async () => {
    for (const [servers, words] of [
      [{ a: {} }, /server a: either command or url/], [{ a: { command: 'x', args: 'y' } }, /server a: args/],
      [{ a: { url: 'ftp://x' } }, /server a: .*not a URL/], [{ a: { command: '${NOT_SET_ANYWHERE}' } }, /NOT_SET_ANYWHERE is not set/],
      [[], /no mcpServers/],
    ]) {
      const run = await agent(where, [turn(say('ok'))], ['--mcp-config', config('wrong', servers), 'x']);
      assert.equal(run.code, 2, run.stderr);
      assert.match(run.stderr, words);
    }
  });

  test('over HTTP, with its headers', async () => {
    const seen = [];
    const server = http.createServer((request, response) => {
      let text = '';
      request.on('data', (chunk) => { text += chunk; });
      request.on('end', () => {
        seen.push(request.headers);
        if (request.method !== 'POST') return response.writeHead(405).end();
        const { id, method } = JSON.parse(text);
        const result = { initialize: { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'h', version: '1' } },
          'tools/list': { tools: [{ name: 'hello', inputSchema: { type: 'object' } }] }, 'tools/call': { content: [{ type: 'text', text: 'over http' }] } }[method];
        if (!result) return response.writeHead(202).end();
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
      });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = config('http', { web: { type: 'http', url: `http://127.0.0.1:${server.address().port}/mcp`, headers: { Authorization: 'Bearer ${WEB_TOKEN}', 'X-Team': 'blue' } } });
    const run = await agent(where, [turn(call('web__hello', {})), (body) => turn(say(results(body)[0].text))],
      ['--mcp-config', url, '--approve', 'auto', 'x'], { extra: { WEB_TOKEN: 'abc' } });
    assert.deepEqual([run.code, run.stdout], [0, 'over http\n'], run.stderr);
    for (const headers of seen) assert.deepEqual([headers.authorization, headers['x-team']], ['Bearer abc', 'blue']);
    server.closeAllConnections();
    server.close();
  });

  test('neither a token nor other headers go over a network in the clear', async () => {
    for (const headers of [{ Authorization: 'Bearer abc' }, { 'X-Api-Key': 'abc' }]) {
      const clear = config('clear', { far: { type: 'http', url: 'http://192.0.2.1/mcp', headers } });
      const run = await agent(where, [turn(say('ok'))], ['--mcp-config', clear, 'x']);
      assert.match(run.stderr, /server far: http:\/\/192\.0\.2\.1\/mcp: .* in the clear/);
    }
  });
});

describe('a server that dies', () => {
  test('in the middle of a call: an error, and the loop goes on', async () => {
    const file = config('dying', { frail: one() });
    const run = await agent(where, [
      turn([call('frail__die', {}), call('execute_command', { command: 'echo still here' })]),
      (body) => {
        const [died, other] = results(body);
        assert.equal(died.error, true);
        assert.match(died.text, /^Error: the server ended/);
        assert.match(other.text, /still here/);
        return turn(call('frail__structured', {}));
      },
      (body) => { assert.equal(results(body)[0].error, true); return turn(say('so be it')); },
    ], ['--mcp-config', file, '--approve', 'auto', 'x']);
    assert.deepEqual([run.code, run.stdout], [0, 'so be it\n'], run.stderr);
    assert.match(run.stderr, /server frail: /);
  });

  test('the own one: after two turns in which nothing can be called it ends, 125', async () => {
    const model = await modelServer([turn(call('execute_command', { command: 'sleep 100', timeoutMs: 200000 })), (body) => {
      assert.equal(results(body)[0].error, true);
      return turn(call('execute_command', { command: 'true' }));
    }]);
    const run = start(where, model, ['x', '--output', 'stream-json']);
    await until(() => run.text.stdout.includes('"tool_call"'), 'it is called', 5000);
    const server = family(run.pid).find(({ parent, name }) => parent === run.pid && name === 'sandquay');
    process.kill(server.pid, 'SIGKILL');
    const end = await run.done;
    assert.deepEqual([end.code, lines(end.stdout).at(-1).subtype, model.requests.length], [125, 'no_server', 2], end.stdout);
    await model.close();
  });
});

describe('an interruption leaves nothing, whenever it comes', () => {
  /** Interrupts when ready() holds; everything of it must be gone, and the status be the signal's. */
  async function interrupted(script, args, ready, signal = 'SIGINT') {
    const own = place('agent-interrupted');
    const model = await modelServer(script);
    const run = start(own, model, args);
    await ready(run, model);
    const all = { ...estate(run.pid, own.temp) };
    run.kill(signal);
    const end = await run.done;
    assert.equal(end.code, { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal], end.stderr);
    await until(() => leftOf(all).length === 0, () => `left: ${leftOf(all)}`, 5000);
    await model.close();
    return { ...end, where: own, requests: model.requests };
  }

  test('while servers are opened', () => interrupted([turn(say('x'))],
    ['--mcp-config', config('slow', { slow: one('never-answers') }), 'x'],
    (run) => until(() => family(run.pid).length > 2, 'the servers run', 5000)));

  test('before the model answers', () => interrupted([() => {}], ['x'], (run, model) => model.seen(1)));

  test('while the model writes', () => interrupted([(body, response) => hang(response, [say('and so I begin')])], ['--output', 'stream-json', 'x'],
    (run) => until(() => run.text.stdout.includes('and so'), 'it writes', 5000)));

  test('while it waits to ask again', () => interrupted([(body, response) => {
    response.writeHead(429, { 'retry-after': '100' });
    response.end('{"type":"error","error":{"type":"rate_limit_error","message":"later"}}');
  }], ['--output', 'stream-json', 'x'], (run) => until(() => run.text.stdout.includes('"retry"'), 'it waits', 5000)));

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    test(`while a command runs: ${signal}`, async () => {
      const mark = `6${process.pid}${signal.length}.5`;
      const end = await interrupted([turn([
        call('execute_command', { command: `setsid sleep ${mark} & sleep ${mark}`, timeoutMs: 600000 }),
        call('execute_command', { command: `sleep ${mark}`, timeoutMs: 600000 }),
      ])], ['x'], () => until(() => marked(mark).length >= 3, 'they run', 5000), signal);
      assert.equal(marked(mark).length, 0);
      assert.equal(end.requests.length, 1);
      // The session can be gone on with: every call has a result.
      const [file] = readdirSync(end.where.sessions);
      const next = await agent(end.where, [(body) => {
        assert.equal(results(body).filter(({ error }) => error).length, 2);
        return turn(say('ok'));
      }], ['--resume', path.basename(file, '.jsonl'), 'go on']);
      assert.equal(next.code, 0, next.stderr);
    });
  }

  test('while it asks', async () => {
    const model = await modelServer([turn(call('files__structured', {}))]);
    const screen = terminal(where, model, ['--mcp-config', config('ask', { files: one() }), 'x']);
    await screen.shown('[a]lways this tool: ');
    screen.type('\x03');
    assert.equal((await screen.done).code, 130);
    await model.close();
  });

  test('nobody reads the output any more: 141', async () => {
    const model = await modelServer([() => turn(call('execute_command', { command: 'true' }))]);
    const run = start(where, model, ['--output', 'stream-json', '--max-turns', '10000', 'x']);
    await new Promise((resolve) => run.stdout.once('data', resolve));
    run.stdout.destroy();
    const code = await new Promise((resolve) => run.on('exit', resolve));
    assert.equal(code, 141);
    await model.close();
  });

  test('killed: the server and its sandbox end with it', async () => {
    const mark = `6${process.pid}7.5`;
    const model = await modelServer([turn(call('execute_command', { command: `sleep ${mark}`, timeoutMs: 600000 }))]);
    const run = start(where, model, ['x']);
    await until(() => marked(mark).length > 0, 'it runs', 5000);
    run.kill('SIGKILL');
    await run.done;
    await until(() => marked(mark).length === 0, 'it is gone', 5000);
    await model.close();
  });
});
