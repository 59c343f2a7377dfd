// agent/model behind one small face (tests/model/main.c), and the official SDK behind the same.
import Anthropic from '@anthropic-ai/sdk';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import readline from 'node:readline';

const PROBE = path.join(path.dirname(process.env.SANDQUAY), 'tests', 'model-turn');

export function ours(config) {
  const child = spawn(PROBE, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const write = (value) => child.stdin.write(JSON.stringify(value) + '\n');
  write(config);
  return {
    async turn(messages) {
      write(messages);
      return JSON.parse((await lines.next()).value);
    },
    async close() {
      child.stdin.end();
      const [code] = await once(child, 'exit');
      if (code !== 0) throw new Error(`model-turn ended with ${code}`);
    },
  };
}

export function theirs({ base_url, key, model, max_tokens, system, tools, effort, thinking }) {
  const client = new Anthropic({ baseURL: base_url, apiKey: key, maxRetries: 2 });
  return {
    async turn(messages) {
      const stream = client.messages.stream({
        model, max_tokens, stream: true,
        cache_control: { type: 'ephemeral' },
        ...(system ? { system: [{ type: 'text', text: system }] } : {}),
        ...(tools ? { tools } : {}),
        ...(effort ? { output_config: { effort } } : {}),
        ...(thinking ? { thinking: { type: 'adaptive', display: 'summarized' } } : {}),
        messages,
      });
      try {
        const m = await stream.finalMessage();
        return {
          content: m.content, id: m.id, model: m.model, stop_reason: m.stop_reason,
          text: m.content.filter((b) => b.type === 'text').map((b) => b.text).join(''),
          input_tokens: m.usage.input_tokens, output_tokens: m.usage.output_tokens,
        };
      } catch (error) {
        return { error: String(error), status: error.status };
      }
    },
    async close() {},
  };
}
