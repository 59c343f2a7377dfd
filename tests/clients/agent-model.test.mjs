// agent/model judged by the official SDK: the same fixtures of aimock, message for message, and the
// same requests, byte for byte.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePort } from './lib/network.mjs';
import { fileURLToPath } from 'node:url';
import { modelServer, say, turn as message } from './lib/model.mjs';
import { ours, theirs } from './lib/model-judges.mjs';

const config = { key: 'sk-ant-test', model: 'claude-opus-5-5', max_tokens: 16000 };
const ask = (content) => [{ role: 'user', content }];
const bash = { name: 'bash', description: 'Runs a command', input_schema: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] } };

const SIGNATURE = 'EqQBCkYIBxgCKkCq9wz0lTqyjd0aQBqNGnZ9q+/=='.repeat(8);
const AWKWARD = { command: 'printf "a\\nb\\t\\u00e9"; echo \'ünï→😀\' "\\\\" </dev/null', nested: { list: [1, -2.5e3, true, null, ''] } };
const fixtures = [
  { match: { userMessage: 'plain' }, response: { content: 'Grüße, 世界 😀: "quoted" \\ and\nlines' } },
  { match: { userMessage: 'think' }, response: { reasoning: 'First I look — then I act.', reasoningSignature: SIGNATURE, content: 'Done.' } },
  {
    match: { userMessage: 'two calls', hasToolResult: false },
    response: { reasoning: 'Both at once.', reasoningSignature: SIGNATURE, content: 'I run both.', toolCalls: [{ id: 'toolu_A', name: 'bash', arguments: JSON.stringify(AWKWARD) }, { id: 'toolu_B', name: 'bash', arguments: '{"command":"ls"}' }] },
  },
  { match: { userMessage: 'two calls', hasToolResult: true }, response: { content: 'Both ran.' } },
  { match: { userMessage: 'long' }, response: { content: 'cut off in the mid', finishReason: 'length' } },
  { match: { userMessage: 'limited', sequenceIndex: 0 }, response: { error: { message: 'Slow down', type: 'rate_limit_error' }, status: 429, retryAfter: 1 } },
  { match: { userMessage: 'limited', sequenceIndex: 1 }, response: { content: 'Here you are.' } },
  { match: { userMessage: 'overloaded', sequenceIndex: 0 }, response: { error: { message: 'Overloaded', type: 'overloaded_error' }, status: 529 } },
  { match: { userMessage: 'overloaded', sequenceIndex: 1 }, response: { content: 'Here you are.' } },
  { match: { userMessage: 'busy' }, response: { error: { message: 'Overloaded', type: 'overloaded_error' }, status: 529 } },
  { match: { userMessage: 'bad' }, response: { error: { message: 'No such thing', type: 'invalid_request_error' }, status: 400 } },
  { match: { userMessage: 'cut once', sequenceIndex: 0 }, response: { content: 'This sentence is cut in the middle of it' }, truncateAfterChunks: 4, latency: 20 },
  { match: { userMessage: 'cut once', sequenceIndex: 1 }, response: { content: 'This one is whole.' } },
  { match: { userMessage: 'cut always' }, response: { content: 'This sentence is cut in the middle of it' }, truncateAfterChunks: 4, latency: 20 },
];

// One aimock for each of the two, because it counts requests.
async function startMock(directory) {
  const port = await freePort();
  const cli = fileURLToPath(new URL('node_modules/@copilotkit/aimock/dist/cli.js', import.meta.url));
  const child = spawn(process.execPath, [cli, '-p', port, '-f', path.join(directory, 'fixtures.json'), '--chunk-size', '7', '--strict', '--log-level', 'warn'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const base_url = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    const up = await fetch(`${base_url}/v1/models`).then((r) => r.ok, () => false);
    if (up) break;
    if (tries > 300 || child.exitCode !== null) throw new Error('aimock does not start');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { base_url, stop: async () => { child.kill(); await once(child, 'exit'); } };
}

describe('aimock answers us as it answers the official SDK', () => {
  let directory, mocks, both;
  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'aimock-'));
    await writeFile(path.join(directory, 'fixtures.json'), JSON.stringify({ fixtures }));
    mocks = await Promise.all([startMock(directory), startMock(directory)]);
    both = { ours: ours({ ...config, base_url: mocks[0].base_url, tools: [bash] }), theirs: theirs({ ...config, base_url: mocks[1].base_url, tools: [bash] }) };
  });
  after(async () => {
    await both?.ours.close();
    await Promise.all((mocks ?? []).map((mock) => mock.stop()));
    await rm(directory, { recursive: true, force: true });
  });

  const turn = async (messages) => {
    const [mine, reference] = await Promise.all([both.ours.turn(messages), both.theirs.turn(messages)]);
    return { mine, reference };
  };
  const same = async (messages) => {
    const { mine, reference } = await turn(messages);
    assert.equal(mine.error, undefined);
    assert.deepEqual(mine.content, reference.content);
    for (const key of ['stop_reason', 'text', 'model', 'input_tokens', 'output_tokens']) assert.equal(mine[key], reference[key], key);
    return mine;
  };

  test('text of all kinds, cut every 7 characters', async () => {
    const mine = await same(ask('plain'));
    assert.equal(mine.text, fixtures[0].response.content);
  });
  test('thinking with its signature', async () => {
    const mine = await same(ask('think'));
    assert.equal(mine.content[0].signature, SIGNATURE);
    assert.equal(mine.thinking, 'First I look — then I act.');
  });
  test('two parallel calls, and the turn of their results', async () => {
    const question = ask('two calls');
    const mine = await same(question);
    assert.deepEqual(mine.calls.map((call) => [call.id, call.name, JSON.parse(call.input), call.invalid]), [['toolu_A', 'bash', AWKWARD, false], ['toolu_B', 'bash', { command: 'ls' }, false]]);
    assert.equal(mine.stop_reason, 'tool_use');
    const results = ['toolu_A', 'toolu_B'].map((tool_use_id) => ({ type: 'tool_result', tool_use_id, content: 'ok' }));
    const end = await same([...question, { role: 'assistant', content: mine.content }, { role: 'user', content: results }]);
    assert.equal(end.text, 'Both ran.');
  });
  test('a message that is too long', async () => {
    assert.equal((await same(ask('long'))).stop_reason, 'max_tokens');
  });
  test('429 with retry-after, 529: repeated', async () => {
    const limited = await same(ask('limited'));
    assert.equal(limited.again, 1);
    assert.match(limited.why, /429 rate_limit_error: Slow down/);
    const overloaded = await same(ask('overloaded'));
    assert.equal(overloaded.again, 1);
  });
  test('529 for ever: given up after as many requests', async () => {
    const { mine, reference } = await turn(ask('busy'));
    assert.match(mine.error, /529 overloaded_error: Overloaded/);
    assert.equal(mine.again, 2);
    assert.equal(reference.status, 529);
  });
  test('400: not repeated', async () => {
    const { mine, reference } = await turn(ask('bad'));
    assert.match(mine.error, /400 invalid_request_error: No such thing/);
    assert.deepEqual([mine.again, reference.status], [0, 400]);
  });
  test('a cut stream: an error for the SDK, the same turn once more for us', async () => {
    const { mine, reference } = await turn(ask('cut once'));
    assert.deepEqual([mine.again, mine.text, mine.error], [1, 'This one is whole.', undefined]);
    assert.notEqual(reference.error, undefined);
    const always = await both.ours.turn(ask('cut always'));
    assert.equal(always.again, 2);
    assert.notEqual(always.error, undefined);
  });
});

describe('requests are those of the official SDK', () => {
  const blocks = [
    { type: 'thinking', thinking: 'Let me see…', signature: SIGNATURE },
    { type: 'text', text: 'I look: "ünï" \\ 😀\n' },
    { type: 'tool_use', id: 'toolu_1', name: 'bash', input: AWKWARD },
    { type: 'redacted_thinking', data: 'b64==' },
  ];
  const withId = (id) => message(blocks.map((block) => (block.id ? { ...block, id } : block)));
  const script = [withId('toolu_0'), withId('toolu_1'), message(say('Done.'))];

  async function converse(face, setup) {
    const server = await modelServer(script);
    const one = face({ ...config, base_url: server.url, tools: [bash], ...setup });
    const messages = ask('Run "it" — ünï 😀');
    for (let n = 0; n < 3; n++) {
      const answer = await one.turn(messages);
      assert.equal(answer.error, undefined);
      messages.push({ role: 'assistant', content: answer.content });
      if (n < 2) messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: `toolu_${n}`, content: `out\u0007put ${n}\n` }] });
    }
    await one.close();
    await server.close();
    return server.requests;
  }

  for (const [name, setup] of [['plain', { system: 'Be exact.\nAlways "verify".' }], ['with an effort and thinking shown', { effort: 'high', thinking: true }]])
    test(`bodies, byte for byte: ${name}`, async () => {
      const [mine, reference] = [await converse(ours, setup), await converse(theirs, setup)];
      assert.equal(mine.length, 3);
      mine.forEach((request, n) => assert.equal(request.text, reference[n].text));
    });

  test('headers and path', async () => {
    const [[mine], [reference]] = [await converse(ours, {}), await converse(theirs, {})];
    assert.equal(mine.path, reference.path);
    for (const name of ['accept', 'content-type', 'anthropic-version', 'authorization']) assert.equal(mine.headers[name], reference.headers[name], name);
    const own = new Set(['user-agent', 'accept-encoding', 'connection', 'host', 'content-length', 'accept-language', 'sec-fetch-mode']);
    for (const name of Object.keys(reference.headers)) if (!own.has(name) && !name.startsWith('x-stainless-')) assert.notEqual(mine.headers[name], undefined, `${name} is missing`);
    for (const name of Object.keys(mine.headers)) if (!own.has(name)) assert.notEqual(reference.headers[name], undefined, `${name} is too much`);
  });

  // What prompt caching and bound thinking need: a request is the one before, with more behind it.
  test('each body begins with the bytes of the one before', async () => {
    const requests = await converse(ours, { system: 'Be exact.' });
    for (let n = 1; n < requests.length; n++) {
      const before = requests[n - 1].text.slice(0, -2); // without "]}"
      assert.ok(requests[n].text.startsWith(before));
    }
  });
});
