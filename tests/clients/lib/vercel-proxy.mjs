// What may happen between a client and the API, happening between the real ones: everything is passed
// on, but for the requests that fault() picks.
import http from 'node:http';

export class FaultProxy {
  requests = [];
  #faults = [];
  #agent = new http.Agent({ keepAlive: true });

  /** base: http://HOST:PORT of the real server. */
  constructor(base) {
    this.target = new URL(base);
  }

  async listen() {
    this.server = http.createServer({ keepAliveTimeout: 60000 }, (request, response) => void this.#serve(request, response));
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  close() {
    this.#agent.destroy();
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /** The next `times` requests for which match(method, path) holds go wrong. kind:
   *  'reset' and 'status' {status, code, headers}: the server never sees the request;
   *  'lost': it does, and its answer goes nowhere; 'cut': the head of its answer comes, and then the end;
   *  'done-status' {status}: it does, and another answer comes; 'body' {text}: 200 with that;
   *  'middle' {bytes}: so much of the answer comes; 'stall' {bytes}: the same, and no end;
   *  'edit' {edit(line)}: each line of the answer is another object;
   *  'first' {act()}: what is done before it is passed on. */
  fault(match, kind, options = {}) {
    this.#faults.push({ match, kind, times: 1, ...options });
  }

  count(match) {
    return this.requests.filter((one) => match(one.method, one.path)).length;
  }

  async #serve(request, response) {
    const where = new URL(request.url, this.url).pathname.replace(/^\/api/, '');
    const fault = this.#faults.find((one) => one.times > 0 && one.match(request.method, where)) ?? {};
    if (fault.times) fault.times--;
    const chunks = [];
    if (fault.kind === 'reset') return request.socket.destroy();
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return undefined; // the client has gone
    }
    this.requests.push({ method: request.method, path: where });
    if (fault.kind === 'status') return this.#answer(response, fault);
    await fault.act?.();
    const { host, ...headers } = request.headers;
    const onward = http.request({ agent: this.#agent, host: this.target.hostname, port: this.target.port, method: request.method, path: request.url, headers });
    onward.on('response', (answer) => void this.#pass(fault, request, answer, response));
    onward.on('error', () => request.socket.destroy());
    response.on('close', () => { if (!response.writableEnded) onward.destroy(); });
    return onward.end(Buffer.concat(chunks));
  }

  #answer(response, { status = 200, code = 'fault', headers, text }) {
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
    response.end(text ?? JSON.stringify({ error: { code, message: 'injected' } }));
  }

  async #pass(fault, request, answer, response) {
    const drop = () => request.socket.destroy();
    answer.on('error', drop);
    if (['lost', 'done-status', 'body', 'cut'].includes(fault.kind)) {
      answer.resume();
      if (!/ndjson/.test(answer.headers['content-type'])) await new Promise((resolve) => answer.on('end', resolve));
      if (fault.kind === 'lost') return drop();
      if (fault.kind !== 'cut') return this.#answer(response, fault);
    }
    const { 'content-length': length, ...others } = answer.headers;
    response.writeHead(answer.statusCode, fault.kind === 'edit' ? others : answer.headers);
    response.flushHeaders();
    if (fault.kind === 'cut') return setImmediate(drop);
    if (fault.kind === 'edit') return this.#edit(fault, answer, response);
    if (fault.kind !== 'middle' && fault.kind !== 'stall') return answer.pipe(response);
    let left = fault.bytes;
    for await (const chunk of answer) {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (left > 0) response.write(part);
      else if (fault.kind === 'middle') return response.write(part, drop);
      else if (part.length) response.write(part);
    }
    return fault.kind === 'middle' ? drop() : undefined;
  }

  async #edit(fault, answer, response) {
    let rest = '';
    for await (const chunk of answer) {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop();
      for (const line of lines) response.write(`${JSON.stringify(fault.edit(JSON.parse(line)))}\n`);
    }
    response.end(rest && JSON.stringify(fault.edit(JSON.parse(rest))));
  }
}

export const faultProxy = (base) => new FaultProxy(base).listen();
