// serve --listen as an OAuth 2.1 resource server: its metadata, its challenges, which tokens of a
// real authorization server it takes, and the official SDK's way from a 401 to a tool call.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client } from 'sdk-1.32.2/client/index.js';
import { StreamableHTTPClientTransport } from 'sdk-1.32.2/client/streamableHttp.js';
import WS from 'ws';
import { META, MODERN, serve, freePort } from './lib/network.mjs';
import { AuthorizationServer, forge, Key } from './lib/oauth.mjs';
import { scratch, until } from './lib/product.mjs';

const PING = { jsonrpc: '2.0', id: 1, method: 'ping' };
const TOOLS = ['tools/list', {}];
const bearer = (token) => ({ Authorization: `Bearer ${token}` });

/** A server for this issuer, with a state directory that a test may go on with. */
async function start(issuer, { args = [], state = scratch('state'), backend = 'null', env } = {}) {
  const server = await serve({
    args: ['serve', '--backend', backend, '--oauth-issuer', issuer, ...args],
    listen: `127.0.0.1:${await freePort()}`,
    env: { ...process.env, XDG_STATE_HOME: state, ...env },
  });
  server.state = state;
  return server;
}

/** Requests of tests that come at once share the server's pause between two fetches. */
const ready = (server) => until(async () => (await server.ask('', { method: 'GET', path: '/readyz' })).status === 200, 'it is ready', 20000);

describe('tokens', () => {
  const names = ['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'];
  const keys = names.map((alg) => new Key(alg, `key-${alg}`));
  let as;
  let server;
  let good; // claims
  before(async () => {
    as = await new AuthorizationServer({ keys: [...keys, { kty: 'oct', k: 'c2VjcmV0', kid: 'oct' }, { kty: 'new', kid: 'x' },
      new Key('RS256', 'weak', { modulusLength: 1024 })] }).start();
    server = await start(as.issuer, { args: ['--oauth-scope', 'sandbox:run'] });
    good = (more) => as.claims({ aud: server.url, scope: 'openid sandbox:run', ...more });
    await ready(server);
  });
  after(async () => {
    await server.stop();
    await as.stop();
  });

  const ask = (token) => server.modern(...TOOLS, bearer(token));

  for (const key of keys) {
    test(`${key.alg} is taken`, async () => assert.equal((await ask(key.sign(good()))).status, 200));
    test(`... and not with a bit of it changed`, async () => {
      const [header, claims, signature] = key.sign(good()).split('.');
      const bytes = Buffer.from(signature, 'base64url');
      bytes[10] ^= 1;
      const { status, headers } = await ask([header, claims, bytes.toString('base64url')].join('.'));
      assert.equal(status, 401);
      assert.match(headers['www-authenticate'], /error="invalid_token"/);
    });
  }

  const now = Math.floor(Date.now() / 1000);
  const rsa = keys[0];
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' });
  const hmac = (secret) => (input) => crypto.createHmac('sha256', secret).update(input).digest('base64url');
  const taken = {
    'an audience among several': () => rsa.sign(good({ aud: ['https://other.example', server.url] })),
    'typ JWT': () => rsa.sign(good(), { typ: 'JWT' }),
    'no typ': () => rsa.sign(good(), { typ: undefined }),
    'typ application/at+JWT': () => rsa.sign(good(), { typ: 'application/at+JWT' }),
    'no kid': () => rsa.sign(good(), { kid: undefined }),
    'scp as an array': () => rsa.sign(good({ scope: undefined, scp: ['sandbox:run'] })),
    'scp as a text': () => rsa.sign(good({ scope: undefined, scp: 'a sandbox:run' })),
    'expired within the leeway': () => rsa.sign(good({ exp: now - 5 })),
    'a fraction of a second': () => rsa.sign(good({ exp: now + 600.5 })),
  };
  for (const [name, token] of Object.entries(taken)) {
    test(`taken: ${name}`, async () => assert.equal((await ask(token())).status, 200));
  }

  const refused = {
    'no signature (none)': () => forge({ alg: 'none', typ: 'at+jwt' }, good()),
    'None in other letters': () => forge({ alg: 'NONE', typ: 'at+jwt' }, good()),
    'HS256 with the public key as its secret': () => forge({ alg: 'HS256', typ: 'at+jwt', kid: rsa.kid }, good(), hmac(pem)),
    'HS256 with a key of the set': () => forge({ alg: 'HS256', typ: 'at+jwt', kid: 'oct' }, good(), hmac('secret')),
    'another key under its kid': () => new Key('RS256', rsa.kid).sign(good()),
    'a kid that is not known': () => new Key('RS256', 'nobody').sign(good()),
    'another algorithm than the key is for': () => rsa.sign(good(), { alg: 'PS256' }),
    'a key of another kind': () => rsa.sign(good(), { kid: 'key-ES256' }),
    'two algorithms': () => rsa.sign(good()).replace(/^[^.]+/, Buffer.from(`{"alg":"none","alg":"RS256","kid":"nobody","kid":"key-ES256"}`).toString('base64url')),
    'another issuer': () => rsa.sign(good({ iss: 'https://evil.example' })),
    'the issuer with a slash': () => rsa.sign(good({ iss: `${as.issuer}/` })),
    'another audience': () => rsa.sign(good({ aud: 'https://other.example/mcp' })),
    'no audience': () => rsa.sign(good({ aud: undefined })),
    'an expired one': () => rsa.sign(good({ exp: now - 120 })),
    'one without an end': () => rsa.sign(good({ exp: undefined })),
    'an end that is a text': () => rsa.sign(good({ exp: String(now + 600) })),
    'one of tomorrow': () => rsa.sign(good({ nbf: now + 86400 })),
    'no subject': () => rsa.sign(good({ sub: undefined })),
    'a subject that is too long': () => rsa.sign(good({ sub: 'x'.repeat(256) })),
    'a subject with a NUL': () => rsa.sign(good({ sub: 'alice\0' })),
    'an ID token by its type': () => rsa.sign(good(), { typ: 'id+jwt' }),
    'critical extensions': () => rsa.sign(good(), { crit: ['b64'], b64: false }),
    'one bound to a key (DPoP)': () => rsa.sign(good({ cnf: { jkt: 'x' } })),
    'one that is too long': () => rsa.sign(good({ extra: 'x'.repeat(8 * 1024) })),
    'no JWT': () => 'an-opaque-token-of-somebody',
    'two parts': () => rsa.sign(good()).replace(/\.[^.]*$/, ''),
    'four parts': () => `${rsa.sign(good())}.x`,
    'claims that are no object': () => forge({ alg: 'RS256', kid: rsa.kid }, '[1]', () => 'AAAA'),
    'padding': () => `${rsa.sign(good())}==`,
  };
  for (const [name, token] of Object.entries(refused)) {
    test(`refused: ${name}`, async () => {
      const { status, headers, json } = await ask(token());
      assert.equal(status, 401);
      assert.match(headers['www-authenticate'], /^Bearer error="invalid_token", error_description="[^"]+", resource_metadata="[^"]+", scope="sandbox:run"$/);
      assert.ok(json.error.message);
    });
  }

  test('a weak key is left out', async () => {
    const weak = as.keys.at(-1);
    assert.equal((await ask(weak.sign(good()))).status, 401);
    assert.match(server.stderr, /weak or broken: kid weak/);
  });

  test('a scope that is missing: 403, and which', async () => {
    for (const scope of [undefined, '', 'sandbox:runner', 'sandbox run']) {
      const { status, headers } = await ask(rsa.sign(good({ scope })));
      assert.equal(status, 403);
      assert.match(headers['www-authenticate'], /^Bearer error="insufficient_scope", .*resource_metadata="[^"]+", scope="sandbox:run"$/);
    }
  });

  test('no token: where to get one, without an error', async () => {
    const { status, headers } = await server.ask(PING);
    assert.equal(status, 401);
    assert.equal(headers['www-authenticate'], `Bearer resource_metadata="http://${server.address}/.well-known/oauth-protected-resource/mcp", scope="sandbox:run"`);
  });

  test('the metadata, at both places, also before a browser', async () => {
    for (const where of ['', '/mcp']) {
      const { status, json, headers } = await server.ask('', { method: 'GET', path: `/.well-known/oauth-protected-resource${where}`, Origin: 'http://localhost:3000' });
      assert.equal(status, 200);
      assert.deepEqual(json, { resource: server.url, authorization_servers: [as.issuer], scopes_supported: ['sandbox:run'],
        bearer_methods_supported: ['header'], resource_name: 'sandquay' });
      assert.equal(headers['access-control-allow-origin'], 'http://localhost:3000');
    }
    const preflight = await server.ask('', { method: 'OPTIONS', path: '/.well-known/oauth-protected-resource/mcp', Origin: 'http://localhost:3000', 'Access-Control-Request-Method': 'GET' });
    assert.equal(preflight.status, 204);
    assert.equal((await server.ask('{}', { path: '/.well-known/oauth-protected-resource' })).status, 405);
    assert.equal((await server.ask('', { method: 'GET', path: '/.well-known/oauth-protected-resource/other' })).status, 404);
  });

  test('what only waits ends with its token', async () => {
    const who = bearer(rsa.sign(good({ exp: Math.floor(Date.now() / 1000) - 54 }))); // six seconds, with the leeway
    const session = await server.session('2025-11-25', who);
    const get = server.socket();
    await get.write(server.head('', { method: 'GET', ...session }));
    const listen = server.socket();
    await listen.write(server.head(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params: { _meta: META, notifications: { resourcesListChanged: true } } }),
      { ...who, 'MCP-Protocol-Version': MODERN, 'Mcp-Method': 'subscriptions/listen' }));
    const ws = new WS(server.url.replace('http', 'ws'), 'mcp', { headers: who });
    await new Promise((resolve, reject) => { ws.on('open', resolve); ws.on('error', reject); });
    const closed = new Promise((resolve) => ws.on('close', resolve));
    assert.equal(await closed, 1008);
    for (const socket of [get, listen]) await socket.text(/\r\n0\r\n\r\n/);
    assert.match(listen.bytes.toString(), /"resultType":"complete"/);
    const { status, json } = await server.modern(...TOOLS, who);
    assert.equal(status, 401);
    assert.match(json.error.message, /expired/);
    for (const socket of [get, listen]) socket.destroy();
  });

  test('WebSocket handshakes take the same tokens', async () => {
    const open = (token) => new Promise((resolve) => {
      const ws = new WS(server.url.replace('http', 'ws'), 'mcp', { headers: bearer(token) });
      ws.on('open', () => { ws.close(); resolve(101); });
      ws.on('unexpected-response', (request, response) => resolve(response.statusCode));
      ws.on('error', () => {});
    });
    assert.equal(await open(rsa.sign(good())), 101);
    assert.equal(await open(rsa.sign(good({ aud: 'x' }))), 401);
    assert.equal(await open(rsa.sign(good({ scope: 'x' }))), 403);
  });
});

describe('an issuer', () => {
  test('is found at each place of the specification, and with a path', async () => {
    for (const place of ['/.well-known/oauth-authorization-server/t/1', '/.well-known/openid-configuration/t/1', '/t/1/.well-known/openid-configuration']) {
      const as = await new AuthorizationServer({ path: '/t/1' }).start();
      as.places = [place];
      const server = await start(as.issuer);
      await ready(server);
      assert.equal((await server.modern(...TOOLS, bearer(as.keys[0].sign(as.claims({ aud: server.url }))))).status, 200);
      assert.deepEqual(as.asked.at(-1), '/jwks');
      await server.stop();
      await as.stop();
    }
  });

  test('rotates its keys: the first request with a new one waits for it', async () => {
    const as = await new AuthorizationServer().start();
    const server = await start(as.issuer);
    await ready(server);
    const old = as.keys[0];
    const token = old.sign(as.claims({ aud: server.url }));
    assert.equal((await server.modern(...TOOLS, bearer(token))).status, 200);
    as.keys = [new Key('ES256', 'second')];
    const fresh = () => as.keys[0].sign(as.claims({ aud: server.url, sub: crypto.randomUUID() }));
    await until(async () => (await server.modern(...TOOLS, bearer(fresh()))).status === 200, 'the new key is taken', 10000);
    assert.equal((await server.modern(...TOOLS, bearer(token))).status, 401, 'what the old one has signed is nothing any more');

    // While the issuer's answer is awaited, requests of all kinds are held, also one that goes away.
    const known = fresh();
    as.keys = [new Key('EdDSA', 'third')];
    let release;
    as.hold = new Promise((resolve) => { release = resolve; });
    const asked = as.asked.length;
    const first = await until(async () => { // until the pause between two fetches is over
      const answer = server.modern(...TOOLS, bearer(fresh()));
      const early = await Promise.race([answer, until(() => as.asked.length > asked, 'a fetch', 5000)]);
      return early.status ? false : { answer };
    }, 'a fetch for the third key', 15000);
    const second = server.modern(...TOOLS, bearer(fresh()));
    const third = server.ask('', { method: 'GET', path: '/metrics', ...bearer(fresh()) });
    const gone = server.socket();
    await gone.write(server.head(JSON.stringify(PING), bearer(fresh())));
    const connections = async () => Number((await server.ask('', { method: 'GET', path: '/metrics', ...bearer(known) })).body.match(/^sandquay_connections (\d+)/m)[1]);
    await until(async () => await connections() === 5, 'four wait, and who asks', 5000);
    gone.destroy();
    await until(async () => await connections() === 4, 'one is gone', 5000);
    release();
    for (const answer of [first.answer, second, third]) assert.equal((await answer).status, 200);
    await server.stop();
    await as.stop();
  });

  test('that cannot be reached: 503 and not ready, then all is well without a restart', async () => {
    const as = new AuthorizationServer();
    const port = await freePort();
    const issuer = `http://127.0.0.1:${port}`;
    const server = await start(issuer);
    const token = () => as.keys[0].sign(as.claims({ iss: issuer, aud: server.url }));
    await until(() => /keys cannot be had: .*connect/.test(server.stderr), 'the log says so', 5000);
    const { status, headers, json } = await server.modern(...TOOLS, bearer(token()));
    assert.equal(status, 503);
    assert.ok(headers['retry-after']);
    assert.match(json.error.message, /issuer/);
    const state = await server.ask('', { method: 'GET', path: '/readyz' });
    assert.equal(state.status, 503);
    assert.match(state.body, /issuer/);
    assert.equal((await server.ask('', { method: 'GET', path: '/healthz' })).status, 200);
    await as.start(port);
    await ready(server);
    assert.equal((await server.modern(...TOOLS, bearer(token()))).status, 200);

    await as.stop(); // what was fetched stands in
    assert.equal((await server.modern(...TOOLS, bearer(token()))).status, 200);
    await server.stop();
  });

  test('over https is trusted by its certificate alone', async () => {
    const directory = scratch('certificate');
    const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(directory, name));
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=as',
      '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'pipe' });
    const as = await new AuthorizationServer({ tls: { cert: readFileSync(cert), key: readFileSync(key) } }).start();
    const ask = (server) => server.modern(...TOOLS, bearer(as.keys[0].sign(as.claims({ aud: server.url }))));
    const wary = await start(as.issuer);
    await until(() => /no trusted TLS connection/.test(wary.stderr), 'the log says why', 5000);
    assert.equal((await ask(wary)).status, 503);
    await wary.stop();
    const server = await start(as.issuer, { env: { SSL_CERT_FILE: cert } });
    await ready(server);
    assert.equal((await ask(server)).status, 200);
    await server.stop();
    await as.stop();
  });

  const wrong = {
    'another issuer in its metadata': [{ '/.well-known/oauth-authorization-server': [200, { issuer: 'https://evil.example', jwks_uri: 'https://evil.example/jwks' }] }, /calls itself "https:\/\/evil.example"/],
    'metadata that is a page': [{ '/.well-known/oauth-authorization-server': [200, '<html>'], '/.well-known/openid-configuration': [200, '<html>'] }, /not the metadata/],
    'keys over http elsewhere': [(as) => ({ '/.well-known/oauth-authorization-server': [200, { issuer: as.issuer, jwks_uri: 'http://example.com/jwks' }] }), /https/],
    'no jwks_uri': [(as) => ({ '/.well-known/oauth-authorization-server': [200, { issuer: as.issuer }] }), /jwks_uri/],
    'keys that are none': [{ '/jwks': [200, { keys: 'x' }] }, /"keys"/],
    'keys of no use': [{ '/jwks': [200, { keys: [{ kty: 'oct', k: 'AAAA' }] }] }, /none of the keys/],
    'too many keys': [{ '/jwks': [200, { keys: Array(65).fill({ kty: 'oct' }) }] }, /more than 64/],
    'a huge set': [{ '/jwks': [200, { keys: [], x: 'x'.repeat(300 * 1024) }] }, /over 256 KiB/],
    'an error': [{ '/jwks': [500, '{}'] }, /the answer is 500/],
    'a redirect': [{ '/jwks': [302, '{}'] }, /the answer is 302/],
  };
  for (const [name, [said, pattern]] of Object.entries(wrong)) {
    test(`with ${name} is not trusted`, async () => {
      const as = await new AuthorizationServer().start();
      as.said = typeof said === 'function' ? said(as) : said;
      const server = await start(as.issuer);
      await until(() => pattern.test(server.stderr), `${pattern} in the log, not ${server.stderr}`, 5000);
      assert.equal((await server.modern(...TOOLS, bearer(as.keys[0].sign(as.claims({ aud: server.url }))))).status, 503);
      await server.stop();
      await as.stop();
    });
  }
});

describe('subjects', () => {
  test('are tenants of their own, beside named tokens, for ever', async () => {
    const as = await new AuthorizationServer().start();
    const file = path.join(scratch('tokens'), 'tokens');
    writeFileSync(file, 'alice 0123456789abcdef-of-alice\n', { mode: 0o600 });
    const state = scratch('state');
    let server = await start(as.issuer, { args: ['--token-file', file], state, backend: 'local' });
    const token = (sub) => as.keys[0].sign(as.claims({ aud: server.url, sub }));
    const call = async (who, name, args) => {
      const { json } = await server.modern('tools/call', { name, arguments: args }, bearer(who));
      return json.result;
    };
    const list = async (who) => (await call(who, 'sandbox_list', {})).structuredContent.sandboxes.map((row) => row.sandbox);
    await ready(server);
    for (const [sub, content] of [['alice', 'hers'], ['bob', 'his']]) {
      const made = await call(token(sub), 'write_file', { sandbox: 'dev', path: 'whose', content });
      assert.ok(!made.isError, JSON.stringify(made));
    }
    assert.deepEqual(await list(token('alice')), ['dev']);
    assert.deepEqual(await list('0123456789abcdef-of-alice'), [], 'a token of that name is another tenant');
    const stored = readFileSync(path.join(state, 'sandquay/oauth-subjects'), 'utf8');
    assert.deepEqual(stored.trim().split('\n').map((line) => JSON.parse(line).subject), ['alice', 'bob']);
    assert.equal(new Set(stored.trim().split('\n').map((line) => JSON.parse(line).number)).size, 2);
    await server.stop('SIGKILL');

    // A line that a crash has cut.
    writeFileSync(path.join(state, 'sandquay/oauth-subjects'), `${stored}{"number":77,"iss`);
    server = await start(as.issuer, { state, backend: 'local' });
    await ready(server);
    const whose = async (sub) => (await call(token(sub), 'read_file', { sandbox: 'dev', path: 'whose' })).content[0].text;
    assert.match(await whose('alice'), /hers/);
    assert.match(await whose('bob'), /his/);
    assert.deepEqual(await list(token('carol')), []);
    const lines = readFileSync(path.join(state, 'sandquay/oauth-subjects'), 'utf8');
    assert.ok(lines.startsWith(stored), 'nothing of before is lost');
    assert.deepEqual(lines.trim().split('\n').map((line) => JSON.parse(line).subject), ['alice', 'bob', 'carol']);
    await server.stop();
    await as.stop();
  });

  test('a file of them that is damaged, or open to others, is not guessed at', async () => {
    const as = await new AuthorizationServer().start();
    for (const [text, mode, pattern] of [['{"number":0}\n', 0o600, /line 1 is not one of a subject/], ['', 0o666, /others may write/],
      ['{"number":5,"issuer":"a","subject":"b"}\n{"number":5,"issuer":"a","subject":"c"}\n', 0o600, /line 2/]]) {
      const state = scratch('state');
      mkdirSync(path.join(state, 'sandquay'), { mode: 0o700 });
      writeFileSync(path.join(state, 'sandquay/oauth-subjects'), text);
      chmodSync(path.join(state, 'sandquay/oauth-subjects'), mode);
      await assert.rejects(start(as.issuer, { state }), pattern);
    }
    await as.stop();
  });
});

describe('flags', () => {
  for (const [args, pattern] of [
    [['--oauth-issuer', 'http://auth.example.com'], /must be an https URL/],
    [['--oauth-issuer', 'auth.example.com'], /not a URL/],
    [['--oauth-issuer', 'https://auth.example.com/?x=1'], /not a URL/],
    [['--oauth-issuer', 'https://user@auth.example.com'], /not a URL/],
    [['--oauth-issuer', 'https://auth.example.com', '--oauth-resource', 'http://mcp.example.com/mcp'], /--oauth-resource must be an https URL/],
    [['--oauth-issuer', 'https://auth.example.com', '--oauth-scope', 'a"b', '--oauth-resource', 'https://mcp.example.com/mcp'], /--oauth-scope/],
    [['--oauth-issuer', 'https://auth.example.com'], /add --oauth-resource/],
  ]) {
    test(`${args.join(' ')}: ${pattern}`, async () => {
      const listen = /add/.test(pattern.source) ? '127.0.0.1:0' : `127.0.0.1:${await freePort()}`;
      await assert.rejects(serve({ args: ['serve', '--backend', 'null', ...args], listen }), pattern);
    });
  }
});

describe('the official SDKs', () => {
  const versions = {
    '1.32.2': async (url, authProvider) => [new Client({ name: 'test', version: '1' }), new StreamableHTTPClientTransport(url, { authProvider })],
    '2.4.0, 2026-07-28': async (url, authProvider) => {
      const two = await import('@modelcontextprotocol/client');
      return [new two.Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: { pin: MODERN } } }), new two.StreamableHTTPClientTransport(url, { authProvider })];
    },
  };
  for (const [version, make] of Object.entries(versions)) test(`${version} finds its way from a 401 to a tool call`, async () => {
    const as = await new AuthorizationServer().start();
    const server = await start(as.issuer, { args: ['--oauth-scope', 'sandbox:run'], backend: 'local' });
    await ready(server);
    const kept = {};
    let visited;
    const authProvider = {
      redirectUrl: 'http://127.0.0.1:1/callback',
      clientMetadata: { redirect_uris: ['http://127.0.0.1:1/callback'], client_name: 'test', grant_types: ['authorization_code'], response_types: ['code'], token_endpoint_auth_method: 'none' },
      clientInformation: () => kept.client,
      saveClientInformation: (client) => { kept.client = client; },
      tokens: () => kept.tokens,
      saveTokens: (tokens) => { kept.tokens = tokens; },
      redirectToAuthorization: (url) => { visited = url; },
      saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
      codeVerifier: () => kept.verifier,
      saveDiscoveryState: (state) => { kept.discovery = state; },
      discoveryState: () => kept.discovery,
    };
    const [early, first] = await make(new URL(server.url), authProvider);
    await assert.rejects(early.connect(first), /[Uu]nauthorized/);
    assert.equal(visited.origin, as.origin);
    assert.equal(visited.searchParams.get('resource'), server.url);
    assert.equal(visited.searchParams.get('scope'), 'sandbox:run');
    const { headers } = await fetch(visited, { redirect: 'manual' });
    await first.finishAuth(new URL(headers.get('location')).searchParams.get('code'));
    const [client, transport] = await make(new URL(server.url), authProvider);
    await client.connect(transport);
    const result = await client.callTool({ name: 'execute_command', arguments: { command: 'echo from behind OAuth' } });
    assert.equal(result.structuredContent.stdout, 'from behind OAuth\n');
    await client.close();
    await server.stop();
    await as.stop();
  });
});
