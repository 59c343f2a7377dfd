// An MCP server on stdio that misbehaves as it is told: node fake-server.mjs [dies-at-once|never-answers]
import readline from 'node:readline';

const mode = process.argv[2];
if (mode === 'dies-at-once') {
  process.stderr.write('I cannot go on\n');
  process.exit(3);
}
const schema = { type: 'object', properties: {} };
const pages = [
  ['everything', 'structured', 'same.name', 'same name'],
  ['environment', 'fails', 'die', 'big', `long-${'x'.repeat(80)}`],
];
const content = [
  { type: 'text', text: 'words' },
  { type: 'image', mimeType: 'image/png', data: 'iVBORw0KGgo=' },
  { type: 'image', mimeType: 'image/tiff', data: 'AAAA' },
  { type: 'resource_link', uri: 'file:///x', name: 'x' },
  { type: 'resource', resource: { uri: 'file:///y', text: 'inside' } },
  { type: 'resource', resource: { uri: 'file:///z.pdf', mimeType: 'application/pdf', blob: 'JVBERg==' } },
  { type: 'audio', mimeType: 'audio/wav', data: 'AAAA' },
  { type: 'text', text: '' },
];
const tools = {
  everything: () => ({ content }),
  structured: () => ({ content: [], structuredContent: { only: 'structured' } }),
  environment: () => ({ content: [{ type: 'text', text: JSON.stringify(process.env) }] }),
  fails: () => ({ isError: true, content: [{ type: 'text', text: 'it broke' }] }),
  big: () => ({ content: Array(5).fill({ type: 'image', mimeType: 'image/png', data: 'A'.repeat(6.9e6) }) }),
  die: () => process.exit(7),
};
const methods = {
  initialize: () => ({ protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'fake', version: '1' }, instructions: 'Be kind to the fake server.' }),
  'tools/list': ({ cursor } = {}) => ({ tools: pages[cursor ? 1 : 0].map((name) => ({ name, inputSchema: schema })), ...(cursor ? {} : { nextCursor: '2' }) }),
  'tools/call': ({ name }) => tools[name](),
};
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined || mode === 'never-answers') return;
  const answer = methods[method] ? { result: methods[method](params) } : { error: { code: -32601, message: 'no such method' } };
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...answer })}\n`);
}).on('close', () => process.exit(0));
