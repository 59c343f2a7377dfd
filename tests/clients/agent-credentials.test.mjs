// Whose model is asked, with which key: the environment, .env, profiles of ant, Vercel's gateway,
// servers that want no key.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { place, start } from './lib/agent.mjs';
import { modelServer, say, turn } from './lib/model.mjs';

const NONE = { ANTHROPIC_API_KEY: '', ANTHROPIC_PROFILE: '', ANTHROPIC_CONFIG_DIR: '/nonexistent', VERCEL_OIDC_TOKEN: '', AI_GATEWAY_API_KEY: '' };

describe('credentials of the agent', () => {
  let where, model;
  before(async () => {
    where = place('agent-credentials');
    model = await modelServer([turn(say('Hello.'))]);
  });
  after(() => model.close());

  /** The request that a run makes; or how it ends without one. */
  async function run(extra, args = [], directory = where.directory) {
    model.requests.length = 0;
    const { code, stderr } = await start({ ...where, directory }, model, [...args, 'hi'], { extra: { ...NONE, ...extra } }).done;
    return { code, stderr, request: model.requests[0] };
  }
  const authorization = async (...args) => {
    const { code, stderr, request } = await run(...args);
    assert.equal(code, 0, stderr);
    return request.headers.authorization;
  };

  test('the environment; the API key wins', async () => {
    assert.equal(await authorization({ ANTHROPIC_API_KEY: 'key' }), 'Bearer key');
    assert.equal(await authorization({ ANTHROPIC_AUTH_TOKEN: 'token' }), 'Bearer token');
    assert.equal(await authorization({ ANTHROPIC_API_KEY: 'key', ANTHROPIC_AUTH_TOKEN: 'token' }), 'Bearer key');
  });
  test('--auth-style x-api-key, ANTHROPIC_CUSTOM_HEADERS', async () => {
    const { request } = await run({ ANTHROPIC_API_KEY: 'key', ANTHROPIC_CUSTOM_HEADERS: 'X-Team: blue\nAnthropic-Beta: a,b' }, ['--auth-style', 'x-api-key']);
    assert.deepEqual([request.headers.authorization, request.headers['x-api-key'], request.headers['x-team'], request.headers['anthropic-beta']], [undefined, 'key', 'blue', 'a,b']);
  });
  test('.env gives the key and nothing else', async () => {
    const directory = path.join(where.directory, 'project');
    mkdirSync(directory);
    writeFileSync(path.join(directory, '.env'), 'ANTHROPIC_API_KEY="from .env"\n');
    writeFileSync(path.join(directory, '.env.local'), 'ANTHROPIC_API_KEY=from-env-local\nANTHROPIC_BASE_URL=http://127.0.0.1:1\nANTHROPIC_CUSTOM_HEADERS=X-Evil: 1\n');
    const { code, request } = await run({}, [], directory);
    assert.deepEqual([code, request.headers.authorization, request.headers['x-evil']], [0, 'Bearer from-env-local', undefined]);
    assert.equal(await authorization({ ANTHROPIC_API_KEY: 'mine' }, [], directory), 'Bearer mine');
  });
  test('a local server wants no key; what people put behind the URL is cut off', async () => {
    const { code, request } = await run({ ANTHROPIC_BASE_URL: `${model.url}/v1/` }, ['--model', 'qwen3']);
    assert.deepEqual([code, request.path, request.headers.authorization, request.body.model], [0, '/v1/messages', undefined, 'qwen3']);
  });
  test('--gateway: the OIDC token of Vercel, and the gateway\'s name of the model', async () => {
    const { code, stderr, request } = await run({ VERCEL_OIDC_TOKEN: 'oidc', ANTHROPIC_API_KEY: 'key' }, ['--gateway', '--base-url', model.url, '--backend', 'local']);
    assert.equal(code, 0, stderr);
    assert.deepEqual([request.headers.authorization, request.body.model], ['Bearer oidc', 'anthropic/claude-opus-5.5']);
    const without = await run({ ANTHROPIC_API_KEY: 'key' }, ['--gateway', '--base-url', model.url, '--backend', 'local']);
    assert.notEqual(without.code, 0);
    assert.match(without.stderr, /--gateway needs AI_GATEWAY_API_KEY or VERCEL_OIDC_TOKEN[^]*vercel env pull/);
  });
  test('nothing at all: every way is told', async () => {
    const { code, stderr, request } = await run({ ANTHROPIC_BASE_URL: '' });
    assert.equal(request, undefined);
    assert.notEqual(code, 0);
    for (const way of ['ANTHROPIC_API_KEY', 'ant auth login', '--gateway', 'http://localhost:11434', 'http://localhost:8080', 'http://localhost:1234', 'http://localhost:8000']) assert.ok(stderr.includes(way), way);
  });
  test('a key never goes over a network in the clear', async () => {
    const { code, stderr } = await run({ ANTHROPIC_API_KEY: 'sk-very-secret', ANTHROPIC_BASE_URL: 'http://192.0.2.1' });
    assert.notEqual(code, 0);
    assert.match(stderr, /in the clear to 192\.0\.2\.1/);
    assert.doesNotMatch(stderr, /very-secret/);
  });
  test('a model that was retired: its successor is named, nothing is sent', async () => {
    const { code, stderr } = await run({ ANTHROPIC_API_KEY: 'key', ANTHROPIC_BASE_URL: '' }, ['--model', 'claude-3-5-sonnet-20241022']);
    assert.notEqual(code, 0);
    assert.match(stderr, /claude-3-5-sonnet-20241022 does not exist any more[^]*claude-sonnet-5-5/);
  });
  test('a profile of ant; its token is renewed when it has expired', async () => {
    const home = path.join(where.directory, 'ant');
    mkdirSync(path.join(home, 'configs'), { recursive: true });
    writeFileSync(path.join(home, 'active_config'), 'work\n');
    writeFileSync(path.join(home, 'configs', 'work.json'), JSON.stringify({ version: 1, authentication: { type: 'user_oauth' }, workspace_id: 'wrkspc_1' }));
    writeFileSync(path.join(home, 'ant'), `#!/bin/sh\n[ "$*" = 'auth print-credentials --access-token' ] || exit 9\necho x >> '${home}/count'\necho "sk-ant-oat01-$(wc -l < '${home}/count')"\n`);
    chmodSync(path.join(home, 'ant'), 0o755);
    const expiring = await modelServer([
      (body, response) => { response.writeHead(401, { 'content-type': 'application/json' }).end('{"type":"error","error":{"type":"authentication_error","message":"expired"}}'); },
      turn(say('Hello.')),
    ]);
    try {
      const { code, stderr } = await start(where, expiring, ['hi'], { extra: { ...NONE, ANTHROPIC_CONFIG_DIR: home, ANTHROPIC_PROFILE: 'work', PATH: `${home}:${process.env.PATH}` } }).done;
      assert.equal(code, 0, stderr);
      assert.deepEqual(expiring.requests.map(({ headers }) => [headers.authorization, headers['anthropic-beta'], headers['anthropic-workspace-id']]),
        ['1', '2'].map((n) => [`Bearer sk-ant-oat01-${n}`, 'oauth-2025-04-20', 'wrkspc_1']));
    } finally {
      await expiring.close();
    }
  });
  test('a CA of one\'s own: SSL_CERT_FILE; without it, who speaks is not trusted', async () => {
    const file = (name) => path.join(where.directory, name);
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-keyout', file('key.pem'), '-out', file('cert.pem'),
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'], { stdio: 'pipe' });
    const secure = await modelServer([turn(say('Hello.'))], { key: readFileSync(file('key.pem')), cert: readFileSync(file('cert.pem')) });
    const ask = (extra) => start(where, secure, ['hi'], { extra: { ...NONE, ANTHROPIC_API_KEY: 'key', ...extra } }).done;
    try {
      const trusted = await ask({ SSL_CERT_FILE: file('cert.pem') });
      assert.deepEqual([trusted.code, trusted.stdout, secure.requests[0].headers.authorization], [0, 'Hello.\n', 'Bearer key'], trusted.stderr);
      const stranger = await ask({ SSL_CERT_FILE: '', CURL_CA_BUNDLE: '' });
      assert.equal(stranger.code, 5);
      assert.match(stranger.stderr, /no trusted TLS connection[^]*SSL_CERT_FILE/);
      assert.equal(secure.requests.length, 1);
    } finally {
      await secure.close();
    }
  });
  test('no key is in a message, in the session, in the sandbox or in argv', async () => {
    const secret = 'sk-ant-not-to-be-seen';
    const asking = await modelServer([
      turn({ type: 'tool_use', id: 'toolu_1', name: 'execute_command', input: { command: 'env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr "\\0" "\\n"' } }),
      turn(say('Done.')),
    ]);
    try {
      const { code, stdout, stderr } = await start(where, asking, ['--verbose', 'hi'], { extra: { ...NONE, ANTHROPIC_API_KEY: secret } }).done;
      assert.equal(code, 0, stderr);
      assert.equal(asking.requests[0].headers.authorization, `Bearer ${secret}`);
      assert.ok(!`${stdout}${stderr}${asking.requests.map(({ text }) => text).join()}`.includes(secret));
      for (const file of readdirSync(where.sessions)) assert.ok(!readFileSync(path.join(where.sessions, file), 'utf8').includes(secret));
    } finally {
      await asking.close();
    }
  });
});
