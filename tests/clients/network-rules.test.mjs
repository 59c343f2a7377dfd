// Raw sockets against a real server: every rule of the endpoint, request smuggling shapes, slow and
// vanishing clients, and that nothing of it leaves the server busy.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { META, MODERN, serve } from './lib/network.mjs';
import { memoryKb, descriptors } from './lib/processes.mjs';
import { build, pause, scratch, skipSanitized, until } from './lib/product.mjs';

const PING = { jsonrpc: '2.0', id: 1, method: 'ping' };

/** Over this time it may use two ticks of 10 ms; one that spins uses all there is. */
async function assertIdle(server) {
  const before = server.ticks();
  await pause(150);
  const used = server.ticks() - before;
  assert.ok(used <= 2, `idle, but ${used * 10} ms of 150 were used`);
}

describe('the endpoint', () => {
  let server;
  before(async () => { server = await serve({ args: ['serve', '--no-auth', '--backend', 'null', '--max-message', '1m', '--head-timeout', '1s', '--body-timeout', '1s'] }); });
  after(async () => assert.deepEqual(await server.stop(), { code: 0, signal: null }));

  const framings = {
    'no length': [{ 'Content-Length': undefined }, 411],
    'a negative length': [{ 'Content-Length': '-5' }, 400],
    'a length with letters': [{ 'Content-Length': '2abc' }, 400],
    'a signed length': [{ 'Content-Length': '+5' }, 400],
    'two lengths': [{ 'Content-Length': ['40', '40'] }, 400],
    'two different lengths': [{ 'Content-Length': ['40', '4'] }, 400],
    'chunks': [{ 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' }, 411],
    'chunks and a length': [{ 'Transfer-Encoding': 'chunked' }, 411],
    'chunks behind a space': [{ 'Transfer-Encoding ': 'chunked' }, 411],
    'chunks in disguise': [{ 'Transfer-Encoding': 'xchunked' }, 411],
    'a body over the limit': [{ 'Content-Length': String(2 ** 20 + 1) }, 413],
    'a huge body': [{ 'Content-Length': '99999999999999999999' }, 400],
  };
  for (const [name, [headers, status]] of Object.entries(framings)) {
    test(`${name}: ${status}, and the connection ends`, async () => {
      const socket = server.socket();
      await socket.write(server.head(JSON.stringify(PING), headers) + server.head(JSON.stringify(PING)));
      const answer = await socket.answer();
      assert.equal(answer.status, status);
      assert.equal(answer.headers.connection, 'close');
      await socket.end();
      assert.equal(socket.bytes.length, 0, 'what was smuggled behind it has no answer');
      await assertIdle(server);
    });
  }

  const refusals = {
    'no Host': [{ Host: undefined }, 400],
    'another Host': [{ Host: 'evil.example.com' }, 403],
    'two Hosts': [{ Host: ['localhost', 'evil.example.com'] }, 403],
    'another Origin': [{ Origin: 'http://evil.example.com' }, 403],
    'the Origin null': [{ Origin: 'null' }, 403],
    'another path': [{ path: '/' }, 404],
    'a path with dots': [{ path: '/x/../nothing' }, 404],
    'another type': [{ 'Content-Type': 'text/plain' }, 415],
    'no type': [{ 'Content-Type': undefined }, 415],
    'no Accept': [{ Accept: undefined }, 406],
    'half an Accept': [{ Accept: 'application/json' }, 406],
    'a ping without a session': [{}, 400],
    'a session that is none': [{ 'Mcp-Session-Id': 'x' }, 404],
    'GET without a session': [{ method: 'GET' }, 405],
    'GET of the stateless era': [{ method: 'GET', 'Mcp-Session-Id': 'x', 'MCP-Protocol-Version': MODERN }, 405],
    'GET with a session that is none': [{ method: 'GET', 'Mcp-Session-Id': 'x' }, 404],
    'DELETE without a session': [{ method: 'DELETE' }, 405],
    'PUT': [{ method: 'PUT', 'Content-Length': '0' }, 405],
    'PATCH': [{ method: 'PATCH', 'Content-Length': '0' }, 405],
    'HEAD': [{ method: 'HEAD' }, 405],
    'OPTIONS without an Origin': [{ method: 'OPTIONS' }, 405],
  };
  for (const [name, [headers, status]] of Object.entries(refusals)) {
    test(`${name}: ${status}`, async () => {
      const answer = await server.ask(headers.method && headers.method !== 'POST' ? '' : PING, headers);
      assert.equal(answer.status, status);
      if (status === 405) assert.match(answer.headers.allow, /POST/);
      if (headers.method !== 'HEAD') assert.ok(answer.json.error.message.length > 10);
      await assertIdle(server);
    });
  }

  test('what was never HTTP ends without an answer that could be mistaken', async () => {
    for (const bytes of ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'hello\r\n\r\n', '\0\0\0\0', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03']) {
      const socket = server.socket();
      await socket.write(Buffer.from(bytes, 'latin1'));
      await socket.end();
      assert.doesNotMatch(socket.bytes.toString('latin1'), /^HTTP\/1\.1 2/);
    }
    await assertIdle(server);
  });

  test('heads are limited', async () => {
    for (const head of [
      `POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20000)}\r\n\r\n`,
      `GET /${'x'.repeat(20000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      `POST /mcp HTTP/1.1\r\n${Array.from({ length: 2000 }, (_, i) => `X${i}: y\r\n`).join('')}\r\n`]) {
      const socket = server.socket();
      await socket.write(head);
      await socket.end();
      assert.doesNotMatch(socket.bytes.toString('latin1'), /^HTTP\/1\.1 2/);
    }
    await assertIdle(server);
  });

  test('unknown and foreign upgrades are refused', async () => {
    for (const headers of [{ Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABkAAQAAP__' }, { Upgrade: 'foo' }, { Upgrade: 'websocket, h2c' }, { Upgrade: '' }]) {
      const socket = server.socket();
      await socket.write(server.head('', { method: 'GET', Connection: 'Upgrade', ...headers }));
      await until(() => socket.closed || /^HTTP\/1\.1 4/.test(socket.bytes.toString('latin1')), 'a refusal');
      assert.doesNotMatch(socket.bytes.toString('latin1'), /HTTP\/1\.1 101/);
      socket.destroy();
    }
    await assertIdle(server);
    assert.equal((await server.modern('server/discover')).status, 200);
  });

  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  const upgrade = { method: 'GET', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': key, 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Protocol': 'mcp' };
  const handshakes = {
    'as it should be': [{}, 101],
    'without a subprotocol': [{ 'Sec-WebSocket-Protocol': undefined }, 101],
    'another subprotocol': [{ 'Sec-WebSocket-Protocol': 'chat' }, 400],
    'an old version': [{ 'Sec-WebSocket-Version': '8' }, 426],
    'a bad key': [{ 'Sec-WebSocket-Key': 'x' }, 400],
    'no key': [{ 'Sec-WebSocket-Key': undefined }, 400],
    'another path': [{ path: '/' }, 404],
    'another Origin': [{ Origin: 'http://evil.example.com' }, 403],
    'another Host': [{ Host: 'evil.example.com' }, 403],
    'by POST': [{ method: 'POST' }, 400],
  };
  for (const [name, [headers, status]] of Object.entries(handshakes)) {
    test(`WebSocket handshake, ${name}: ${status}`, async () => {
      const answer = await server.ask('', { ...upgrade, ...headers });
      assert.equal(answer.status, status);
      if (status === 101) {
        assert.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
        assert.equal(answer.headers['sec-websocket-protocol'], headers['Sec-WebSocket-Protocol'] === undefined && 'Sec-WebSocket-Protocol' in headers ? undefined : 'mcp');
        assert.equal(answer.headers['sec-websocket-extensions'], undefined);
      }
      if (status === 426) assert.equal(answer.headers['sec-websocket-version'], '13');
      await assertIdle(server);
    });
  }

  test('requests follow one another on a connection', async () => {
    const socket = server.socket();
    const session = await server.session();
    for (let i = 0; i < 20; i++) {
      await socket.write(server.head(JSON.stringify({ ...PING, id: i }), session));
      const { status, json } = await socket.answer();
      assert.deepEqual([status, json.id], [200, i]);
    }
    // a refusal before the body was read does not end it
    await socket.write(server.head(JSON.stringify(PING), { 'Content-Type': 'text/plain' }));
    assert.equal((await socket.answer()).status, 415);
    await socket.write(server.head(JSON.stringify(PING), session));
    assert.equal((await socket.answer()).status, 200);
    socket.destroy();
  });

  test('HTTP/1.0 is answered and closed', async () => {
    const socket = server.socket();
    await socket.write('GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n');
    assert.equal((await socket.answer()).status, 200);
    await socket.end();
  });

  test('half a head, half a body, nothing at all: the connection ends, the server rests', async () => {
    const sockets = ['', 'POST /mcp HT', 'POST /mcp HTTP/1.1\r\nHost: localhost\r\n', server.head('', { 'Content-Length': '100' }), server.head('{', { 'Content-Length': '100' })]
      .map((bytes) => { const socket = server.socket(); void socket.write(bytes); return socket; });
    await assertIdle(server);
    for (const socket of sockets) await socket.end(20000);
    await assertIdle(server);
  });

  test('a body in drops: 408', async () => {
    const socket = server.socket();
    await socket.write(server.head('', { 'Content-Length': '1000' }));
    const drops = setInterval(() => void socket.write('x'), 100);
    const answer = await socket.answer();
    clearInterval(drops);
    assert.equal(answer.status, 408);
    await socket.end();
    await assertIdle(server);
  });

  test('a client that sends on after a refusal is not read for ever', async () => {
    const socket = server.socket();
    await socket.write(server.head('', { 'Content-Length': '99999999999' }));
    const flood = setInterval(() => void socket.write(Buffer.alloc(65536)), 5);
    assert.equal((await socket.answer()).status, 413);
    await socket.end();
    clearInterval(flood);
    await assertIdle(server);
  });

  test('connections that are opened and dropped leave nothing', { skip: skipSanitized }, async () => {
    const before = { fds: descriptors(server.pid), kb: memoryKb(server.pid) };
    for (let round = 0; round < 10; round++) {
      const sockets = Array.from({ length: 50 }, () => server.socket());
      await Promise.all(sockets.map((socket, i) => socket.write(['', 'G', server.head('{}'), server.head('', { 'Content-Length': '5' })][i % 4])));
      for (const socket of sockets) socket.destroy();
    }
    await until(() => descriptors(server.pid) <= before.fds, 'the descriptors are back', 5000);
    assert.ok(memoryKb(server.pid) < before.kb + 20000, 'and the memory');
    await assertIdle(server);
  });
});

describe('while an answer is pending', () => {
  let server;
  let session;
  const call = (command) => ({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'execute_command', arguments: { command } } });
  before(async () => {
    server = await serve({ args: ['serve', '--no-auth'] });
    session = await server.session();
    await server.ask(call('true'), session); // the sandbox is there
  });
  after(() => server.stop());

  test('bytes behind the request do not make the server spin (guard 1)', async () => {
    const socket = server.socket();
    await socket.write(server.head(JSON.stringify(call('sleep 1')), session));
    await pause(100);
    await socket.write('x');
    // 4.1.6 could only spin; 4.3 keeps them for later and answers first
    const { status, closed } = await socket.answer();
    assert.ok(closed || status === 200, String(status));
    await assertIdle(server);
    socket.destroy();
  });

  test('a GET stream whose client goes away (guard 2)', async () => {
    for (const leave of [(s) => s.socket.end(), (s) => s.socket.destroy(), (s) => s.socket.resetAndDestroy(), (s) => s.write('GET / HTTP/1.1\r\n\r\n')]) {
      const socket = server.socket();
      await socket.write(server.head('', { method: 'GET', ...session }));
      await socket.text(/text\/event-stream/);
      assert.equal((await server.ask('', { method: 'GET', ...session })).status, 409, 'one stream a session');
      leave(socket);
      await until(async () => {
        const second = server.socket();
        await second.write(server.head('', { method: 'GET', ...session }));
        const [, status] = await second.text(/HTTP\/1\.1 (\d+)/);
        second.destroy();
        return status === '200';
      }, 'the stream can be opened again');
      await pause(50);
      await assertIdle(server);
    }
  });

  test('a legacy request goes on when its client leaves; a modern one is cancelled', async () => {
    for (const [headers, params, file] of [
      [session, {}, 'legacy'],
      [{ 'MCP-Protocol-Version': MODERN, 'Mcp-Method': 'tools/call', 'Mcp-Name': 'execute_command' }, { _meta: META }, 'modern']]) {
      const socket = server.socket();
      const body = call(`echo begun > /tmp/${file}; sleep 1; echo ended >> /tmp/${file}`);
      Object.assign(body.params, params);
      await socket.write(server.head(JSON.stringify(body), headers));
      const read = async () => {
        const request = { ...call(`cat /tmp/${file}`), id: 8 };
        Object.assign(request.params, params);
        const { json } = await server.ask(request, headers);
        return json.result.structuredContent.stdout;
      };
      await until(async () => await read() === 'begun\n', 'it runs', 5000);
      socket.destroy();
      await pause(1300);
      assert.equal(await read(), file === 'legacy' ? 'begun\nended\n' : 'begun\n');
    }
  });

  test('progress makes it a stream; nothing makes it JSON', async () => {
    const body = call('for i in 1 2 3; do echo $i; sleep 0.3; done');
    body.params._meta = { progressToken: 'p' };
    const streamed = await server.ask(body, session);
    assert.equal(streamed.headers['content-type'], 'text/event-stream');
    assert.equal(streamed.headers['x-accel-buffering'], 'no');
    assert.ok(streamed.events.length >= 2);
    assert.ok(streamed.events.slice(0, -1).every((event) => event.method === 'notifications/progress'));
    assert.equal(streamed.events.at(-1).result.structuredContent.exitCode, 0);
    assert.equal((await server.ask(call('sleep 0.2'), session)).headers['content-type'], 'application/json');
  });

  test('a long call begins its answer as a stream before anybody gives up', async () => {
    const socket = server.socket();
    await socket.write(server.head(JSON.stringify(call('sleep 6; echo late')), session));
    await socket.text(/text\/event-stream/, 8000);
    const { events } = await socket.answer();
    assert.equal(events.at(-1).result.structuredContent.stdout, 'late\n');
    socket.destroy();
  });

  test('a client that does not read is held back within bounds', { skip: skipSanitized }, async () => {
    const socket = server.socket();
    socket.socket.pause();
    const before = memoryKb(server.pid);
    const body = call('cat /dev/zero | tr "\\\\0" x | head -c 50000000');
    body.params._meta = { progressToken: 1 };
    for (let i = 0; i < 5; i++) await server.ask({ ...body, id: 100 + i }, session);
    await socket.write(server.head(JSON.stringify(body), session));
    await pause(500);
    await assertIdle(server);
    assert.ok(memoryKb(server.pid) < before + 300000);
    socket.destroy();
  });

  test('DELETE ends the session, its calls and its stream', async () => {
    const other = await server.session();
    const stream = server.socket();
    await stream.write(server.head('', { method: 'GET', ...other }));
    await stream.text(/event-stream/);
    const running = server.ask(call('sleep 30'), other);
    await pause(300);
    assert.equal((await server.ask('', { method: 'DELETE', ...other })).status, 204);
    assert.equal((await running).status, 404);
    await stream.text(/\r\n0\r\n\r\n/);
    for (const method of ['DELETE', 'GET']) assert.equal((await server.ask('', { method, ...other })).status, 404);
    assert.equal((await server.ask(PING, other)).status, 404);
    stream.destroy();
  });
});

describe('the end', () => {
  test('streams that wait for changes end, what runs is finished, then the process', async () => {
    const server = await serve({ program: path.join(build, 'tests/mcp-fixture'), args: [] });
    const session = await server.session();
    const get = server.socket();
    await get.write(server.head('', { method: 'GET', ...session }));
    await get.text(/event-stream/);
    const listen = server.socket();
    const body = JSON.stringify({ jsonrpc: '2.0', id: 'l', method: 'subscriptions/listen', params: { _meta: META, notifications: { toolsListChanged: true } } });
    await listen.write(server.head(body, { 'MCP-Protocol-Version': MODERN, 'Mcp-Method': 'subscriptions/listen' }));
    await listen.text(/acknowledged/);
    const idle = server.socket();
    await idle.write(server.head('', { method: 'GET', path: '/healthz' }));
    await idle.answer();
    const running = server.socket();
    await running.write(server.head(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'test_tool_with_progress', arguments: {}, _meta: { progressToken: 1 } } }), session));
    await running.text(/notifications\/progress/);
    const ended = server.stop();
    const { events } = await listen.answer();
    assert.deepEqual([events.length, events[1].id, events[1].result.resultType], [2, 'l', 'complete']);
    await get.text(/\r\n0\r\n\r\n/);
    assert.equal((await running.answer()).events.at(-1).id, 1);
    for (const socket of [get, listen, idle, running]) await socket.end();
    assert.deepEqual(await ended, { code: 0, signal: null });
  });

  test('a second signal does not wait', async () => {
    const server = await serve();
    const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'execute_command', arguments: { command: 'sleep 60' } } };
    const session = await server.session();
    const running = server.ask(body, session);
    await pause(500);
    void server.stop();
    await pause(200);
    assert.equal(server.process.exitCode, null);
    assert.deepEqual(await server.stop('SIGINT'), { code: 0, signal: null });
    assert.equal((await running).status, 0);
  });
});

describe('limits', () => {
  const start = (...args) => serve({ args: ['serve', '--backend', 'null', ...args] });

  test('connections wait at the limit and are served when there is room', async () => {
    const server = await start('--no-auth', '--max-connections', '3');
    const held = Array.from({ length: 3 }, () => server.socket());
    await pause(200);
    const late = server.socket();
    await late.write(server.head('', { method: 'GET', path: '/healthz' }));
    await pause(200);
    assert.equal(late.bytes.length, 0);
    held[0].destroy();
    assert.equal((await late.answer()).status, 200);
    for (const socket of [...held, late]) socket.destroy();
    await assertIdle(server);
    await server.stop();
  });

  test('connections and sessions of a token', async () => {
    const server = await start('--max-token-connections', '2', '--max-token-sessions', '2');
    const auth = { Authorization: `Bearer ${server.token}` };
    const first = await server.session('2025-11-25', auth);
    await server.session('2025-11-25', auth);
    const third = await server.request('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }, auth);
    assert.equal(third.status, 429);
    assert.equal(third.headers['mcp-session-id'], undefined);
    assert.equal((await server.ask('', { method: 'DELETE', ...first })).status, 204);
    await server.session('2025-11-25', auth);
    const held = [server.socket(), server.socket()];
    for (const socket of held) {
      await socket.write(server.head(JSON.stringify(PING), first));
      assert.equal((await socket.answer()).status, 404);
    }
    assert.equal((await server.ask(PING, first)).status, 429);
    for (const socket of held) socket.destroy();
    await server.stop();
  });

  test('sessions in all, and their idle end', async () => {
    const server = await start('--no-auth', '--max-sessions', '1', '--session-idle', '1s');
    const session = await server.session();
    await assert.rejects(server.session(), /503/);
    assert.equal((await server.ask(PING, session)).status, 200);
    await until(async () => { await pause(1100); return (await server.ask(PING, session)).status === 404; }, 'it has expired', 10000);
    await server.session();
    await server.stop();
  });

  // As many of the 10,000 as this machine lets two processes have descriptors for.
  const many = Math.min(10000, Number(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).replace('unlimited', '1e6')) - 1000);
  test(`${many} idle connections`, { skip: skipSanitized || (many < 1000 && 'the limit of descriptors is too low') }, async () => {
    const server = await start('--no-auth', '--max-connections', '11000', '--max-token-connections', '11000', '--idle-timeout', '10m');
    const before = descriptors(server.pid);
    const head = server.head('', { method: 'GET', path: '/healthz' });
    const sockets = [];
    while (sockets.length < many) { // by the hundred: what waits to be accepted has a limit, too
      const some = Array.from({ length: Math.min(100, many - sockets.length) }, () => server.socket());
      await Promise.all(some.map(async (socket) => {
        await socket.write(head);
        assert.equal((await socket.answer()).status, 200);
      }));
      sockets.push(...some);
    }
    assert.ok(descriptors(server.pid) >= before + many);
    await assertIdle(server);
    assert.ok(memoryKb(server.pid) < 150 * 1024, `${memoryKb(server.pid)} KB`);
    assert.equal((await server.ask(PING, await server.session())).status, 200);
    for (const socket of sockets) socket.destroy();
    await until(() => descriptors(server.pid) <= before + 10, 'the descriptors are back', 20000);
    await assertIdle(server);
    await server.stop();
  });

  test('idle connections end', async () => {
    const server = await start('--no-auth', '--idle-timeout', '1s');
    const socket = server.socket();
    await socket.write(server.head('', { method: 'GET', path: '/healthz' }));
    assert.equal((await socket.answer()).status, 200);
    await socket.end();
    await server.stop();
  });
});

describe('tokens', () => {
  const ALICE = 'alice-0123456789abcdef';
  const BOB = 'bob-0123456789abcdef';
  let server;
  before(async () => {
    const file = path.join(scratch('tokens'), 'tokens');
    writeFileSync(file, `# people\nalice ${ALICE}\nbob ${BOB}\n`, { mode: 0o600 });
    server = await serve({ args: ['serve', '--token-file', file] });
  });
  after(() => server.stop());
  const bearer = (token) => ({ Authorization: `Bearer ${token}` });

  test('without one, or with another: 401, whatever is asked for', async () => {
    for (const headers of [{}, bearer('x'), bearer(`${ALICE}x`), bearer(ALICE.slice(0, -1)), { Authorization: `Basic ${ALICE}` }, { Authorization: 'Bearer ' }])
      for (const more of [{}, { method: 'GET', 'Mcp-Session-Id': 'x' }, { method: 'DELETE', 'Mcp-Session-Id': 'x' }, { method: 'GET', path: '/metrics' }]) {
        const answer = await server.ask(more.method ? '' : PING, { ...headers, ...more });
        assert.equal(answer.status, 401);
        assert.match(answer.headers['www-authenticate'], /^Bearer/);
      }
    const upgrade = await server.ask('', { method: 'GET', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version': '13' });
    assert.equal(upgrade.status, 401);
    assert.ok(!server.stderr.includes(ALICE), 'no token is logged');
  });

  test('health needs none', async () => {
    for (const where of ['/healthz', '/readyz']) assert.equal((await server.ask('', { method: 'GET', path: where })).status, 200);
  });

  test('there is no OAuth to be discovered, also without a token', async () => {
    for (const where of ['oauth-protected-resource', 'oauth-protected-resource/mcp', 'oauth-authorization-server', 'openid-configuration']) {
      assert.equal((await server.ask('', { method: 'GET', path: `/.well-known/${where}` })).status, 404);
    }
  });

  test('each name has its own sessions and sandboxes', async () => {
    const hers = await server.session('2025-11-25', bearer(ALICE));
    assert.equal((await server.ask(PING, hers)).status, 200);
    assert.equal((await server.ask(PING, { ...hers, ...bearer(BOB) })).status, 404);
    const run = async (token, command, sandbox) => {
      const { json } = await server.modern('tools/call', { name: 'execute_command', arguments: { command, sandbox } }, bearer(token));
      return json.result.structuredContent ?? json.result;
    };
    const name = `shared-${process.pid}`;
    assert.equal((await run(ALICE, 'echo secret > /workspace/x', name)).exitCode, 0);
    assert.notEqual((await run(BOB, 'cat /workspace/x', name)).stdout, 'secret\n');
    assert.equal((await run(ALICE, 'cat /workspace/x', name)).stdout, 'secret\n', 'a stateless request finds it again');
    for (const token of [ALICE, BOB]) await server.modern('tools/call', { name: 'sandbox_stop', arguments: { sandbox: name, delete: true } }, bearer(token));
  });

  test('sessions of a name share its named sandboxes, with their commands', async () => {
    const [one, two] = [await server.session('2025-11-25', bearer(ALICE)), await server.session('2025-11-25', bearer(ALICE))];
    const sandbox = `together-${process.pid}`;
    const tool = async (session, name, args) => (await server.request('tools/call', { name, arguments: args }, session)).json.result.structuredContent;
    assert.equal((await tool(one, 'execute_command', { command: 'echo one', sandbox })).stdout, 'one\n');
    assert.equal((await tool(two, 'execute_command', { command: 'echo two', sandbox })).stdout, 'two\n');
    const started = await tool(one, 'execute_command', { command: 'echo from one; read line; echo "$line"', sandbox, background: true });
    await until(async () => (await tool(two, 'command_output', { commandId: started.commandId, stdoutOffset: 0 })).stdout === 'from one\n', 'its output, for the other');
    assert.equal((await server.ask('', { method: 'DELETE', ...one })).status, 204);
    assert.equal((await tool(two, 'command_input', { commandId: started.commandId, text: 'go on\n', close: true })).takenBytes, 6);
    const rest = await tool(two, 'command_output', { commandId: started.commandId, stdoutOffset: 9, waitMs: 5000 });
    assert.equal(rest.stdout, 'go on\n', 'it outlives the session that began it');
    const { json } = await server.modern('tools/call', { name: 'command_output', arguments: { commandId: started.commandId } }, bearer(BOB));
    assert.equal(json.result.isError, true, 'and is not for others');
    await tool(two, 'sandbox_stop', { sandbox, delete: true });
  });
});
