// A client that loses its connection comes back with the id of the last event that it has seen, and
// gets the rest: of the answer to a request, and of the notifications that belong to none.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Client } from 'sdk-1.32.2/client/index.js';
import { StreamableHTTPClientTransport } from 'sdk-1.32.2/client/streamableHttp.js';
import { META, MODERN, serve } from './lib/network.mjs';
import { until } from './lib/product.mjs';

/** The whole events in what has come so far: [{id, retry, data}]. */
const events = (socket) => socket.bytes.toString().replace(/^[^]*?\r\n\r\n/, '').split('\n\n').slice(0, -1)
  .map((event) => Object.fromEntries(event.split('\n').map((line) => line.replace(/^[0-9a-f]+\r$/, '').match(/^(\w+): ?([^]*)$/)?.slice(1)).filter(Boolean)))
  .filter((event) => event.data !== undefined);

const UNTIL = (gate) => `while [ ! -e ${gate} ]; do echo working; sleep 0.05; done; echo done`;

describe('streams', () => {
  let server;
  let calls = 0;
  before(async () => { server = await serve({ args: ['serve', '--no-auth'] }); });
  after(() => server.stop());

  const tool = async (session, command) => (await server.request('tools/call', { name: 'execute_command', arguments: { command } }, session)).json.result.structuredContent;

  /** A call that tells of its progress until go() is called. */
  async function begin(session) {
    const gate = `gate-${++calls}`;
    const socket = server.socket();
    await socket.write(server.head(JSON.stringify({ jsonrpc: '2.0', id: 'slow', method: 'tools/call', params: {
      name: 'execute_command', arguments: { command: UNTIL(gate) }, _meta: { progressToken: 1 } } }), session));
    await socket.text(/working/);
    return { socket, go: () => tool(session, `touch ${gate}`) };
  }

  async function resume(session, id) {
    const socket = server.socket();
    await socket.write(server.head('', { method: 'GET', ...session, 'Last-Event-ID': id }));
    return socket;
  }

  const isAnswer = (event) => event.data && JSON.parse(event.data).id === 'slow';

  test('of an answer go on where the client has lost it', async () => {
    const session = await server.session('2025-11-25');
    const { socket, go } = await begin(session);
    const seen = events(socket);
    assert.equal(seen[0].data, '', 'the first event is only an id');
    assert.match(seen[0].retry, /^\d+$/);
    assert.match(JSON.parse(seen[1].data).method, /progress/);
    assert.equal(new Set(seen.map((event) => event.id)).size, seen.length);
    socket.destroy();
    await go();
    const again = await resume(session, seen[0].id);
    await again.text(/\r\n0\r\n\r\n/);
    const rest = events(again);
    assert.deepEqual(rest[0], { event: 'message', id: seen[1].id, data: seen[1].data }, 'what it has not named is told again');
    assert.match(JSON.parse(rest.at(-1).data).result.structuredContent.stdout, /working\ndone\n$/);
    assert.equal(rest.filter(isAnswer).length, 1);

    const last = await resume(session, rest.at(-1).id);
    await last.text(/\r\n0\r\n\r\n/);
    assert.deepEqual(events(last), [], 'behind the last one there is nothing');
    for (const one of [again, last]) one.destroy();
  });

  test('go on alive, also when the old connection is not known to be dead', async () => {
    const session = await server.session('2025-11-25');
    const { socket, go } = await begin(session);
    const again = await resume(session, events(socket).at(-1).id);
    await socket.text(/\r\n0\r\n\r\n/);
    await again.text(/200 OK/);
    assert.ok(!events(socket).some(isAnswer));
    await go();
    await again.text(/\r\n0\r\n\r\n/);
    assert.match(JSON.parse(events(again).find(isAnswer).data).result.structuredContent.stdout, /working\ndone\n$/);
    for (const one of [socket, again]) one.destroy();
  });

  test('begin with a message in the revisions before 2025-11-25, which can be resumed, too', async () => {
    const session = await server.session('2025-06-18');
    const { socket, go } = await begin(session);
    const seen = events(socket);
    assert.match(JSON.parse(seen[0].data).method, /progress/);
    assert.equal(seen[0].retry, undefined);
    socket.destroy();
    await go();
    const again = await resume(session, seen[0].id);
    await again.text(/\r\n0\r\n\r\n/);
    assert.equal(events(again).filter(isAnswer).length, 1);
    again.destroy();
  });

  test('have no ids in 2026-07-28', async () => {
    const socket = server.socket();
    const params = { name: 'execute_command', arguments: { command: 'echo x; sleep 0.2' }, _meta: { ...META, progressToken: 1 } };
    await socket.write(server.head(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
      { 'MCP-Protocol-Version': MODERN, 'Mcp-Method': 'tools/call', 'Mcp-Name': 'execute_command', 'Last-Event-ID': '1-1' }));
    await socket.text(/\r\n0\r\n\r\n/);
    assert.ok(events(socket).length >= 2);
    for (const event of events(socket)) assert.equal(event.id, undefined);
    socket.destroy();
  });

  test('of notifications go on with what was missed', async () => {
    const session = await server.session('2025-11-25');
    await server.ask({ jsonrpc: '2.0', method: 'notifications/initialized' }, session);
    const get = server.socket();
    await get.write(server.head('', { method: 'GET', ...session }));
    await get.text(/retry/);
    const [first] = events(get);
    get.destroy();
    await until(async () => { // the server has noticed
      const probe = server.socket();
      await probe.write(server.head('', { method: 'GET', ...session }));
      await probe.text(/HTTP\/1\.1 \d+/);
      const taken = /HTTP\/1\.1 409/.test(probe.bytes.toString());
      probe.destroy();
      return !taken;
    }, 'the stream is free again');
    await tool(session, 'true'); // its sandbox is made: the list of resources changes
    const again = await resume(session, first.id);
    await again.text(/list_changed/);
    again.destroy();
  });

  test('are not found by other ids, nor by others', async () => {
    const session = await server.session('2025-11-25');
    const other = await server.session('2025-11-25');
    const { socket, go } = await begin(session);
    const { id } = events(socket)[0];
    for (const [who, last] of [[session, 'x'], [session, '99-1'], [session, `${id}0`], [session, '1-1'], [other, id]]) {
      const { status, json } = await server.ask('', { method: 'GET', ...who, 'Last-Event-ID': last });
      assert.equal(status, 400, last);
      assert.match(json.error.message, /Last-Event-ID/);
    }
    await go();
    await socket.text(/\r\n0\r\n\r\n/);
    assert.ok(events(socket).some(isAnswer), 'the stream itself was not disturbed');
    socket.destroy();
  });
});

test('the official SDK gets its answer over a connection that breaks', async () => {
  const server = await serve({ args: ['serve', '--no-auth'] });
  const open = new Set();
  const line = net.createServer((socket) => { // a wire that can be cut
    const to = net.connect(server.port, '127.0.0.1');
    for (const end of [socket, to]) {
      open.add(end);
      end.on('error', () => {});
      end.on('close', () => { open.delete(end); socket.destroy(); to.destroy(); });
    }
    socket.pipe(to).pipe(socket);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => line.once('listening', resolve));
  const client = new Client({ name: 'test', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${line.address().port}/mcp`));
  await client.connect(transport);
  let began;
  const progress = new Promise((resolve) => { began = resolve; });
  const answer = client.callTool({ name: 'execute_command', arguments: { command: UNTIL('gate') } }, undefined, { onprogress: began });
  await progress;
  for (const end of open) end.destroy();
  const { json } = await server.ask({ jsonrpc: '2.0', id: 'gate', method: 'tools/call', params: { name: 'execute_command', arguments: { command: 'touch gate' } } },
    { 'Mcp-Session-Id': transport.sessionId, 'MCP-Protocol-Version': '2025-11-25' });
  assert.equal(json.result?.structuredContent.exitCode, 0, JSON.stringify(json));
  assert.match((await answer).structuredContent.stdout, /working\ndone\n$/);
  await client.close();
  line.close();
  await server.stop();
});
