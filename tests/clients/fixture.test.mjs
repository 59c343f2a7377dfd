// What the product offers little of: resources, prompts, completion, subscriptions, questions to
// the client and tasks, on the fixture of the conformance suite, over every transport. The SDKs of
// both eras answer what they are asked; every message is judged by the official schema of its
// revision.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serve } from './lib/network.mjs';
import { recordTo } from './lib/network-adapters.mjs';
import { build, clients as here, scratch, until } from './lib/product.mjs';
import { judge, readTraces, schemasMissing } from './lib/trace.mjs';
import { Wire } from './lib/wire.mjs';

const fixture = path.join(build, 'tests/mcp-fixture');
const directory = scratch('fixture');
const info = { name: 'sandquay-fixture-test', version: '1.0.0' };
const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };
const answers = {
  elicit: async () => ({ action: 'accept', content: { name: 'Bo', color: 'red', ok: true, username: 'bo', email: 'bo@example.com', context: 'here' } }),
  sample: async () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'Paris' } }),
  roots: async () => ({ roots: [{ uri: 'file:///tmp' }] }),
};

async function versionOne() {
  const { Client } = await import('sdk-1.32.2/client/index.js');
  const types = await import('sdk-1.32.2/types.js');
  const client = new Client(info, { capabilities });
  client.setRequestHandler(types.ElicitRequestSchema, answers.elicit);
  client.setRequestHandler(types.CreateMessageRequestSchema, answers.sample);
  client.setRequestHandler(types.ListRootsRequestSchema, answers.roots);
  return client;
}

async function versionTwo(mode) {
  const { Client } = await import('@modelcontextprotocol/client');
  const client = new Client(info, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler('elicitation/create', answers.elicit);
  client.setRequestHandler('sampling/createMessage', answers.sample);
  client.setRequestHandler('roots/list', answers.roots);
  return client;
}

const one = { sdk: 'SDK 1.32.2', legacy: true, client: versionOne };
const two = { sdk: 'SDK 2.4.0 legacy', legacy: true, client: () => versionTwo('legacy') };
const pinned = { sdk: 'SDK 2.4.0 pinned', client: () => versionTwo({ pin: '2026-07-28' }) };
const stdio = (module) => async (place) => new (await import(module)).StdioClientTransport(place);
const http = (module) => async (place) => new (await import(module)).StreamableHTTPClientTransport(place);
const kinds = [
  { ...one, over: 'stdio', transport: stdio('sdk-1.32.2/client/stdio.js') },
  { ...two, over: 'stdio', transport: stdio('@modelcontextprotocol/client/stdio') },
  { ...pinned, over: 'stdio', transport: stdio('@modelcontextprotocol/client/stdio') },
  { ...one, over: 'HTTP', transport: http('sdk-1.32.2/client/streamableHttp.js') },
  { ...two, over: 'HTTP', transport: http('@modelcontextprotocol/client') },
  { ...pinned, over: 'HTTP', transport: http('@modelcontextprotocol/client') },
  { ...one, over: 'WebSocket', transport: async (place) => new (await import('sdk-1.32.2/client/websocket.js')).WebSocketClientTransport(new URL(place.href.replace('http', 'ws'))) },
];

const textOf = (result) => result.content.map((block) => block.text).join('\n');

for (const [number, kind] of kinds.entries()) {
  describe(`${kind.sdk} over ${kind.over}`, () => {
    const traces = path.join(directory, String(number));
    const records = []; // over the network
    const told = [];
    let client;
    let server;
    const call = (name, args = {}) => client.callTool({ name, arguments: args });
    before(async () => {
      mkdirSync(traces);
      let place = { command: process.execPath, args: [path.join(here, 'tee.mjs'), traces, fixture], stderr: 'inherit' };
      if (kind.over !== 'stdio') {
        recordTo(records);
        server = await serve({ program: fixture, args: [] });
        place = new URL(server.url);
      }
      client = await kind.client();
      client.fallbackNotificationHandler = async ({ method, params }) => told.push({ method, params });
      await client.connect(await kind.transport(place));
    });
    after(async () => {
      await client.close();
      await server?.stop();
    });

    test('content of every kind', async () => {
      const { content } = await call('test_multiple_content_types');
      assert.deepEqual(content.map((block) => block.type), ['text', 'image', 'resource']);
      const audio = (await call('test_audio_content')).content[0];
      assert.equal(Buffer.from(audio.data, 'base64').toString('latin1', 0, 4), 'RIFF');
    });

    test('resources and templates', async () => {
      const { resources } = await client.listResources();
      assert.ok(resources.some(({ uri }) => uri === 'test://static-text'));
      const { resourceTemplates } = await client.listResourceTemplates();
      assert.equal(resourceTemplates[0].uriTemplate, 'test://template/{id}/data');
      const { contents } = await client.readResource({ uri: 'test://template/a%20b/data' });
      assert.equal(JSON.parse(contents[0].text).id, 'a b');
      const image = (await client.readResource({ uri: 'test://static-binary' })).contents[0];
      assert.equal(Buffer.from(image.blob, 'base64')[1], 'P'.charCodeAt(0));
      // (The newer SDK gives both eras' codes as -32602; the judge sees what was sent.)
      await assert.rejects(client.readResource({ uri: 'test://none' }), ({ code, data }) => [-32002, -32602].includes(code) && data.uri === 'test://none');
    });

    test('prompts and completion', async () => {
      const { prompts } = await client.listPrompts();
      assert.ok(prompts.length >= 5);
      const { messages } = await client.getPrompt({ name: 'test_prompt_with_arguments', arguments: { arg1: 'x', arg2: 'ü' } });
      assert.match(messages[0].content.text, /arg1='x', arg2='ü'/);
      await assert.rejects(client.getPrompt({ name: 'test_prompt_with_arguments', arguments: { arg1: 'x' } }), /arg2/);
      const { completion } = await client.complete({ ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' }, argument: { name: 'arg1', value: 'par' } });
      assert.deepEqual(completion.values, ['paris', 'park', 'party']);
    });

    const questions = {
      test_input_required_result_elicitation: /^Hello, Bo!$/,
      test_input_required_result_sampling: /^Paris$/,
      test_input_required_result_list_roots: /file:\/\/\/tmp/,
      test_input_required_result_request_state: /^state-ok$/,
      test_input_required_result_multiple_inputs: /^Paris Bo, with 1 roots$/,
      test_input_required_result_multi_round: /^Bo likes red$/,
      test_streaming_elicitation: /^Hello, Bo!$/,
    };
    for (const [name, text] of Object.entries(questions)) {
      test(`${name}: the client is asked and answers`, async () => assert.match(textOf(await call(name)), text));
    }

    test('arguments come with the questions, in every round', async () => {
      assert.match(textOf(await call('test_sampling', { prompt: 'x' })), /^LLM response: Paris$/);
      assert.match(textOf(await call('test_elicitation', { message: 'x' })), /action=accept.*bo@example.com/);
    });

    test('a prompt asks too', async () => {
      const { messages } = await client.getPrompt({ name: 'test_input_required_result_prompt' });
      assert.equal(messages[0].content.text, 'here');
    });

    test('changes are told', async () => {
      const uri = 'test://watched-resource';
      const wanted = ['tools/list_changed', 'prompts/list_changed', 'resources/updated'].map((name) => `notifications/${name}`);
      if (kind.legacy) await client.subscribeResource({ uri });
      else if (client.listen) await client.listen({ toolsListChanged: true, promptsListChanged: true, resourceSubscriptions: [uri] });
      const before = (await client.listTools()).tools.length;
      for (const name of ['test_trigger_tool_change', 'test_trigger_prompt_change', 'test_trigger_resource_update']) await call(name);
      await until(() => wanted.every((method) => told.some((one) => one.method === method)), `${wanted} among ${told.map(({ method }) => method)}`, 15000);
      assert.equal(told.find(({ method }) => method.endsWith('updated')).params.uri, uri);
      assert.equal(Math.abs((await client.listTools()).tools.length - before), 1);
      if (kind.legacy) await client.unsubscribeResource({ uri });
    });

    test('every message was judged', { skip: schemasMissing() }, async () => {
      await client.close();
      const conversations = server ? [{ records }] : readTraces(traces);
      const seen = conversations.map((one) => judge(one.records));
      assert.deepEqual(seen.flatMap(({ problems }) => problems), []);
      assert.ok(seen.reduce((sum, { messages }) => sum + messages, 0) > 30);
    });
  });
}

/** A connection that asks for tasks by hand: the SDKs' clients for them are experiments. */
class Tasks {
  constructor(meta, capabilities) {
    this.wire = new Wire({ program: fixture, args: [] });
    this.meta = meta;
    this.capabilities = capabilities;
  }

  request(method, params = {}) {
    return this.wire.request(method, this.meta ? { ...params, _meta: this.meta } : params);
  }

  async ended(taskId) {
    return until(async () => {
      const task = await this.request('tasks/get', { taskId });
      return ['completed', 'failed', 'cancelled'].includes(task.status) && task;
    }, 'the end of the task', 15000);
  }

  async judged(t) {
    this.wire.process.stdin.end();
    await this.wire.closed;
    if (schemasMissing()) return t.skip(schemasMissing());
    assert.deepEqual(judge(this.wire.records).problems, []);
  }
}

describe('tasks of 2025-11-25', () => {
  const tasks = new Tasks();
  after(() => tasks.wire.close());
  const create = (name, args = {}) => tasks.request('tools/call', { name, arguments: args, task: { ttl: 60000 } });

  test('a task is made, polled, listed and gives its result', async () => {
    await tasks.request('initialize', { protocolVersion: '2025-11-25', capabilities: { elicitation: {} }, clientInfo: info });
    tasks.wire.notify('notifications/initialized');
    const { task } = await create('slow_compute', { seconds: 0.2, label: 'x' });
    assert.equal(task.status, 'working');
    assert.equal((await tasks.request('tasks/list')).tasks[0].taskId, task.taskId);
    const result = await tasks.request('tasks/result', { taskId: task.taskId });
    assert.equal(result.content[0].text, 'Computed x');
    assert.equal(result._meta['io.modelcontextprotocol/related-task'].taskId, task.taskId);
    assert.equal((await tasks.ended(task.taskId)).status, 'completed');
    assert.ok(tasks.wire.notifications.some(({ method }) => method === 'notifications/tasks/status'));
  });

  test('a tool that fails is a failed task', async () => {
    const { task } = await create('failing_job');
    assert.equal((await tasks.ended(task.taskId)).status, 'failed');
    assert.equal((await tasks.request('tasks/result', { taskId: task.taskId })).isError, true);
  });

  test('cancelled', async () => {
    const { task } = await create('slow_compute', { seconds: 60 });
    assert.equal((await tasks.request('tasks/cancel', { taskId: task.taskId })).status, 'cancelled');
    await assert.rejects(tasks.request('tasks/cancel', { taskId: task.taskId }), { code: -32602 });
    await assert.rejects(tasks.request('tasks/result', { taskId: task.taskId }), /cancelled/);
  });

  test('every message was judged', (t) => tasks.judged(t));
});

describe('tasks of the extension', () => {
  const tasks = new Tasks({
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': { elicitation: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } },
  });
  after(() => tasks.wire.close());

  test('the server makes a task; its result is in tasks/get', async () => {
    const task = await tasks.request('tools/call', { name: 'slow_compute', arguments: { seconds: 0.2, label: 'x' } });
    assert.equal(task.resultType, 'task');
    const ended = await tasks.ended(task.taskId);
    assert.equal(ended.result.content[0].text, 'Computed x');
  });

  test('questions are answered one at a time', async () => {
    const { taskId } = await tasks.request('tools/call', { name: 'multi_input', arguments: {} });
    const asked = await tasks.request('tasks/get', { taskId });
    assert.deepEqual(Object.keys(asked.inputRequests), ['name', 'confirm']);
    await tasks.request('tasks/update', { taskId, inputResponses: { confirm: { action: 'accept', content: { confirm: true } } } });
    assert.deepEqual(Object.keys((await tasks.request('tasks/get', { taskId })).inputRequests), ['name']);
    await tasks.request('tasks/update', { taskId, inputResponses: { name: { action: 'decline' } } });
    assert.equal((await tasks.ended(taskId)).status, 'completed');
  });

  test('every message was judged', (t) => tasks.judged(t));
});
