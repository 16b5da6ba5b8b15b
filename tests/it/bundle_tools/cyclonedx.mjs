// The library of CycloneDX for JavaScript on a document: valid, strictly, in the version it says it is of, and refused
// with a wrong algorithm. Needs package.json. Usage: node cyclonedx.mjs DOCUMENT…

import fs from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const home = process.env.PARTITA_NODE_MODULES;
const require = createRequire(home ? pathToFileURL(`${home}/x.js`) : import.meta.url);
const { Spec, Validation } = require("@cyclonedx/cyclonedx-library");

for (const file of process.argv.slice(2)) {
  const document = JSON.parse(fs.readFileSync(file, "utf8"));
  const validator = new Validation.JsonStrictValidator(document.specVersion);
  const problem = await validator.validate(JSON.stringify(document));
  if (problem) throw new Error(`${file}: ${JSON.stringify(problem)}`);
  document.components.find((component) => component.hashes).hashes[0].alg = "SHA256";
  if (!(await validator.validate(JSON.stringify(document)))) throw new Error(`${file}: a wrong algorithm was accepted`);
  console.log(`valid CycloneDX ${document.specVersion}: ${Object.values(Spec.Version).includes(document.specVersion)}`);
}
