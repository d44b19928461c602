// Reads {secret, headers, body} from the standard input and verifies it with the npm package; exits 1 when it is refused.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

// The packages lie beside the project, not in it.
const require = createRequire(`${process.argv[2]}/`);
const { Webhook } = require("standardwebhooks");

const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
try {
  new Webhook(secret).verify(body, headers);
} catch (error) {
  console.error(`refused: ${error.message}`);
  process.exit(1);
}
