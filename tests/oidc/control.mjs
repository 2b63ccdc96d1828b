// What both providers have: a server on a free port of 127.0.0.1, and a second port at which the test says what to do. Each request
// there is a JSON object whose `call` names a function; the response is what that returns. Where both listen is the first line on
// standard output.

import { createServer } from 'node:http';

const listen = (handler) =>
    new Promise((resolve, reject) => {
        const server = createServer(handler);
        // A test may leave a connection open.
        server.requestTimeout = 0;
        server.on('error', reject);
        server.listen(0, '127.0.0.1', () => resolve(server.address().port));
    });

/** The whole body of a request, as text. */
export async function text(request) {
    let body = '';
    for await (const part of request.setEncoding('utf8')) body += part;
    return body;
}

/** Counts requests by the name of what they asked for, and keeps the newest. */
export class Log {
    counts = {};
    requests = [];

    note(name, request, body) {
        this.counts[name] = (this.counts[name] ?? 0) + 1;
        const { method, url, headers } = request;
        this.requests.push({ name, method, url, headers, body });
        if (this.requests.length > 500) this.requests.shift();
    }
}

/**
 * Starts both servers. The first argument of the program is the name of this machine in the issuer: a browser takes
 * `localhost` and `127.0.0.1` for two sites. `make(issuer)` gives the `handler` of requests, and the `calls`: functions of the arguments that the
 * test sends.
 */
export async function start(make) {
    let handler;
    const port = await listen((request, response) => handler(request, response));
    const issuer = `http://${process.argv[2]}:${port}`;
    const made = await make(issuer);
    handler = made.handler;
    const control = await listen(async (request, response) => {
        let reply;
        try {
            const { call, ...given } = JSON.parse(await text(request));
            if (!Object.hasOwn(made.calls, call)) throw new Error(`there is no call ${call}`);
            reply = { result: (await made.calls[call](given)) ?? null };
        } catch (error) {
            reply = { error: `${error.stack}` };
        }
        const body = JSON.stringify(reply);
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
        response.end(body);
    });
    console.log(JSON.stringify({ issuer, control }));
}
