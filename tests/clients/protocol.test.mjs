// What no client of today sends, or each does differently: both eras on one connection, ids,
// batches, errors. Each answer is also judged by the official schemas.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Wire, connect } from './lib/wire.mjs';
import { judge, schemasMissing } from './lib/trace.mjs';

const VERSION = 'io.modelcontextprotocol/protocolVersion';
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';
const SERVER = 'io.modelcontextprotocol/serverInfo';
const MODERN = { [VERSION]: '2026-07-28', [CAPABILITIES]: {} };
const wires = [];
const fresh = () => wires[wires.push(new Wire()) - 1];
const greeted = async () => wires[wires.push(await connect()) - 1];
const code = (expected) => (error) => {
  assert.equal(error.code, expected, error.message);
  return true;
};
const pongs = async (wire) => assert.deepEqual(await wire.ping(), {});

describe('the legacy handshake', () => {
  for (const version of ['2024-10-07', '2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']) {
    test(`${version} is taken`, async () => {
      const { protocolVersion } = await fresh().initialize(version);
      assert.equal(protocolVersion, version === '2024-10-07' ? '2024-11-05' : version);
    });
  }
  for (const version of ['2026-07-28', '1999-01-01', '2099-01-01', 'nonsense']) {
    test(`${version} is answered with the newest legacy revision`, async () => {
      assert.equal((await fresh().initialize(version)).protocolVersion, '2025-11-25');
    });
  }
  test('a second one negotiates anew', async () => {
    const wire = fresh();
    await wire.initialize('2024-11-05');
    assert.equal((await wire.initialize('2025-06-18')).protocolVersion, '2025-06-18');
  });
  test('requests before it are served', async () => {
    const wire = fresh();
    await pongs(wire);
    assert.ok((await wire.request('tools/list')).tools.length >= 5);
    await wire.initialize();
  });
  test('what is advertised can be asked', async () => {
    const wire = fresh();
    const { capabilities, serverInfo } = await wire.initialize();
    assert.equal(serverInfo.name, 'sandquay');
    assert.ok(capabilities.tools);
    if (capabilities.resources) {
      assert.deepEqual(await wire.request('resources/list', {}).then((result) => typeof result.resources.length), 'number');
      await wire.request('resources/templates/list', {});
      await assert.rejects(wire.request('resources/read', { uri: 'sandbox://none/none' }), code(-32002));
    }
    if (capabilities.prompts) await assert.rejects(wire.request('prompts/get', { name: 'none' }), code(-32602));
    if (capabilities.logging) {
      assert.deepEqual(await wire.request('logging/setLevel', { level: 'warning' }), {});
      await assert.rejects(wire.request('logging/setLevel', { level: 'loud' }), code(-32602));
    }
  });
});

describe('the modern era', () => {
  test('server/discover', async () => {
    const result = await fresh().request('server/discover', { _meta: MODERN });
    assert.deepEqual(result.supportedVersions, ['2026-07-28']);
    assert.equal(result.resultType, 'complete');
    assert.equal(result._meta[SERVER].name, 'sandquay');
  });
  test('every result says what it is and from whom', async () => {
    const wire = fresh();
    for (const [method, params] of [['tools/list', {}], ['resources/list', {}], ['prompts/list', {}], ['tools/call', { name: 'command_output', arguments: {} }]]) {
      const result = await wire.request(method, { ...params, _meta: MODERN });
      assert.equal(result.resultType, 'complete', method);
      assert.equal(result._meta[SERVER].name, 'sandquay', method);
    }
  });
  test('without the keys it needs', async () => {
    const wire = fresh();
    await assert.rejects(wire.request('server/discover'), code(-32602));
    await assert.rejects(wire.request('tools/list', { _meta: { [VERSION]: '2026-07-28' } }), code(-32602));
    await assert.rejects(wire.request('tools/list', { _meta: { [VERSION]: 7, [CAPABILITIES]: {} } }), code(-32602));
    await assert.rejects(wire.request('tools/list', { _meta: { ...MODERN, [CAPABILITIES]: 'x' } }), code(-32602));
  });
  test('versions that are not there, a legacy one too', async () => {
    const wire = fresh();
    for (const requested of ['v999.0.0', '2025-11-25']) {
      await assert.rejects(wire.request('tools/list', { _meta: { ...MODERN, [VERSION]: requested } }), (error) => {
        assert.deepEqual([error.code, error.data], [-32022, { supported: ['2026-07-28'], requested }]);
        return true;
      });
    }
  });
  test('methods that are gone', async () => {
    const wire = fresh();
    for (const method of ['initialize', 'ping', 'logging/setLevel', 'resources/subscribe', 'resources/unsubscribe', 'no/such']) {
      await assert.rejects(wire.request(method, { _meta: MODERN }), code(-32601));
    }
  });
  test('both eras on one connection', async () => {
    const wire = fresh();
    await wire.request('server/discover', { _meta: MODERN }, { id: 'server-discover-probe-1' });
    await wire.initialize();
    assert.equal((await wire.request('tools/list')).resultType, undefined);
    assert.equal((await wire.request('tools/list', { _meta: MODERN })).resultType, 'complete');
    await pongs(wire);
  });
  test('as Claude Code opens: discover, listen, discover again, lists', async () => {
    const wire = fresh();
    const meta = { _meta: { ...MODERN, 'io.modelcontextprotocol/clientInfo': { name: 'claude-code', version: '2.1.330' } } };
    const { capabilities } = await wire.request('server/discover', meta, { id: 'server-discover-probe-1' });
    assert.deepEqual([capabilities.tools, capabilities.resources], [{}, { listChanged: true }]);
    const acknowledged = wire.next();
    await wire.send({ id: 'listen:0', method: 'subscriptions/listen', params: { notifications: { toolsListChanged: true, resourcesListChanged: true }, ...meta } });
    const { method, params } = await acknowledged;
    assert.deepEqual([method, params.notifications], ['notifications/subscriptions/acknowledged', { resourcesListChanged: true }]);
    await wire.request('server/discover', meta, { id: 0 });
    assert.ok((await wire.request('tools/list', meta)).tools.length >= 5);
    const changed = wire.next();
    await wire.request('tools/call', { name: 'execute_command', arguments: { command: 'true' }, ...meta });
    const news = await changed;
    assert.deepEqual([news.method, news.params._meta], ['notifications/resources/list_changed', { 'io.modelcontextprotocol/subscriptionId': 'listen:0' }]);
    assert.deepEqual((await wire.request('resources/list', meta)).resources.filter(({ name }) => name === 'default').length, 1);
  });
});

describe('JSON-RPC', () => {
  test('ids are echoed as they are', async () => {
    const wire = await greeted();
    for (const id of [0, -1, 9007199254740991, '', '0', 'ünï\u0000 €', 'x'.repeat(500)]) assert.deepEqual(await wire.request('ping', undefined, { id }), {});
  });
  test('an integer beyond 2^53 too', async () => {
    const wire = await greeted();
    const answer = wire.next();
    await wire.raw('{"jsonrpc":"2.0","id":123456789012345678901,"method":"ping"}\n');
    await answer;
    const { line } = wire.records.pop();
    assert.match(line, /"id":123456789012345678901[,}]/);
  });
  test('ids that are none', async () => {
    const wire = await greeted();
    for (const id of ['null', '1.5', 'true', '{}', '[]']) {
      const answer = wire.next();
      await wire.raw(`{"jsonrpc":"2.0","id":${id},"method":"ping"}\n`);
      const { error, ...rest } = await answer;
      assert.equal(error.code, -32600, id);
      assert.equal(rest.id, undefined, id);
    }
  });
  test('notifications are never answered', async () => {
    const wire = await greeted();
    for (const method of ['notifications/initialized', 'notifications/none', 'ping', 'tools/call', 'notifications/cancelled', 'notifications/roots/list_changed']) await wire.notify(method, {});
    await wire.notify('notifications/cancelled', { requestId: 12345 });
    await wire.send({ id: 77, result: {} });
    await wire.send({ id: 78, error: { code: 1, message: 'x' } });
    await pongs(wire);
    assert.deepEqual(wire.notifications, []);
  });
  test('a batch, in the one revision that has them', async () => {
    const wire = fresh();
    await wire.initialize('2025-03-26');
    wire.records.push({ from: 'client', line: '{"jsonrpc":"2.0","id":"b1","method":"ping"}' }, { from: 'client', line: '{"jsonrpc":"2.0","id":"b2","method":"ping"}' });
    const answers = new Promise((resolve) => {
      const seen = [];
      wire.onMessage = (message) => { if (seen.push(message) === 2) resolve(seen); };
    });
    await wire.raw('[{"jsonrpc":"2.0","id":"b1","method":"ping"},{"jsonrpc":"2.0","method":"notifications/none"},{"jsonrpc":"2.0","id":"b2","method":"ping"}]\n');
    assert.deepEqual((await answers).map(({ id, result }) => [id, result]), [['b1', {}], ['b2', {}]]);
  });
  test('unknown methods and bad calls', async () => {
    const wire = await greeted();
    await assert.rejects(wire.request('no/such'), code(-32601));
    await assert.rejects(wire.request('tasks/list'), code(-32601));
    await assert.rejects(wire.request('tools/call', {}), code(-32602));
    await assert.rejects(wire.request('tools/call', { name: 'none' }), code(-32602));
    await assert.rejects(wire.request('tools/call', { name: 'execute_command', arguments: [] }), code(-32602));
    await assert.rejects(wire.request('tools/list', { cursor: 'garbage' }), code(-32602));
  });
  test('arguments that break the schema are told to the model', async () => {
    const wire = await greeted();
    const { tools } = await wire.request('tools/list');
    for (const { name } of tools) {
      const result = await wire.tool(name, { nonsense: true });
      assert.equal(result.isError, true, name);
      assert.match(result.content[0].text, /nonsense|required|missing/i);
    }
  });
  test('the same id twice at the same time', async () => {
    const wire = await greeted();
    wire.tool('execute_command', { command: 'sleep 0.3' }).catch(() => {});
    await wire.raw(`{"jsonrpc":"2.0","id":2,"method":"ping"}\n`); // the call has it
    await pongs(wire);
    wire.keepRecords = false; // refused or answered twice: both are right
    wire.records.length = 0;
  });
  test('fifty calls at once are answered, each with its own', async () => {
    const wire = await greeted();
    const runs = await Promise.all(Array.from({ length: 50 }, (_, i) => wire.run(`sleep 0.0${i % 10}; echo ${i}`)));
    assert.deepEqual(runs.map((run) => run.stdout), Array.from({ length: 50 }, (_, i) => `${i}\n`));
  });
  test('nothing comes for a cancelled call', async () => {
    const wire = await greeted();
    let answered = false;
    const call = wire.request('tools/call', { name: 'execute_command', arguments: { command: 'sleep 30', timeoutMs: 60000 } }, { id: 'gone' });
    call.then(() => { answered = true; }, () => {});
    await pongs(wire);
    await wire.notify('notifications/cancelled', { requestId: 'gone', reason: 'test' });
    assert.equal((await wire.run('echo after')).stdout, 'after\n');
    assert.equal(answered, false);
  });
});

test('every message was valid', { skip: schemasMissing() }, async () => {
  for (const wire of wires) {
    assert.deepEqual(await wire.close(), { code: 0, signal: null });
    assert.deepEqual(judge(wire.records).problems, []);
  }
});

after(() => {
  for (const wire of wires) if (wire.process.exitCode === null) wire.process.kill('SIGKILL');
});
