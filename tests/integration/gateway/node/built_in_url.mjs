// node-kraken-api as it is, whose URL is built in; prints the balance of the key in the environment
import { createRequire } from "node:module";

const { Kraken } = createRequire(`${process.env.NODE_MODULES}/`)("node-kraken-api");
const { API_KEY: key, API_SECRET: secret } = process.env;
console.log(JSON.stringify(await new Kraken({ key, secret }).balance()));
