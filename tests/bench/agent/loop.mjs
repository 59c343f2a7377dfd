// The agent's loop as the official SDKs' documentation writes it: node loop.mjs TASK. The model is
// at ANTHROPIC_BASE_URL, the tools are those of $SANDQUAY serve.
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.resolve(import.meta.dirname, '../../clients/package.json'));
const { default: Anthropic } = await import(require.resolve('@anthropic-ai/sdk'));
const { Client } = await import(require.resolve('@modelcontextprotocol/client'));
const { StdioClientTransport } = await import(require.resolve('@modelcontextprotocol/client/stdio'));

const mcp = new Client({ name: 'loop', version: '1.0.0' });
await mcp.connect(new StdioClientTransport({ command: process.env.SANDQUAY, args: ['serve'], env: process.env, stderr: 'inherit' }));
const { tools } = await mcp.listTools();
const anthropic = new Anthropic();
const messages = [{ role: 'user', content: process.argv[2] }];
for (;;) {
  const stream = anthropic.messages.stream({
    model: 'claude-opus-5-5', max_tokens: 16000, cache_control: { type: 'ephemeral' }, messages,
    tools: tools.map(({ name, description, inputSchema }) => ({ name, description, input_schema: inputSchema })),
  });
  stream.on('text', (text) => process.stdout.write(text));
  const message = await stream.finalMessage();
  messages.push({ role: 'assistant', content: message.content });
  if (message.stop_reason !== 'tool_use') break;
  messages.push({ role: 'user', content: await Promise.all(message.content.filter((block) => block.type === 'tool_use').map(async (block) => {
    const result = await mcp.callTool({ name: block.name, arguments: block.input });
    return { type: 'tool_result', tool_use_id: block.id, is_error: result.isError, content: result.content };
  })) });
}
await mcp.close();
