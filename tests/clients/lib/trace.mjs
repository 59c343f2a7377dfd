// Judges recorded conversations by the official schema of the revision that each message is in.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { repository, shared } from './product.mjs';

const schemas = path.join(shared, 'reference/mcp-schema');
const MODERN = '2026-07-28';
const NEWEST_LEGACY = '2025-11-25';
const VERSION_KEY = 'io.modelcontextprotocol/protocolVersion';

/** Without the schemas: a reason to skip; in CI an error. */
export function schemasMissing() {
  if (existsSync(schemas)) return false;
  const reason = `the official schemas are not in ${schemas} (SANDQUAY_SHARED)`;
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}

const RESULTS = {
  initialize: 'InitializeResult',
  ping: 'EmptyResult',
  'server/discover': 'DiscoverResult',
  'tools/list': 'ListToolsResult',
  'tools/call': 'CallToolResult',
  'resources/list': 'ListResourcesResult',
  'resources/templates/list': 'ListResourceTemplatesResult',
  'resources/read': 'ReadResourceResult',
  'resources/subscribe': 'EmptyResult',
  'resources/unsubscribe': 'EmptyResult',
  'prompts/list': 'ListPromptsResult',
  'prompts/get': 'GetPromptResult',
  'completion/complete': 'CompleteResult',
  'logging/setLevel': 'EmptyResult',
  'subscriptions/listen': 'SubscriptionsListenResult',
  'tasks/get': 'GetTaskResult',
  'tasks/list': 'ListTasksResult',
  'tasks/cancel': 'CancelTaskResult',
  'tasks/result': 'CallToolResult',
};
// What the server may ask of a legacy client, by the capability that it takes.
const ASKED = { 'elicitation/create': 'elicitation', 'sampling/createMessage': 'sampling', 'roots/list': 'roots' };
// The extension for tasks of 2026-07-28 has no official schema: its members, by what they are.
const TASK_STATUSES = ['working', 'input_required', 'completed', 'failed', 'cancelled'];
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
function checkExtensionTask(task) {
  const wrong = [];
  if (typeof task.taskId !== 'string') wrong.push('taskId');
  if (!TASK_STATUSES.includes(task.status)) wrong.push('status');
  for (const key of ['createdAt', 'lastUpdatedAt']) if (!TIME.test(task[key])) wrong.push(key);
  if (task.ttlMs !== null && !Number.isInteger(task.ttlMs)) wrong.push('ttlMs');
  if (!Number.isInteger(task.pollIntervalMs)) wrong.push('pollIntervalMs');
  for (const key of ['ttl', 'pollInterval', 'requestState', 'task']) if (key in task) wrong.push(`${key} is of another protocol`);
  return wrong.length ? `a task of the extension: ${wrong}` : '';
}
const ENVELOPE = ['jsonrpc', 'id', 'method', 'params', 'result', 'error'];

class Revision {
  #validators = new Map();

  constructor(name) {
    this.name = name;
    this.schema = JSON.parse(readFileSync(path.join(schemas, name, 'schema.json')));
    this.key = this.schema.$defs ? '$defs' : 'definitions';
    const options = { strict: false, allErrors: true };
    this.ajv = this.schema.$schema.includes('2020-12') ? new Ajv2020(options) : new Ajv(options);
    addFormats(this.ajv);
    this.ajv.addSchema(this.schema, 'mcp');
    this.methods = new Map(); // method -> the definition of its request or notification
    for (const [definition, { properties }] of Object.entries(this.schema[this.key])) {
      if (properties?.method?.const) this.methods.set(properties.method.const, definition);
    }
  }

  /** '' or what is wrong. */
  check(definition, value) {
    if (!this.schema[this.key][definition]) return `revision ${this.name} has no ${definition}`;
    if (!this.#validators.has(definition)) {
      this.#validators.set(definition, this.ajv.compile({ $ref: `mcp#/${this.key}/${definition}` }));
    }
    const validate = this.#validators.get(definition);
    return validate(value) ? '' : `${this.name} ${definition}: ${this.ajv.errorsText(validate.errors)}`;
  }

  first(...definitions) {
    return definitions.find((name) => this.schema[this.key][name]);
  }
}

const revisions = new Map();
function revision(name) {
  if (!revisions.has(name)) revisions.set(name, new Revision(name));
  return revisions.get(name);
}

function outputSchemas(tools) {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats(ajv);
  return new Map(tools.filter((tool) => tool.outputSchema).map(
    (tool) => [tool.name, { validate: ajv.compile(tool.outputSchema), ajv }]));
}

function repositoryTools() {
  const directory = path.join(repository, 'schemas/tools');
  return readdirSync(directory).filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(path.join(directory, name))));
}

/** The conversations that lib/tee.mjs recorded in a directory: [{file, records}]. */
export function readTraces(directory) {
  return readdirSync(directory).filter((name) => name.endsWith('.jsonl')).map((name) => ({
    file: name,
    records: readFileSync(path.join(directory, name), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)),
  })).filter(({ records }) => records.length);
}

/**
 * One conversation. Returns {problems: [text], messages: how many of the server were judged,
 * revisions: those that were spoken, methods: those that were answered}.
 */
export function judge(records) {
  const problems = [];
  const requests = new Map(); // id as JSON -> {method, params, revision}
  const answered = new Set();
  const seen = { problems, messages: 0, revisions: new Set(), methods: new Set() };
  const declared = {}; // the client's capabilities, legacy
  let legacy = NEWEST_LEGACY;
  let tools = outputSchemas(repositoryTools());
  const problem = (text, line) => problems.push(`${text}\n    in ${String(line).slice(0, 600)}`);

  for (const { from, line, bytes } of records) {
    if (from === 'client') {
      let message;
      try {
        message = JSON.parse(line);
      } catch {
        continue;
      }
      if (message?.id !== undefined && message.method) {
        const modern = message.params?._meta?.[VERSION_KEY];
        requests.set(JSON.stringify(message.id), { ...message, revision: modern ? MODERN : undefined });
        answered.delete(JSON.stringify(message.id));
        if (message.method === 'initialize') Object.assign(declared, message.params?.capabilities);
      }
      continue;
    }
    if (from !== 'server') continue;
    seen.messages += 1;
    if (bytes !== undefined) {
      problem('not a line of UTF-8', bytes);
      continue;
    }
    if (line !== line.trim() || line.startsWith('\ufeff')) problem('white space around the message', line);
    let message;
    try {
      message = JSON.parse(line);
    } catch (error) {
      problem(`not JSON: ${error.message}`, line);
      continue;
    }
    judgeMessage(message, line);
  }
  return seen;

  function judgeMessage(message, line) {
    const complain = (text) => text && problem(text, line);
    if (Array.isArray(message) || typeof message !== 'object' || message === null) return complain('not an object');
    const extra = Object.keys(message).filter((key) => !ENVELOPE.includes(key));
    if (extra.length) complain(`extra keys in the envelope: ${extra}`);
    if (message.method) return judgeNotification(message, complain);

    const key = JSON.stringify(message.id);
    const request = message.id === undefined ? undefined : requests.get(key);
    if (message.error) return judgeError(message, request, complain);
    if (!request) return complain('answers a request that was never made');
    if (answered.has(key)) complain('answers twice');
    answered.add(key);
    const { method, params } = request;
    if (method === 'initialize') legacy = message.result?.protocolVersion ?? legacy;
    const rev = revision(request.revision ?? legacy);
    seen.revisions.add(rev.name);
    seen.methods.add(method);
    complain(rev.check(rev.first('JSONRPCResultResponse', 'JSONRPCResponse'), message));
    if (rev.name === MODERN && isExtension(method, message.result)) return judgeExtension(method, message.result, complain);
    if (message.result?.resultType === 'input_required') return complain(rev.check('InputRequiredResult', message.result));
    if (method === 'tools/call' && params.task && message.result.task) return complain(rev.check('CreateTaskResult', message.result));
    if (!RESULTS[method]) return complain(`a result for ${method}, which has none`);
    complain(rev.check(RESULTS[method], message.result));
    if (method === 'tools/list' && !message.result.nextCursor) tools = outputSchemas(message.result.tools);
    if (method === 'tools/call') judgeToolResult(params.name, message.result, complain);
  }

  function judgeToolResult(name, result, complain) {
    const output = tools.get(name);
    if (result.isError || !output) return;
    if (result.structuredContent === undefined) return complain(`${name} has an output schema but no structuredContent`);
    if (!output.validate(result.structuredContent)) {
      complain(`structuredContent of ${name}: ${output.ajv.errorsText(output.validate.errors)}`);
    }
    const text = result.content.find((block) => block.type === 'text')?.text;
    try {
      if (JSON.stringify(JSON.parse(text)) !== JSON.stringify(result.structuredContent)) complain(`${name}: its text is not its structuredContent`);
    } catch {
      complain(`${name}: its text is not JSON`);
    }
  }

  function isExtension(method, result) {
    return method.startsWith('tasks/') || result?.resultType === 'task';
  }

  function judgeExtension(method, result, complain) {
    if (result.resultType !== (method === 'tools/call' ? 'task' : 'complete')) complain(`resultType ${result.resultType}`);
    if (method === 'tools/call' || method === 'tasks/get') complain(checkExtensionTask(result));
    else if (Object.keys(result).some((key) => !['resultType', '_meta'].includes(key))) complain(`${method} is only acknowledged`);
    if (result.status === 'input_required' && method === 'tasks/get') complain(revision(MODERN).check('InputRequests', result.inputRequests));
    if (result.result) complain(revision(MODERN).check('CallToolResult', result.result));
  }

  function judgeError(message, request, complain) {
    const modern = request?.revision === MODERN;
    // An error without an id is legal since 2025-11-25; before, there was no other way either.
    const rev = revision(modern ? MODERN : message.id === undefined ? NEWEST_LEGACY : legacy);
    complain(rev.check(rev.first('JSONRPCErrorResponse', 'JSONRPCError'), message));
    if (message.id !== undefined && !request) complain('an error for a request that was never made');
    const { code } = message.error;
    if (modern && (code === -32002 || code === -32042)) complain(`code ${code} in the modern era`);
    if (code <= -32000 && code >= -32019 && code !== -32002) complain(`code ${code} is not to be used`);
  }

  function judgeRequest(message, complain) {
    const capability = ASKED[message.method];
    if (!capability || !declared[capability]) return complain('a request that the client has not declared to take');
    const rev = revision(legacy);
    complain(rev.check(rev.methods.get(message.method) ?? 'JSONRPCRequest', message));
    seen.methods.add(message.method);
  }

  function judgeNotification(message, complain) {
    if (message.id !== undefined) return judgeRequest(message, complain);
    const token = JSON.stringify(message.params?.progressToken);
    const subscription = message.params?._meta?.['io.modelcontextprotocol/subscriptionId'];
    const modern = [...requests.values()].some((request) => request.revision === MODERN &&
      (subscription !== undefined || JSON.stringify(request.params?._meta?.progressToken) === token));
    seen.methods.add(message.method);
    if (modern && message.method === 'notifications/tasks') return complain(checkExtensionTask(message.params));
    const rev = revision(modern ? MODERN : legacy);
    complain(rev.check(rev.methods.get(message.method) ?? 'JSONRPCNotification', message));
    if (!rev.methods.has(message.method)) complain(`${rev.name} has no ${message.method}`);
  }
}
