// TLS: both protocols on it, certificates that are read again on SIGHUP, and peers that do not
// finish a handshake.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';
import WS from 'ws';
import { META, MODERN, serve } from './lib/network.mjs';
import { pause, sandquay, scratch, until } from './lib/product.mjs';

const directory = scratch('tls');
const file = (name) => path.join(directory, name);
function makePair(name, names = 'IP:127.0.0.1,DNS:localhost') {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`)], { stdio: 'pipe' });
}

let server;
before(async () => {
  for (const name of ['first', 'second']) makePair(name);
  copyFileSync(file('first.pem'), file('cert.pem'));
  copyFileSync(file('first.key'), file('key.pem'));
  server = await serve({ args: ['serve', '--backend', 'null', '--head-timeout', '1s', '--tls-cert', file('cert.pem'), '--tls-key', file('key.pem'), '--verbose'] });
  server.url = `https://127.0.0.1:${server.port}/mcp`;
});
after(async () => assert.deepEqual(await server.stop(), { code: 0, signal: null }));

const trusted = () => [readFileSync(file('first.pem')), readFileSync(file('second.pem'))];
function ask(message) {
  const body = JSON.stringify(message);
  return new Promise((resolve, reject) => {
    const request = https.request(server.url, { method: 'POST', ca: trusted(), agent: false, headers: {
      Authorization: `Bearer ${server.token}`, 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': MODERN, 'Mcp-Method': message.method } }, (response) => {
      const name = response.socket.getPeerCertificate().subject.CN;
      let text = '';
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => resolve({ status: response.statusCode, name, protocol: response.socket.getProtocol(), json: JSON.parse(text) }));
    });
    request.on('error', reject);
    request.end(body);
  });
}
const discover = { jsonrpc: '2.0', id: 1, method: 'server/discover', params: { _meta: META } };

describe('TLS', () => {
  test('exec --connect over both trusts the authorities of SSL_CERT_FILE, and no others', async () => {
    const real = await serve({ args: ['serve', '--tls-cert', file('first.pem'), '--tls-key', file('first.key')] });
    const exec = (url, env) => new Promise((resolve) => {
      execFile(sandquay, ['exec', '--connect', url, 'cat; exit 7'], { env: { ...process.env, SANDQUAY_TOKEN: real.token, ...env } },
        (error, stdout, stderr) => resolve({ status: error?.code ?? 0, stdout, stderr })).stdin.end('over TLS');
    });
    for (const scheme of ['https', 'wss']) {
      const url = `${scheme}://localhost:${real.port}/mcp`;
      const { status, stdout, stderr } = await exec(url, { SSL_CERT_FILE: file('first.pem') });
      assert.deepEqual([status, stdout], [7, 'over TLS'], stderr);
      for (const wrong of [file('second.pem'), '']) {
        const refused = await exec(url, { SSL_CERT_FILE: wrong });
        assert.equal(refused.status, 125, refused.stderr);
        assert.match(refused.stderr, /certificate|verify|TLS|SSL/i);
      }
    }
    makePair('other', 'DNS:other.example');
    const misnamed = await serve({ args: ['serve', '--tls-cert', file('other.pem'), '--tls-key', file('other.key')] });
    for (const scheme of ['https', 'wss'])
      assert.equal((await exec(`${scheme}://localhost:${misnamed.port}/mcp`, { SSL_CERT_FILE: file('other.pem'), SANDQUAY_TOKEN: misnamed.token })).status, 125, 'not its name');
    for (const one of [real, misnamed]) assert.deepEqual(await one.stop(), { code: 0, signal: null });
  });

  test('HTTP and WebSocket', async () => {
    const { status, name, json } = await ask(discover);
    assert.deepEqual([status, name, json.id], [200, 'first', 1]);
    const ws = new WS(server.url.replace('https', 'wss'), 'mcp', { ca: trusted(), headers: { Authorization: `Bearer ${server.token}` } });
    await new Promise((resolve, reject) => { ws.on('open', resolve); ws.on('error', reject); });
    const answer = new Promise((resolve) => ws.once('message', (data) => resolve(JSON.parse(data))));
    ws.send(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'ping', params: { pad: 'x'.repeat(1 << 20) } }));
    assert.equal((await answer).id, 2);
    ws.close();
  });

  test('only HTTP/1.1, and TLS 1.2 at least', async () => {
    const connect = (options) => new Promise((resolve) => {
      const socket = tls.connect({ port: server.port, host: '127.0.0.1', ca: trusted(), ...options }, () => {
        resolve([socket.getProtocol(), socket.alpnProtocol]);
        socket.destroy();
      });
      socket.on('error', (error) => resolve(error.code ?? 'error'));
    });
    assert.deepEqual(await connect({ ALPNProtocols: ['h2', 'http/1.1'] }), ['TLSv1.3', 'http/1.1']);
    assert.deepEqual(await connect({ maxVersion: 'TLSv1.2' }), ['TLSv1.2', false]);
    assert.equal(typeof await connect({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }), 'string');
  });

  test('plain HTTP is not answered', async () => {
    const socket = server.socket();
    await socket.write(server.head('{}'));
    await socket.end();
    assert.doesNotMatch(socket.bytes.toString('latin1'), /^HTTP\/1\.1 2/);
  });

  test('handshakes that are not finished end, and the server rests', async () => {
    const hello = Buffer.from('16030100050100000100', 'hex');
    const sockets = [Buffer.alloc(0), hello.subarray(0, 3), hello].map((bytes) => { const socket = server.socket(); if (bytes.length) void socket.write(bytes); return socket; });
    for (const socket of sockets) await socket.end(30000);
    const before = server.ticks();
    await pause(300);
    assert.ok(server.ticks() - before <= 2);
  });

  test('SIGHUP reads the certificate again; one that is not good is not taken', async () => {
    copyFileSync(file('second.pem'), file('cert.pem')); // the key is still the first one's
    server.process.kill('SIGHUP');
    await until(() => /keeping the certificate/.test(server.stderr), 'it says so');
    assert.equal((await ask(discover)).name, 'first');
    writeFileSync(file('key.pem'), 'nonsense');
    server.process.kill('SIGHUP');
    await until(() => server.stderr.match(/keeping the certificate/g).length === 2, 'it says so again');
    assert.equal((await ask(discover)).name, 'first');
    copyFileSync(file('second.key'), file('key.pem'));
    server.process.kill('SIGHUP');
    await until(() => /certificate was read again/.test(server.stderr), 'it says so');
    assert.equal((await ask(discover)).name, 'second');
  });

  test('a pair that does not fit is refused at the start', async () => {
    await assert.rejects(serve({ args: ['serve', '--tls-cert', file('first.pem'), '--tls-key', file('second.key')] }), /belong together/);
    await assert.rejects(serve({ args: ['serve', '--tls-cert', file('none.pem'), '--tls-key', file('second.key')] }), /none\.pem/);
  });

  test('a unix socket has no TLS, and is this user\'s', async () => {
    const own = await serve({ args: ['serve', '--backend', 'null', '--no-auth', '--tls-cert', file('second.pem'), '--tls-key', file('second.key')], listen: `unix:${file('socket')}` });
    const socket = net.connect(file('socket'));
    let text = '';
    socket.on('data', (chunk) => { text += chunk; });
    socket.write('GET /healthz HTTP/1.1\r\nHost: anything.example\r\n\r\n');
    await until(() => text.includes('ok\n'), 'an answer');
    socket.destroy();
    await own.stop();
  });
});
