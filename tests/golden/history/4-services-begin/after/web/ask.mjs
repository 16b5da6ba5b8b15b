// ask.mjs ADDRESS FILE: writes the answer to a file.
import { writeFileSync } from "node:fs";

const [address, file] = process.argv.slice(2);
const response = await fetch(address);
if (!response.ok) throw new Error(`${address}: ${response.status}`);
writeFileSync(file, await response.text());
