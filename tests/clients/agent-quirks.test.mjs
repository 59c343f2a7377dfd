// The streams of servers that are not Anthropic's, in their own words, through a whole run with the
// real sandbox: Ollama, llama.cpp, vLLM.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { place, start } from './lib/agent.mjs';
import { modelServer, results } from './lib/model.mjs';

const where = place('agent-quirks');
const INPUT = { command: 'echo "grüße" && exit 3' };
const event = (type, data) => `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;

// Keys in the order of the alphabet, as llama.cpp's JSON library writes them.
const sorted = (value) => (value && typeof value === 'object' && !Array.isArray(value)
  ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])])) : value);
const alphabetical = (type, data) => event(type, sorted({ type, ...data }));

const servers = {
  // No stop_reason before the end, no signature of a thought, the input in one piece, ids of its own.
  Ollama: {
    calls: [
      event('message_start', { type: 'message_start', message: { id: 'msg_62aa1e', type: 'message', role: 'assistant', model: 'qwen3', content: [], usage: { input_tokens: 11, output_tokens: 0 } } }),
      event('content_block_start', { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } }),
      event('content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'A command, then.' } }),
      event('content_block_stop', { type: 'content_block_stop', index: 0 }),
      event('content_block_start', { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 'call_x1y2', name: 'execute_command', input: {} } }),
      event('content_block_delta', { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: JSON.stringify(INPUT) } }),
      event('content_block_stop', { type: 'content_block_stop', index: 1 }),
      event('message_delta', { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 20 } }),
      event('message_stop', { type: 'message_stop' }),
    ].join(''),
    replayed: [{ type: 'thinking', thinking: 'A command, then.' }, { type: 'tool_use', id: 'call_x1y2', name: 'execute_command', input: INPUT }],
  },
  // All stops at the end, no input in a call's start, an empty signature, usage only there.
  'llama.cpp': {
    calls: [
      alphabetical('message_start', { message: { id: 'chatcmpl-9', type: 'message', role: 'assistant', content: [], model: 'any', stop_reason: null, stop_sequence: null, usage: { input_tokens: 7, output_tokens: 0, cache_read_input_tokens: 0 } } }),
      alphabetical('content_block_start', { index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } }),
      alphabetical('content_block_delta', { index: 0, delta: { type: 'thinking_delta', thinking: 'Hm.' } }),
      alphabetical('content_block_start', { index: 1, content_block: { type: 'tool_use', id: 'abc', name: 'execute_command' } }),
      ...JSON.stringify(INPUT).match(/[^]{1,3}/gu).map((partial_json) => alphabetical('content_block_delta', { index: 1, delta: { type: 'input_json_delta', partial_json } })),
      alphabetical('content_block_delta', { index: 0, delta: { type: 'signature_delta', signature: '' } }),
      alphabetical('content_block_stop', { index: 0 }),
      alphabetical('content_block_stop', { index: 1 }),
      alphabetical('message_delta', { delta: { stop_reason: 'tool_use', stop_sequence: null }, usage: { output_tokens: 12 } }),
      alphabetical('message_stop', {}),
    ].join(''),
    replayed: [{ type: 'thinking', thinking: 'Hm.', signature: '' }, { type: 'tool_use', id: 'abc', name: 'execute_command', input: INPUT }],
  },
  // "[DONE]" behind the end, and lines that end in CR LF on the way through a proxy.
  vLLM: {
    calls: ([
      event('message_start', { type: 'message_start', message: { id: 'chatcmpl-f', content: [], model: 'any', role: 'assistant', type: 'message', stop_reason: null, usage: { input_tokens: 3, output_tokens: 0 } } }),
      event('content_block_start', { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
      event('content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'I run it.' } }),
      event('content_block_stop', { type: 'content_block_stop', index: 0 }),
      event('content_block_start', { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 'chatcmpl-tool-1', name: 'execute_command', input: {} } }),
      event('content_block_delta', { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '' } }),
      event('content_block_delta', { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: JSON.stringify(INPUT) } }),
      event('content_block_stop', { type: 'content_block_stop', index: 1 }),
      event('message_delta', { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { input_tokens: 3, output_tokens: 9 } }),
      event('message_stop', { type: 'message_stop' }),
      'data: [DONE]\n\n',
    ].join('')).replaceAll('\n', '\r\n'),
    replayed: [{ type: 'text', text: 'I run it.' }, { type: 'tool_use', id: 'chatcmpl-tool-1', name: 'execute_command', input: INPUT }],
  },
};

const raw = (bytes) => (body, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(bytes);
};
const answer = [
  event('message_start', { type: 'message_start', message: { id: 'm2', content: [], usage: { input_tokens: 1, output_tokens: 0 } } }),
  event('content_block_start', { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
  event('content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'It ends with 3.' } }),
  event('content_block_stop', { type: 'content_block_stop', index: 0 }),
  event('message_delta', { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 5 } }),
  event('message_stop', { type: 'message_stop' }),
].join('');

describe('servers that are not Anthropic\'s', () => {
  const models = [];
  after(() => Promise.all(models.map((model) => model.close())));

  for (const [name, { calls, replayed }] of Object.entries(servers))
    test(name, async () => {
      const model = await modelServer([raw(calls), raw(answer)]);
      models.push(model);
      const { code, stdout, stderr } = await start(where, model, ['--model', 'any', 'x'], { extra: { ANTHROPIC_API_KEY: '', ANTHROPIC_CONFIG_DIR: '/nonexistent' } }).done;
      assert.deepEqual([code, stdout], [0, 'It ends with 3.\n'], stderr);
      const [first, second] = model.requests.map(({ body }) => body);
      // Only what all of them understand.
      assert.deepEqual(Object.keys(first), ['model', 'max_tokens', 'stream', 'cache_control', 'system', 'tools', 'messages']);
      assert.ok(first.max_tokens > 0);
      assert.deepEqual(second.messages.at(-2), { role: 'assistant', content: replayed });
      const [result] = results(second);
      assert.equal(result.id, replayed.at(-1).id);
      const { stdout: output, exitCode } = JSON.parse(result.text);
      assert.deepEqual([output, exitCode], ['grüße\n', 3]);
    });

  test('errors in their own forms are told in their words', async () => {
    for (const [bytes, words] of [
      ['{"error":{"code":500,"message":"Context size has been exceeded","type":"server_error"}}', /500 server_error: Context size has been exceeded/],
      ['{"type":"error","error":{"type":"internal_error","message":"boom"}}', /500 internal_error: boom/],
      ['no JSON at all', /answers 500/],
    ]) {
      const model = await modelServer([(body, response) => { response.writeHead(500, { 'content-type': 'application/json', 'x-should-retry': 'false' }).end(bytes); }]);
      models.push(model);
      const { code, stderr } = await start(where, model, ['--model', 'any', 'x']).done;
      assert.equal(code, 5, stderr);
      assert.match(stderr, words);
    }
  });
});
