// Counts the tokens of each text in a file with the tokenizer of Llama 3, and writes the file to standard output with these counts. A
// chat template and the tokens that begin and end a text are not counted.

import { readFileSync } from 'node:fs';
import tokenizer from 'llama3-tokenizer-js';

const entries = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const lines = entries.map((entry) => {
    const tokens = tokenizer.encode(entry.text, { bos: false, eos: false }).length;
    return JSON.stringify({ ...entry, tokens });
});
process.stdout.write(`[\n${lines.join(',\n')}\n]\n`);
