// A model that follows a script: the Messages API, byte by byte, on loopback.
//
// Each request takes the next step of the script: a function of (body, response, number) that
// returns what say(), call() and the like give, or has answered by itself.
import http from 'node:http';
import https from 'node:https';

let ids = 0;
const frame = (event, data) => `event: ${event}\ndata: ${JSON.stringify({ type: event, ...data })}\n\n`;

export const say = (text) => ({ type: 'text', text });
export const think = (thinking, signature = 'c2lnbmF0dXJl') => ({ type: 'thinking', thinking, signature });
export const call = (name, input, id = `toolu_${++ids}`) => ({ type: 'tool_use', id, name, input });
/** A call whose input is this text, JSON or not. */
export const callRaw = (name, json, id = `toolu_${++ids}`) => ({ type: 'tool_use', id, name, json });
/** The message of these blocks; stop: as they say. */
export const turn = (blocks, { stop, usage, details, model } = {}) => ({ blocks: [blocks].flat(), stop, usage, details, model });

/** The pieces of a block: its start, its deltas. */
function events(block, index) {
  const delta = (rest) => frame('content_block_delta', { index, delta: rest });
  const start = (content_block) => frame('content_block_start', { index, content_block });
  const pieces = (text, size) => text.match(new RegExp(`[^]{1,${size}}`, 'gu')) ?? [];
  if (block.type === 'text') {
    return [start({ type: 'text', text: '' }), ...pieces(block.text, 11).map((text) => delta({ type: 'text_delta', text }))];
  }
  if (block.type === 'thinking') {
    return [start({ type: 'thinking', thinking: '', signature: '' }),
      ...pieces(block.thinking, 11).map((thinking) => delta({ type: 'thinking_delta', thinking })),
      delta({ type: 'signature_delta', signature: block.signature })];
  }
  if (block.type === 'tool_use') {
    return [start({ type: 'tool_use', id: block.id, name: block.name, input: {} }),
      ...pieces(block.json ?? JSON.stringify(block.input), 4000).map((partial_json) => delta({ type: 'input_json_delta', partial_json }))];
  }
  return [start(block)];
}

/** All bytes of a message's stream. */
export function stream({ blocks, stop, usage = {}, details = null, model = 'claude-opus-5-5' }) {
  const used = { input_tokens: 100, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 20, ...usage };
  const reason = stop ?? (blocks.some((block) => block.type === 'tool_use') ? 'tool_use' : 'end_turn');
  return [
    frame('message_start', { message: { id: `msg_${++ids}`, type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null, usage: { ...used, output_tokens: 1 } } }),
    frame('ping', {}),
    ...blocks.flatMap((block, index) => [...events(block, index), frame('content_block_stop', { index })]),
    frame('message_delta', { delta: { stop_reason: reason, stop_sequence: null, stop_details: details }, usage: { output_tokens: used.output_tokens } }),
    frame('message_stop', {}),
  ].join('');
}

/** Begins a stream and leaves it open: what the model says before it is interrupted. */
export function hang(response, blocks = []) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(stream({ blocks }).split('event: message_delta')[0]);
}

/**
 * Starts the server. {url, requests: [{headers, body, path}], close()}. script: a list of steps, the last
 * one repeated for ever; a step is a turn() or a function. tls: {key, cert}.
 */
export async function modelServer(script, tls) {
  const requests = [];
  const waiting = [];
  const server = (tls ? https : http).createServer(tls ?? {}, (request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
      const text = Buffer.concat(chunks).toString();
      const body = JSON.parse(text);
      const number = requests.push({ headers: request.headers, path: request.url, text, body });
      waiting.splice(0).forEach((resolve) => resolve());
      const step = script[Math.min(number, script.length) - 1];
      const answer = typeof step === 'function' ? await step(body, response, number) : step;
      if (!answer) return; // it has answered, or does not
      response.writeHead(200, { 'content-type': 'text/event-stream', 'request-id': `req_${number}` });
      response.end(stream(answer));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `${tls ? 'https://localhost' : 'http://127.0.0.1'}:${server.address().port}`,
    requests,
    /** Resolves when so many requests have come. */
    async seen(count) {
      while (requests.length < count) await new Promise((resolve) => waiting.push(resolve));
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The results in the last message of a request: [{id, error, text}]. */
export function results(body) {
  const { role, content } = body.messages.at(-1);
  if (role !== 'user') return [];
  return content.filter((block) => block.type === 'tool_result').map((block) => ({
    id: block.tool_use_id,
    error: block.is_error === true,
    text: typeof block.content === 'string' ? block.content : block.content.map((part) => part.text ?? `<${part.type}>`).join('\n'),
  }));
}
