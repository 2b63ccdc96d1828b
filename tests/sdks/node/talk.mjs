// Does with a library what a test says, and reports what came of it.
//
// A test listens at the address given; each line it sends is a call as JSON, and each line it gets is what the library
// handed out: `part` for each piece of a stream, then `result` or `raised`. Nothing here knows the gateway.

import { connect } from 'node:net'
import { createInterface } from 'node:readline'

const [host, port] = process.argv[2].split(':')
const socket = connect(Number(port), host)
const say = (report) => socket.write(JSON.stringify(report) + '\n')

// An error: its type, those it can be caught as, and what a person reads.
function told(error) {
    const is = []
    for (let kind = Object.getPrototypeOf(error); kind !== null; kind = Object.getPrototypeOf(kind)) {
        is.push(kind.constructor.name)
    }
    return {
        type: is[0],
        is,
        status: error.status ?? error.status_code ?? null,
        message: String(error.message),
        retry_after: error.headers?.get?.('retry-after') ?? null,
    }
}

// A client made as a person makes one: of the environment. The library of Ollama looks at no variable, so its user does.
async function clientOf(call) {
    Object.assign(process.env, call.env)
    for (const name of call.unset) delete process.env[name]
    if (call.client === 'ollama') {
        const { Ollama } = await import('ollama')
        const key = process.env.OLLAMA_API_KEY
        const headers = key === undefined ? {} : { Authorization: `Bearer ${key}` }
        return new Ollama({ host: process.env.OLLAMA_HOST, headers })
    }
    const { default: Client } = await import(call.client)
    return new Client(call.options)
}

let client

async function perform(call) {
    if (!call.same_client) client = await clientOf(call)
    const path = call.method.split('.')
    const name = path.pop()
    const owner = path.reduce((value, step) => value[step], client)
    const args = Object.keys(call.with).length > 0 ? [...call.args, call.with] : call.args
    const result = await owner[name](...args)
    // A page of a list holds the client as well.
    if (!call.streams) return result?.getPaginatedItems ? { data: result.getPaginatedItems() } : result
    let count = 0
    for await (const part of result) {
        say({ part })
        count += 1
        if (count === call.leave_after) {
            // Out of the loop and nothing else, or what the library has for it.
            if (call.breaks) return 'left'
            if (result.abort) result.abort()
            else result.controller.abort()
            return 'left'
        }
    }
    return 'ended'
}

for await (const line of createInterface({ input: socket })) {
    try {
        say({ result: (await perform(JSON.parse(line))) ?? null })
    } catch (error) {
        say({ raised: told(error) })
    }
}
