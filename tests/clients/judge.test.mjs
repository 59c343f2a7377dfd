// The judge itself: it passes a right conversation and finds each planted fault.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judge, schemasMissing } from './lib/trace.mjs';

const MODERN = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
const client = (message) => ({ from: 'client', line: JSON.stringify({ jsonrpc: '2.0', ...message }) });
const server = (message) => ({ from: 'server', line: JSON.stringify({ jsonrpc: '2.0', ...message }) });
const tool = { name: 't', inputSchema: { type: 'object' }, outputSchema: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] } };
const result = (n) => ({ content: [{ type: 'text', text: JSON.stringify({ n }) }], structuredContent: { n } });

function conversation(version = '2025-11-25') {
  return [
    { server: 1 },
    client({ id: 0, method: 'initialize', params: { protocolVersion: version } }),
    server({ id: 0, result: { protocolVersion: version, capabilities: {}, serverInfo: { name: 's', version: '1' } } }),
    client({ id: 'a', method: 'tools/list' }),
    server({ id: 'a', result: { tools: [tool] } }),
    client({ id: 2, method: 'tools/call', params: { name: 't', _meta: { progressToken: 'p' } } }),
    server({ method: 'notifications/progress', params: { progressToken: 'p', progress: 1 } }),
    server({ id: 2, result: result(3) }),
    { exit: 0, signal: null },
  ];
}
const modern = () => [
  client({ id: 1, method: 'ping', params: { _meta: MODERN } }),
  server({ id: 1, error: { code: -32601, message: 'none' } }),
  client({ id: 2, method: 'tools/call', params: { name: 't', _meta: MODERN } }),
  server({ id: 2, result: { resultType: 'complete', content: [] } }),
];

describe('the judge', { skip: schemasMissing() }, () => {
  for (const version of ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']) {
    test(`passes a right conversation of ${version}`, () => {
      const { problems, messages, revisions } = judge(conversation(version));
      assert.deepEqual([problems, messages, [...revisions]], [[], 4, [version]]);
    });
  }
  test('passes a right conversation of 2026-07-28', () => {
    assert.deepEqual(judge(modern()).problems, []);
  });

  const faults = {
    'text that is no JSON': { from: 'server', line: 'hello' },
    'a blank line': { from: 'server', line: '' },
    'CRLF': { from: 'server', line: server({ id: 2, result: result(3) }).line + '\r' },
    'a line that is cut off': { from: 'server', bytes: 'e30=' },
    'an array': { from: 'server', line: '[]' },
    'an extra key': server({ id: 2, result: result(3), extra: 1 }),
    'another type of id': server({ id: '2', result: result(3) }),
    'an answer to nothing': server({ id: 99, result: {} }),
    'a result that breaks the schema': server({ id: 2, result: { content: 'text' } }),
    'a structuredContent that breaks the output schema': server({ id: 2, result: result('three') }),
    'no structuredContent': server({ id: 2, result: { content: [] } }),
    'a text that is something else': server({ id: 2, result: { ...result(3), content: [{ type: 'text', text: '{"n":4}' }] } }),
    'an error without a message': server({ id: 2, error: { code: -32600 } }),
    'a code that is not to be used': server({ id: 2, error: { code: -32000, message: 'x' } }),
    'a request that was not declared': server({ id: 5, method: 'roots/list' }),
    'an unknown notification': server({ method: 'notifications/own', params: {} }),
    'progress without a number': server({ method: 'notifications/progress', params: { progressToken: 'p' } }),
  };
  for (const [name, record] of Object.entries(faults)) {
    test(`finds ${name}`, () => {
      const records = conversation();
      records[7] = record;
      assert.notEqual(judge(records).problems.length, 0);
    });
  }
  test('finds a second answer', () => {
    const records = conversation();
    records.splice(8, 0, records[7]);
    assert.notEqual(judge(records).problems.length, 0);
  });
  test('finds a missing resultType', () => {
    const records = modern();
    records[3] = server({ id: 2, result: { content: [] } });
    assert.notEqual(judge(records).problems.length, 0);
  });
});
