// Six kinds of client behind one small face:
//   {name, era, list(), call(name, args, {signal, onprogress}), resources(), prompts(), ping?(), close()}
const info = { name: 'sandquay-clients-test', version: '1.0.0' };

async function versionOne(version, server) {
  const { Client } = await import(`sdk-${version}/client/index.js`);
  const { StdioClientTransport } = await import(`sdk-${version}/client/stdio.js`);
  const client = new Client(info, { capabilities: {} });
  return faceOf(client, new StdioClientTransport(server), (params, options) => client.callTool(params, undefined, options));
}

async function versionTwo(mode, server) {
  const { Client } = await import('@modelcontextprotocol/client');
  const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
  const client = new Client(info, { capabilities: {}, versionNegotiation: { mode } });
  return faceOf(client, new StdioClientTransport(server), (params, options) => client.callTool(params, options));
}

export async function faceOf(client, transport, call) {
  const errors = [];
  client.onerror = (error) => errors.push(error);
  await client.connect(transport);
  return {
    errors,
    capabilities: client.getServerCapabilities(),
    serverInfo: client.getServerVersion(),
    list: async () => (await client.listTools()).tools,
    call: (name, args, options) => call({ name, arguments: args }, options),
    resources: async () => (await client.listResources()).resources,
    prompts: async () => (await client.listPrompts()).prompts,
    ping: () => client.ping(),
    close: () => client.close(),
  };
}

async function aiSdk(server) {
  const { createMCPClient } = await import('@ai-sdk/mcp');
  const { Experimental_StdioMCPTransport: Transport } = await import('@ai-sdk/mcp/mcp-stdio');
  const errors = [];
  const client = await createMCPClient({ transport: new Transport(server), onUncaughtError: (error) => errors.push(error) });
  return {
    errors,
    list: async () => (await client.listTools()).tools,
    call: (name, args, { signal } = {}) => client.callTool({ name, arguments: args, options: { signal } }),
    tools: () => client.tools(),
    resources: async () => (await client.listResources()).resources,
    prompts: async () => (await client.experimental_listPrompts()).prompts,
    close: () => client.close(),
  };
}

// `revision`: what the two sides must agree on. `kills`: the client ends the server by a signal.
export const clients = [
  { name: 'SDK 1.0.4', revision: '2024-11-05', kills: true, open: (server) => versionOne('1.0.4', server) },
  { name: 'SDK 1.12.3', revision: '2025-03-26', kills: true, open: (server) => versionOne('1.12.3', server) },
  { name: 'SDK 1.19.1', revision: '2025-06-18', open: (server) => versionOne('1.19.1', server) },
  { name: 'SDK 1.32.2', revision: '2025-11-25', open: (server) => versionOne('1.32.2', server) },
  { name: 'SDK 2.4.0 legacy', revision: '2025-11-25', open: (server) => versionTwo('legacy', server) },
  { name: 'SDK 2.4.0 auto', revision: '2026-07-28', open: (server) => versionTwo('auto', server) },
  { name: 'SDK 2.4.0 pinned', revision: '2026-07-28', open: (server) => versionTwo({ pin: '2026-07-28' }, server) },
  { name: '@ai-sdk/mcp', revision: '2026-07-28', kills: true, open: aiSdk },
];
