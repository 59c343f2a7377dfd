// WebSocket as its RFC has it: frames by hand against a real server (what Autobahn's suite tries),
// and foreign clients.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import WS from 'ws';
import { META, serve } from './lib/network.mjs';
import { marked, memoryKb } from './lib/processes.mjs';
import { clients as here, pause, skipSanitized, until } from './lib/product.mjs';

const TEXT = 1, BINARY = 2, CONTINUATION = 0, CLOSE = 8, PING = 9, PONG = 10;
const ping = (id) => JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' });

/** One frame of a client. */
function frame(opcode, payload = '', { fin = true, rsv = 0, mask = true, wide = false } = {}) {
  const bytes = Buffer.from(payload);
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const bit = mask ? 0x80 : 0;
  let length = Buffer.alloc(0);
  if (bytes.length < 126 && !wide) head.push(bit | bytes.length);
  else if (bytes.length < 65536 && !wide) {
    head.push(bit | 126);
    length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
  } else {
    head.push(bit | 127);
    length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(bytes.length));
  }
  if (!mask) return Buffer.concat([Buffer.from(head), length, bytes]);
  const key = randomBytes(4);
  for (let i = 0; i < bytes.length; i++) bytes[i] ^= key[i % 4];
  return Buffer.concat([Buffer.from(head), length, key, bytes]);
}

class Peer {
  constructor(socket) {
    this.socket = socket;
  }

  write(...frames) {
    return this.socket.write(Buffer.concat(frames));
  }

  /** The next frame of the server: {opcode, payload, code}. */
  async next() {
    const s = this.socket;
    const whole = () => {
      const b = s.bytes;
      if (b.length < 2) return s.closed && { opcode: 'end' };
      let n = b[1] & 127, at = 2;
      if (n === 126) { if (b.length < 4) return false; n = b.readUInt16BE(2); at = 4; }
      else if (n === 127) { if (b.length < 10) return false; n = Number(b.readBigUInt64BE(2)); at = 10; }
      if (b.length < at + n) return s.closed && { opcode: 'end' };
      assert.equal(b[0] & 0x70, 0, 'no reserved bit');
      assert.equal(b[1] & 0x80, 0, 'a server does not mask');
      const payload = b.subarray(at, at + n);
      s.bytes = b.subarray(at + n);
      return { opcode: b[0] & 15, fin: b[0] >> 7, payload, code: (b[0] & 15) === CLOSE && n >= 2 ? payload.readUInt16BE(0) : undefined };
    };
    return until(whole, 'a frame', 10000);
  }

  async text() {
    const { opcode, fin, payload } = await this.next();
    assert.deepEqual([opcode, fin], [TEXT, 1], 'one text frame a message');
    return JSON.parse(payload);
  }

  /** The code that it closes with; undefined: it just ends. */
  async closes() {
    for (;;) {
      const { opcode, code } = await this.next();
      if (opcode === CLOSE) return code;
      if (opcode === 'end') return undefined;
    }
  }
}

let server;
before(async () => { server = await serve({ args: ['serve', '--no-auth'] }); });
after(() => server?.stop());

async function open() {
  const socket = server.socket();
  await socket.write(server.head('', { method: 'GET', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': randomBytes(16).toString('base64'), 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Protocol': 'mcp' }));
  assert.equal((await socket.answer()).status, 101);
  return new Peer(socket);
}

describe('messages in any frames', () => {
  const text = ping('ä€😀');
  const bytes = Buffer.from(text);
  const good = {
    'one frame': [frame(TEXT, text)],
    'a long length for a short frame': [frame(TEXT, text, { wide: true })],
    'three fragments': [frame(TEXT, bytes.subarray(0, 5), { fin: false }), frame(CONTINUATION, bytes.subarray(5, 9), { fin: false }), frame(CONTINUATION, bytes.subarray(9))],
    'a fragment a byte': [...bytes].map((byte, i) => frame(i ? CONTINUATION : TEXT, Buffer.from([byte]), { fin: i === bytes.length - 1 })),
    'empty fragments': [frame(TEXT, '', { fin: false }), frame(CONTINUATION, '', { fin: false }), frame(CONTINUATION, text)],
    'a ping between fragments': [frame(TEXT, bytes.subarray(0, 5), { fin: false }), frame(PING, 'x'), frame(CONTINUATION, bytes.subarray(5))],
    'pongs that nobody asked for': [frame(PONG, ''), frame(PONG, 'x'), frame(TEXT, text)],
  };
  for (const [name, frames] of Object.entries(good)) {
    test(name, async () => {
      const peer = await open();
      await peer.write(...frames);
      let seen = await peer.next();
      if (seen.opcode === PONG) seen = await peer.next();
      assert.equal(JSON.parse(seen.payload).id, 'ä€😀');
      // and byte by byte
      for (const byte of Buffer.concat(frames)) await peer.write(Buffer.from([byte]));
      do seen = await peer.next(); while (seen.opcode === PONG);
      assert.equal(JSON.parse(seen.payload).id, 'ä€😀');
      peer.socket.destroy();
    });
  }

  test('pings are answered with what they carry', async () => {
    const peer = await open();
    for (const payload of ['', 'x', 'y'.repeat(125)]) {
      await peer.write(frame(PING, payload));
      const { opcode, payload: back } = await peer.next();
      assert.deepEqual([opcode, back.toString()], [PONG, payload]);
    }
    peer.socket.destroy();
  });

  test('many messages at once are all answered, in order', async () => {
    const peer = await open();
    await peer.write(...Array.from({ length: 1000 }, (_, i) => frame(TEXT, ping(i))));
    for (let i = 0; i < 1000; i++) assert.equal((await peer.text()).id, i);
    peer.socket.destroy();
  });

  test('a message of 16 MiB', async () => {
    const peer = await open();
    await peer.write(frame(TEXT, JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { pad: 'x'.repeat(16 << 20) } })));
    assert.deepEqual(await peer.text(), { jsonrpc: '2.0', id: 1, result: {} });
    peer.socket.destroy();
  });

  test('both eras on one connection, and what is no message', async () => {
    const peer = await open();
    for (const [line, path] of [
      [JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'server/discover', params: { _meta: META } }), (m) => m.result.supportedVersions[0] === '2026-07-28'],
      [JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } } }), (m) => m.result.protocolVersion === '2025-06-18'],
      ['nonsense', (m) => m.error.code === -32700],
      ['', (m) => m.error.code === -32700],
      ['[]', (m) => m.error.code === -32600]]) {
      await peer.write(frame(TEXT, line));
      const message = await peer.text();
      assert.ok(path(message), JSON.stringify(message));
    }
    peer.socket.destroy();
  });
});

describe('what breaks the protocol closes', () => {
  const close = (code, reason = '') => {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    return frame(CLOSE, Buffer.concat([payload, Buffer.from(reason)]));
  };
  const some = frame(TEXT, '{"a":', { fin: false });
  // [frames, the code; undefined: any end]
  const bad = {
    'binary': [[frame(BINARY, ping(1))], 1003],
    'binary in fragments': [[frame(BINARY, 'x', { fin: false }), frame(CONTINUATION, 'y')], 1003],
    'bytes that are not UTF-8': [[frame(TEXT, Buffer.from([0x22, 0xff, 0x22]))], 1007],
    'a cut character at the end': [[frame(TEXT, Buffer.from([0x22, 0xe2, 0x82]))], 1007],
    'a surrogate': [[frame(TEXT, Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))], 1007],
    'a broken character over two fragments': [[frame(TEXT, Buffer.from([0xe2]), { fin: false }), frame(CONTINUATION, Buffer.from([0x22]))], 1007],
    'a reserved bit': [[frame(TEXT, ping(1), { rsv: 4 })], 1002],
    'a reserved bit of a ping': [[frame(PING, '', { rsv: 1 })], 1002],
    ...Object.fromEntries([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, [[frame(opcode, 'x')], 1002]])),
    'a continuation of nothing': [[frame(CONTINUATION, 'x')], 1002],
    'a message inside a message': [[some, frame(TEXT, ping(1))], 1002],
    'a fragmented ping': [[frame(PING, 'x', { fin: false })], 1002],
    'a ping that is too long': [[frame(PING, 'x'.repeat(126))], undefined],
    'a length with the highest bit': [[Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])], undefined],
    'a frame over the limit, told at its head': [[Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 2, 3, 4, 5])], 1009],
    'a close without a code': [[frame(CLOSE)], undefined],
    'a close with a code': [[close(1000, 'bye')], 1000],
    'a close with a code of our own': [[close(4000)], 4000],
    'a close with a code that must not be sent': [[close(1005)], 1002],
    'a close with half a code': [[frame(CLOSE, 'x')], undefined],
    'a close in the middle of a message': [[some, close(1001)], 1001],
  };
  for (const [name, [frames, code]] of Object.entries(bad)) {
    test(`${name}: ${code ?? 'the end'}`, async () => {
      const peer = await open();
      await peer.write(...frames);
      const got = await peer.closes();
      if (code !== undefined) assert.equal(got, code);
      peer.socket.socket.end();
      await peer.socket.end();
      const before = server.ticks();
      await pause(150);
      assert.ok(server.ticks() - before <= 2, 'and the server rests');
    });
  }

  test('more than the limit in fragments: 1009', async () => {
    const peer = await open();
    const part = 'x'.repeat(1 << 20);
    void peer.write(frame(TEXT, part, { fin: false }), ...Array.from({ length: 65 }, () => frame(CONTINUATION, part, { fin: false })));
    assert.equal(await peer.closes(), 1009);
    peer.socket.destroy();
  });
});

describe('life and end', () => {
  test('a connection that goes away takes its commands along', async () => {
    for (const leave of [(s) => s.destroy(), (s) => s.resetAndDestroy(), (s) => s.end()]) {
      const peer = await open();
      const mark = `8${process.pid}9.5`;
      await peer.write(frame(TEXT, JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'execute_command', arguments: { command: `sleep ${mark}` } } })));
      await until(() => marked(mark).length, 'it runs', 5000);
      leave(peer.socket.socket);
      await until(() => marked(mark).length === 0, 'it is gone', 5000);
    }
  });

  test('each connection has its own default sandbox', async () => {
    const run = async (peer, command) => {
      await peer.write(frame(TEXT, JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'execute_command', arguments: { command } } })));
      return (await peer.text()).result.structuredContent;
    };
    const [one, two] = [await open(), await open()];
    await run(one, 'echo mine > /workspace/x');
    assert.equal((await run(one, 'cat /workspace/x')).stdout, 'mine\n');
    assert.notEqual((await run(two, 'cat /workspace/x')).exitCode, 0);
    for (const peer of [one, two]) peer.socket.destroy();
  });

  test('a client that does not read is held back within bounds', { skip: skipSanitized }, async () => {
    const peer = await open();
    const before = memoryKb(server.pid);
    peer.socket.socket.pause();
    const list = frame(TEXT, JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }));
    let taken = true;
    for (let i = 0; i < 10000 && taken; i++) {
      taken = await Promise.race([peer.write(...Array.from({ length: 100 }, () => list)).then(() => true), pause(300).then(() => false)]);
    }
    assert.equal(taken, false, 'it stops reading us');
    assert.ok(memoryKb(server.pid) - before < 64 * 1024, `${memoryKb(server.pid) - before} KB`);
    const ticks = server.ticks();
    await pause(300);
    assert.ok(server.ticks() - ticks <= 2, 'and rests');
    peer.socket.destroy();
  });

  test('1001 when the server stops, after what is running', async () => {
    const own = await serve({ args: ['serve', '--no-auth'] });
    const [saved, peers] = [server, []];
    server = own;
    try {
      peers.push(await open(), await open());
    } finally {
      server = saved;
    }
    await peers[1].write(frame(TEXT, JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'execute_command', arguments: { command: 'echo begun; sleep 1; echo done' } } })));
    await pause(300);
    const stopped = own.stop();
    assert.equal(await peers[0].closes(), 1001);
    assert.equal((await peers[1].text()).result.structuredContent.stdout, 'begun\ndone\n');
    assert.equal(await peers[1].closes(), 1001);
    for (const peer of peers) await peer.write(frame(CLOSE, Buffer.from([0x03, 0xe9])));
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });
});

describe('foreign clients', () => {
  const peer = path.join(here, 'websocket_peer.py');
  test("Debian's python3-websockets", { skip: !existsSync('/usr/lib/python3/dist-packages/websockets') && 'python3-websockets is not installed' }, () => {
    const url = server.url.replace('http', 'ws');
    const seen = JSON.parse(execFileSync('/usr/bin/python3', [peer, url], { encoding: 'utf8' }));
    assert.deepEqual(seen, { subprotocol: 'mcp', extensions: [], revision: '2025-11-25', stdout: 'from python\n', pieces: 'in pieces', pong: true, large: 9, closed: 1000 });
  });

  test("npm's ws, which offers compression", async () => {
    const ws = new WS(server.url.replace('http', 'ws'), 'mcp', { perMessageDeflate: true });
    await new Promise((resolve, reject) => { ws.on('open', resolve); ws.on('error', reject); });
    assert.deepEqual([ws.protocol, ws.extensions], ['mcp', '']);
    const answer = new Promise((resolve) => ws.once('message', (data) => resolve(JSON.parse(data))));
    ws.send(ping('ws'));
    assert.equal((await answer).id, 'ws');
    const closed = new Promise((resolve) => ws.on('close', resolve));
    ws.close();
    assert.equal(await closed, 1005);
  });
});
