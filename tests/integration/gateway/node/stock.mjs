// One client as it is: node stock.mjs NAME; reads calls as lines of JSON, writes what it makes of each.
import { createRequire } from "node:module";
import http from "node:http";
import readline from "node:readline";

const require = createRequire(`${process.env.NODE_MODULES}/`);

const CLIENTS = {
  "ccxt under Node.js": ({ url, key, secret, seconds, method, params }) => {
    const ccxt = require("ccxt");
    const config = seconds ? { timeout: seconds * 1000 } : {};
    const exchange = new ccxt.kraken({ apiKey: key, secret, ...config });
    exchange.urls.api.private = url;
    return exchange[`privatePost${method}`](params);
  },
  "kraken-api under Node.js": ({ url, key, secret, seconds, method, params }) => {
    const KrakenClient = require("kraken-api");
    const config = seconds ? { timeout: seconds * 1000 } : {};
    return new KrakenClient(key, secret, { url, ...config }).api(method, params);
  },
  // Its URL is built in, and it has no port: https.request is replaced before it is loaded.
  "node-kraken-api under Node.js": ({ url, key, secret, seconds, method, params }) => {
    const { hostname, port } = new URL(url);
    require("https").request = (options, ...rest) => http.request({ ...options, hostname, port }, ...rest);
    delete require.cache[require.resolve("node-kraken-api")];
    const { Kraken } = require("node-kraken-api");
    const config = seconds ? { timeout: seconds * 1000 } : {};
    return new Kraken({ key, secret, ...config }).request(method, params, "private");
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const began = performance.now();
  let outcome;
  try {
    outcome = { returned: await CLIENTS[process.argv[2]](JSON.parse(line)) };
  } catch (error) {
    outcome = { raised: error.constructor.name, text: String(error.message) };
  }
  console.log(JSON.stringify({ ...outcome, seconds: (performance.now() - began) / 1000 }));
}
