// Ports of a sandbox on this machine: HTTP, streams and WebSockets through the URL of expose_port,
// nothing without its token, nothing once the sandbox is gone.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { until } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';

// Answers what it got; /stream a line every 20 ms, for ever; /upload the number of bytes; as a
// WebSocket (RFC 6455, small text frames) whatever it is sent.
const server = `
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';
const [, , port, host] = process.argv;
const web = createServer((request, response) => {
  if (request.url.startsWith('/stream')) return void setInterval(() => response.write('tick\\n'), 20);
  let bytes = 0;
  request.on('data', (chunk) => { bytes += chunk.length; });
  request.on('end', () => response.end(request.url.startsWith('/upload') ? String(bytes) : JSON.stringify({ url: request.url, host: request.headers.host })));
});
web.on('upgrade', (request, socket) => {
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n');
  socket.on('data', (frame) => {
    const mask = frame.subarray(2, 6);
    const text = frame.subarray(6).map((byte, i) => byte ^ mask[i % 4]);
    socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
  });
});
web.listen(Number(port), host, () => console.log('listening'));
`;

function request(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request(url, { method, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

describe('ports', () => {
  let wire;
  let url;
  const start = async (port, host) => {
    const { commandId } = await wire.run(`node /workspace/server.mjs ${port} ${host}`, { background: true });
    await until(async () => /listening/.test((await wire.tool('command_output', { commandId, stdoutOffset: 0, waitMs: 1000 })).structuredContent.stdout), 'the server listens', 10000);
  };
  const expose = async (port, more = {}) => {
    const result = await wire.tool('expose_port', { port, ...more });
    assert.ok(!result.isError, result.content[0].text);
    return result.structuredContent;
  };
  const bare = () => `http://127.0.0.1:${url.port}`;

  before(async () => {
    wire = await connect({ args: ['serve', '--toolsets', 'network'] });
    await wire.tool('write_file', { path: 'server.mjs', content: server });
    await start(8080, '127.0.0.1');
    url = new URL((await expose(8080)).url);
  });
  after(() => wire?.close());

  test('the URL is of this machine alone, and stays the same', async () => {
    assert.equal(url.hostname, '127.0.0.1');
    assert.match(url.searchParams.get('sandquay-token'), /^[0-9a-f]{32}$/);
    assert.equal((await expose(8080)).url, String(url));
    assert.notEqual(new URL((await expose(8081)).url).port, url.port);
  });

  test('a program gets the answer at once', async () => {
    const { status, text } = await request(url);
    assert.equal(status, 200);
    assert.equal(JSON.parse(text).host, `127.0.0.1:${url.port}`);
    assert.equal((await request(`${bare()}/x`, { headers: { authorization: `Bearer ${url.searchParams.get('sandquay-token')}` } })).status, 200);
  });

  test('a browser gets a cookie and the page without the token', async () => {
    const accept = 'text/html,application/xhtml+xml,*/*;q=0.8';
    const first = await request(`${bare()}/a/b?x=1&${url.searchParams}&y=2`, { headers: { accept } });
    assert.equal(first.status, 302);
    assert.equal(first.headers.location, '/a/b?x=1&y=2');
    const cookie = first.headers['set-cookie'][0];
    assert.match(cookie, /; HttpOnly; SameSite=Lax$/);
    const second = await request(bare() + first.headers.location, { headers: { accept, cookie: `other=1; ${cookie.split(';')[0]}` } });
    assert.equal(second.status, 200);
    assert.equal(JSON.parse(second.text).url, '/a/b?x=1&y=2');
    const elsewhere = await request(`${bare()}//evil.example/?${url.searchParams}`, { headers: { accept } });
    assert.equal(elsewhere.headers.location, '/evil.example/');
  });

  test('nobody else gets in', async () => {
    const token = url.searchParams.get('sandquay-token');
    for (const options of [{}, { headers: { cookie: `sandquay-${url.port}=${token.slice(1)}0` } }, { headers: { authorization: `Basic ${token}` } },
      { headers: { cookie: `sandquay-1=${token}` } }]) {
      assert.equal((await request(`${bare()}/`, options)).status, 401);
    }
    assert.equal((await request(`${bare()}/?sandquay-token=`)).status, 401);
    assert.equal((await request(`${bare()}/`, { method: 'POST', body: 'x'.repeat(100000) })).status, 401);
  });

  test('what is no HTTP is told so', async () => {
    for (const bytes of ['\x16\x03\x01\x00\x01', 'CONNECT a:1 HTTP/1.1\r\n\r\n', 'GET http://a/ HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\nHost: a\n\n']) {
      const answer = await new Promise((resolve, reject) => {
        let text = '';
        const socket = net.connect(Number(url.port), '127.0.0.1', () => socket.write(bytes, 'latin1'));
        socket.on('data', (chunk) => { text += chunk; }).on('close', () => resolve(text)).on('error', reject);
      });
      assert.match(answer, /^HTTP\/1.1 400 /);
    }
  });

  test('many bytes go in', async () => {
    const { text } = await request(`${bare()}/upload?${url.searchParams}`, { method: 'POST', body: Buffer.alloc(5000000) });
    assert.equal(text, '5000000');
  });

  test('a stream arrives while it runs', async () => {
    const chunk = await new Promise((resolve, reject) => {
      const sent = http.get(`${bare()}/stream?${url.searchParams}`, (response) => response.once('data', (data) => {
        sent.destroy();
        resolve(data.toString());
      }));
      sent.on('error', reject);
    });
    assert.match(chunk, /^tick/);
  });

  test('a WebSocket works', async () => {
    const echo = await new Promise((resolve, reject) => {
      const sent = http.get(`${bare()}/ws?${url.searchParams}`, { headers: { connection: 'Upgrade', upgrade: 'websocket',
        'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' } });
      sent.on('error', reject);
      sent.on('upgrade', (response, socket) => {
        socket.on('data', (frame) => {
          socket.destroy();
          resolve(frame.subarray(2).toString());
        });
        socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | 5, 0, 0, 0, 0]), Buffer.from('hello')]));
      });
    });
    assert.equal(echo, 'hello');
  });

  test('a server on ::1 is found', async () => {
    await start(8082, '::1');
    assert.equal((await request((await expose(8082)).url)).status, 200);
  });

  test('nobody listens: told, and found once somebody does', async () => {
    const { url: late } = await expose(8083);
    const { status, text } = await request(late);
    assert.equal(status, 502);
    assert.match(text, /nothing in the sandbox listens on port 8083/);
    await start(8083, '0.0.0.0');
    assert.equal((await request(late)).status, 200);
  });

  test('a port can be closed again', async () => {
    const { url: gone } = await expose(8084);
    assert.deepEqual(await expose(8084, { close: true }), { sandbox: 'default', port: 8084, closed: true });
    await assert.rejects(request(gone), { code: 'ECONNREFUSED' });
    assert.ok((await wire.tool('expose_port', { port: 8084, close: true })).isError);
  });

  test('there is a limit', async () => {
    let result;
    for (let port = 9000; port < 9020 && !result?.isError; port++) result = await wire.tool('expose_port', { port, sandbox: 'many' });
    assert.match(result.content[0].text, /LIMIT/);
    await wire.tool('sandbox_stop', { sandbox: 'many', delete: true });
  });

  test('all are closed with the sandbox', async () => {
    await wire.tool('sandbox_stop', {});
    await assert.rejects(request(url), { code: 'ECONNREFUSED' });
  });
});
