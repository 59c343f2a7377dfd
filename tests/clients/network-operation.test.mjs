// What an operator sees: logs for machines, traces, metrics, the client behind a proxy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { META, MODERN, serve } from './lib/network.mjs';
import { until } from './lib/product.mjs';

const TOKEN = 'operator-0123456789abcdef';
const auth = { Authorization: `Bearer ${TOKEN}` };
const ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const start = (...args) => serve({ args: ['serve', '--token-env', 'NET_TOKEN', ...args], env: { ...process.env, NET_TOKEN: TOKEN } });

test('--log-format json: every line is an object, and none has a secret', async () => {
  const server = await start('--log-format', 'json');
  await server.modern('tools/call', { name: 'execute_command', arguments: { command: 'echo in-the-sandbox' } }, { ...auth, traceparent: `00-${ID}-00f067aa0ba902b7-01` });
  await server.modern('server/discover', { _meta: { ...META, traceparent: `00-${ID}-00f067aa0ba902b8-01` } }, auth);
  await server.ask('', { method: 'GET', path: '/nothing\x1b[31m"', ...auth });
  await server.ask('{}', {});
  await server.stop();
  const lines = server.stderr.trim().split('\n').map((line) => JSON.parse(line));
  for (const line of lines) assert.ok(line.time.endsWith('Z') && line.level && line.message, JSON.stringify(line));
  const requests = lines.filter((line) => line.message === 'request');
  assert.deepEqual(requests.map((one) => [one.method, one.status, one.rpc, one.trace]), [
    ['POST', 200, 'tools/call', ID], ['POST', 200, 'server/discover', ID], ['GET', 404, undefined, undefined], ['POST', 401, undefined, undefined]]);
  assert.ok(requests.every((one) => one.client === '127.0.0.1' && one.microseconds > 0));
  assert.ok(!server.stderr.includes(TOKEN) && !server.stderr.includes('in-the-sandbox'));
});

test('a token that was made is not written into such a log', async () => {
  await assert.rejects(serve({ args: ['serve', '--log-format', 'json'] }), /cannot be shown/);
});

test('metrics count what happened', async () => {
  const server = await start();
  const call = (params, method = 'tools/call') => server.modern(method, params, auth);
  await call({ name: 'execute_command', arguments: { command: 'true' } });
  await call({ name: 'execute_command', arguments: { command: 'true', cwd: '/nowhere' } });
  await call({ name: 'read_file', arguments: { path: 'missing' } });
  await call({ name: 'no_such_tool', arguments: {} });
  await call({}, 'no/such/method');
  const { status, headers, body } = await server.ask('', { method: 'GET', path: '/metrics', ...auth });
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
  for (const line of [
    'sandquay_requests_total{method="tools/call",outcome="ok"} 3', 'sandquay_requests_total{method="tools/call",outcome="error"} 1',
    ...[['exec', 'ok'], ['exec', 'failed'], ['open', 'failed']].map(([name, outcome]) => `sandquay_backend_calls_total{backend="local",call="${name}",outcome="${outcome}"} 1`),
    'sandquay_requests_total{method="other",outcome="error"} 1', 'sandquay_request_duration_seconds_count{method="tools/call"} 4',
    'sandquay_http_answers_total{class="2xx"} 4', 'sandquay_http_answers_total{class="4xx"} 1', 'sandquay_sandboxes 1', 'sandquay_commands_running 0']) {
    assert.ok(body.includes(`${line}\n`), `${line}\n${body}`);
  }
  for (const line of body.trim().split('\n')) assert.match(line, /^(# (HELP|TYPE) sandquay_\w+ .+|sandquay_\w+(\{[^}]*\})? \d+(\.\d+)?)$/);
  await server.stop();
});

test('behind a proxy the client is the one that the proxy has seen', async () => {
  const server = await start('--verbose', '--trust-proxy');
  await server.ask('', { method: 'GET', path: '/healthz', 'X-Forwarded-For': '192.0.2.1, 198.51.100.7' });
  await server.stop();
  assert.match(server.stderr, /request client=198\.51\.100\.7 method=GET path=\/healthz status=200/);
  const left = await start('--verbose');
  const gone = left.socket();
  await gone.write(left.head('', { method: 'GET', ...(await left.session('2025-11-25', auth)) }));
  await gone.text(/event-stream/);
  gone.destroy();
  await until(() => /method=GET/.test(left.stderr), 'the request is logged', 5000);
  await left.stop();
  assert.match(left.stderr, /request client=127\.0\.0\.1 .*method=GET path=\/mcp status=200/, 'also of a client that is gone');
  const direct = await start('--verbose');
  await direct.ask('', { method: 'GET', path: '/healthz', 'X-Forwarded-For': '192.0.2.1' });
  await direct.stop();
  assert.match(direct.stderr, /request client=127\.0\.0\.1 /);
});
